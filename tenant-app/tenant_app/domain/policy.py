"""The accountability policy of 11.10(j), a text with a version and a digest; and days on which something was verified."""

import hashlib
import unicodedata
from dataclasses import dataclass
from datetime import date, datetime

import rfc8785

from tenant_app.errors import InvalidInput

_LEAST, _MOST = 20, 20_000
BY_DIRECTORY = "The directory's group membership, which the customer's own process gives after verifying identity."


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One version of the tenant's policy."""

    version: int
    title: str
    text: str
    published_at: datetime
    published_by: str
    accepted: int = 0

    @property
    def sha256(self) -> str:
        """Return the digest that acceptances and signatures name: of version, title and text as RFC 8785 JSON."""
        return hashlib.sha256(
            rfc8785.dumps({"text": self.text, "title": self.title, "version": self.version})
        ).hexdigest()


def checked_body(text: str) -> str:
    """Return a text of several lines in NFC, lines ended by one newline. Raises InvalidInput."""
    found = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n")).strip()
    if any(unicodedata.category(char) in {"Cc", "Cf", "Cs", "Co"} for char in found.replace("\n", "")):
        raise InvalidInput("The text holds characters that cannot be shown.", field="text")
    if not _LEAST <= len(found) <= _MOST:
        raise InvalidInput(f"The text needs {_LEAST} to {_MOST} characters.", field="text")
    return found


def checked_past_day(text: str, *, today: date, field: str) -> date:
    """Return a day that is not in the future. Raises InvalidInput."""
    try:
        found = date.fromisoformat(text.strip())
    except ValueError as error:
        raise InvalidInput("Write the day as YYYY-MM-DD.", field=field) from error
    if found > today:
        raise InvalidInput("The day cannot lie in the future.", field=field)
    return found
