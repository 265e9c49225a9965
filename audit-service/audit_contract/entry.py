"""A draft, as a source sends it, validated field by field. Pure.

The fields are those of `docs/contracts.md`; unknown ones are refused with their name. Integers stay below 2^53, text is
Unicode NFC, times are UTC with microseconds, and there are no fractions except inside values that are committed to.
"""

import os
import time
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    field_validator,
    model_validator,
)

from audit_contract.actions import Action
from audit_contract.canonical import MAX_INTEGER

MAX_VALUE: Final = 32_768
"""Bytes a committed value may have in canonical form; what is larger is named by its hash."""
MAX_CHANGES: Final = 64
MAX_BATCH: Final = 256


def uuid7() -> str:
    """Return a new time-ordered id (RFC 9562 section 5.7)."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    digits = f"{value:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def timestamp(at: datetime | None = None) -> str:
    """Return a time (now when None) as UTC text with microseconds."""
    text = (at or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="microseconds")
    return f"{text.removesuffix('+00:00')}Z"


def _is_time(text: str) -> str:
    datetime.fromisoformat(text)
    return text


def _clean(text: str) -> str:
    if not text.isascii() and not unicodedata.is_normalized("NFC", text):
        raise ValueError("text must be in Unicode normalization form C")
    if "\0" in text:
        raise ValueError("text has no NUL character: no database could search for it")
    return text


Text = Annotated[str, StringConstraints(min_length=1, max_length=1024), AfterValidator(_clean)]
Id = Annotated[str, Field(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")]
Time = Annotated[
    str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z$"), AfterValidator(_is_time)
]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Zone = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_+-]{0,30}(/[A-Za-z0-9_+-]{1,30}){0,2}$")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,62}$")]
Whole = Annotated[int, Field(strict=True, ge=-MAX_INTEGER, le=MAX_INTEGER)]
Fact = Annotated[bool, Field(strict=True)] | Whole | Text
Plain = dict[str, Any]
"""A draft as JSON has it, accepted, its action as text and without what is not set. A change's null is kept."""
SourceKind = Literal["operator", "app", "job", "admission", "auditor"]


class Part(BaseModel):
    """A frozen piece of a draft; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


_AUTH_TEXTS: Final = ("login", "session", "method", "token")


class Actor(Part):
    """Who acted: `sub` never changes and is never given to another; `dn` is its name in a directory.

    `auth` says how it was authenticated: `components` the ones that were proven (such as id and password), `mfa` whether a
    second factor was, `login` or `session` a hash of the session, `method`, `token` a token's id. Sources may add more.
    """

    type: Literal["user", "service", "system"]
    sub: Text
    dn: Text | None = None
    name: Text | None = None
    auth: dict[Name, Fact | list[Fact]] | None = Field(None, max_length=16)

    @field_validator("auth")
    @classmethod
    def _auth(cls, auth: dict[str, Any] | None) -> dict[str, Any] | None:
        check_auth(auth or {})
        return auth


def check_auth(auth: Mapping[str, Any]) -> None:
    """Hold what every reader relies on to its form. Raises ValueError."""
    components = auth.get("components", ["id"])
    if not isinstance(components, list) or not components or not all(type(each) is str for each in components):
        raise ValueError("components: a list of text, the components that were proven")
    if len(set(components)) != len(components):
        raise ValueError("components: each is named once")
    if type(auth.get("mfa", False)) is not bool:
        raise ValueError("mfa: true or false")
    for key in _AUTH_TEXTS:
        if type(auth.get(key, "")) is not str:
            raise ValueError(f"{key}: text")


class ObjectRef(Part):
    """What was acted on."""

    type: Name
    id: Text
    name: Text | None = None
    namespace: Text | None = None
    version: Text | None = None
    sha256: Sha256 | None = None


class Change(Part):
    """One field's old and new value, any JSON value; one that is not given was absent. Never a secret."""

    path: Text
    old: JsonValue = None
    new: JsonValue = None


class Reason(Part):
    """Why: a code of the source's own closed set, and text for people."""

    code: Name
    text: Annotated[str, StringConstraints(min_length=1, max_length=4096), AfterValidator(_clean)] | None = None


class Source(Part):
    """Who sends: its kind, `<service account>/<pod uid>[/<part>]`, and the entry's number among this source's in this log."""

    kind: SourceKind
    id: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(/[A-Za-z0-9_.-]{1,64}){1,2}$")]
    seq: Annotated[int, Field(strict=True, ge=0, le=MAX_INTEGER)]


class Draft(Part):
    """What a source asks the log to record. `src` is filled in by `AuditClient`; `tz` is where the actor saw the time."""

    id: Id = Field(default_factory=uuid7)
    event: Time = Field(default_factory=timestamp)
    tz: Zone | None = None
    actor: Actor
    action: Action
    phase: Literal["single", "intent", "outcome"] = "single"
    intent: Id | None = None
    object: ObjectRef
    change: tuple[Change, ...] = Field((), max_length=MAX_CHANGES)
    reason: Reason | None = None
    result: Literal["ok", "denied", "error"] | None = None
    request: Text | None = None
    system: dict[Name, Text] | None = Field(None, max_length=16)
    src: Source | None = None

    @model_validator(mode="after")
    def _agreement(self) -> Self:
        check_agreement(self.phase, self.intent, self.result)
        if self.src is not None:
            check_source(self.action, self.src.kind)
        return self

    def body(self) -> dict[str, Any]:
        """Return the draft as JSON, without what is not set. A change's null is kept when it was given."""
        body = self.model_dump(mode="json", exclude={"change"}, exclude_none=True)
        if self.change:
            body["change"] = [each.model_dump(mode="json", exclude_unset=True) for each in self.change]
        return body

    def plain(self) -> Plain:
        """Return the draft as plain values, without what is not set."""
        found: Plain = {"id": self.id, "event": self.event, "action": self.action.value, "phase": self.phase}
        for key in ("tz", "intent", "result", "request", "system"):
            value = getattr(self, key)
            if value is not None:
                found[key] = value
        for key in ("actor", "object", "reason", "src"):
            part = getattr(self, key)
            if part is not None:
                found[key] = {name: value for name, value in part.__dict__.items() if value is not None}
        if self.change:
            found["change"] = tuple({key: getattr(each, key) for key in each.model_fields_set} for each in self.change)
        return found


def check_agreement(phase: str, intent: str | None, result: str | None) -> None:
    """Hold to each other what says how far an act went. Raises ValueError naming the field."""
    if (phase == "outcome") != (intent is not None):
        raise ValueError("intent: an outcome names the intent it ends, and nothing else does")
    if phase == "intent" and result is not None:
        raise ValueError("result: an intent has none yet")
    if phase == "outcome" and result is None:
        raise ValueError("result: an outcome has one of ok, denied, error")


def check_source(action: str, kind: str) -> None:
    """Refuse an action of another kind of source. Raises ValueError naming the field."""
    if action.partition(":")[0] != kind:
        raise ValueError(f"action: {action} is not for a source of kind {kind}")
