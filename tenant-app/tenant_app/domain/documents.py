"""Documents and their versions. A version is never overwritten; a change is a new version (11.10(e), AT-50)."""

import re
import unicodedata
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from tenant_app.errors import InvalidInput

_SPACES = re.compile(r"\s+")


class Kind(StrEnum):
    """What sort of document it is, from a closed list."""

    PROTOCOL = "Protocol"
    REPORT = "Report"
    PROCEDURE = "Procedure"
    SPECIFICATION = "Specification"
    FORM = "Form"
    CORRESPONDENCE = "Correspondence"
    OTHER = "Other"


class State(StrEnum):
    """Where a version stands. Every version begins as a draft."""

    DRAFT = "draft"
    IN_REVIEW = "in_review"
    REVIEWED = "reviewed"
    APPROVED = "approved"
    PUBLISHED = "published"
    SUPERSEDED = "superseded"
    WITHDRAWN = "withdrawn"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What people enter about a document; sealed as one value."""

    title: str
    kind: Kind
    project: str = ""
    reference: str = ""
    fields: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return JSON values; `fields` only where a tenant asks for some, so that other tenants' records stay as they are."""
        found = {**asdict(self), "kind": self.kind.value}
        if not self.fields:
            del found["fields"]
        return found

    def flat(self) -> dict[str, str]:
        """Return every value by the path that an entry names it with."""
        words = {key: str(value) for key, value in self.as_json().items() if key != "fields"}
        return {f"/{key}": value for key, value in words.items()} | {
            f"/fields/{key}": value for key, value in self.fields.items()
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version as recorded. `sha256` is of the original bytes, `reason` why it was made."""

    document: UUID
    number: int
    sha256: str
    size: int
    sealed_size: int
    media_type: str
    file_name: str
    reason: str
    author: str
    author_name: str
    created_at: datetime
    state: State


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A document with its newest version's summary. `number` is the human one, shown as DOC-000042."""

    id: UUID
    number: int
    metadata: Metadata
    created_at: datetime
    created_by: str
    latest: Version
    retain_until: datetime
    folder: str = ""
    held: bool = False
    disposed: bool = False

    @property
    def label(self) -> str:
        """Return the number that people quote."""
        return f"DOC-{self.number:06d}"


def checked_metadata(
    *, title: str, kind: str, project: str = "", reference: str = "", fields: dict[str, str] | None = None
) -> Metadata:
    """Validate metadata at entry (ALCOA+ accurate, complete). `fields` have been through `domain.fields` already.

    Raises InvalidInput naming the field.
    """
    if kind not in set(Kind):
        raise InvalidInput("Choose what kind of document it is.", field="kind")
    return Metadata(
        title=checked_text(title, field="title", label="The title", least=3, most=200),
        kind=Kind(kind),
        project=checked_text(project, field="project", label="The project", least=0, most=80),
        reference=checked_text(reference, field="reference", label="The reference", least=0, most=80),
        fields=fields or {},
    )


def checked_reason(reason: str) -> str:
    """Return the reason for a change; one is always asked for (Annex 11 §9, AT-52)."""
    return checked_text(reason, field="reason", label="The reason for the change", least=5, most=500)


def checked_text(value: str, *, field: str, label: str, least: int, most: int) -> str:
    """Return one line of text in NFC with single spaces.

    Raises InvalidInput when it is too short, too long, or holds control characters.
    """
    text = _SPACES.sub(" ", unicodedata.normalize("NFC", value)).strip()
    if any(unicodedata.category(char) in {"Cc", "Cf", "Cs", "Co"} for char in text):
        raise InvalidInput(f"{label} holds characters that cannot be shown.", field=field)
    if len(text) < least:
        raise InvalidInput(f"{label} needs at least {least} characters.", field=field)
    if len(text) > most:
        raise InvalidInput(f"{label} can have at most {most} characters.", field=field)
    return text
