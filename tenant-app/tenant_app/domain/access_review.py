"""The list that an access review looks at: who has which right through what (11.300(b), Annex 11)."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import rfc8785

STATEMENT = "I have reviewed who has which right through what, as listed, and state the outcome given."
IN_ORDER, TO_CHANGE = "in_order", "to_change"
OUTCOMES = {IN_ORDER: "Everything is as it should be", TO_CHANGE: "Something has to change"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One person: their rights now, through what they have them, and what a reviewer should look at twice."""

    sub: str
    name: str
    account: str
    rights: tuple[str, ...]
    through: tuple[str, ...]
    remarks: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the line as JSON values."""
        return {
            "sub": self.sub,
            "name": self.name,
            "account": self.account,
            "rights": list(self.rights),
            "through": list(self.through),
            "remarks": list(self.remarks),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """All lines, by name."""

    lines: tuple[Line, ...]

    def as_json(self) -> list[dict[str, Any]]:
        """Return the lines as JSON values."""
        return [line.as_json() for line in self.lines]

    @property
    def sha256(self) -> str:
        """Return the digest that the reviewer signs: of the lines as RFC 8785 JSON."""
        return hashlib.sha256(rfc8785.dumps(self.as_json())).hexdigest()


def due_at(last: datetime | None, begun: datetime | None, every: timedelta) -> datetime | None:
    """Return when the next review is due: after the last, or after the first sign-in; None while nobody ever signed in."""
    start = last or begun
    return start + every if start else None
