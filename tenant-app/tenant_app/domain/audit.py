"""An audit entry: who did what to which object, when, with old and new values and why (11.10(e)).

The entry's canonical form is RFC 8785 JSON. The database keeps it sealed, chained to the entry before it; the relay turns it
into a draft for the audit service, field by field, so that the two records can be compared.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

import rfc8785

from tenant_app.domain.actions import Action
from tenant_app.domain.ids import uuid7

Json = Any
Result = Literal["ok", "denied", "error"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who acted. `sub` is the directory's immutable id; `auth` says how they were authenticated, never a secret."""

    type: Literal["user", "service", "system"]
    sub: str
    name: str
    auth: dict[str, Json] = field(default_factory=dict)


SYSTEM = Actor(type="system", sub="tenant-app", name="The document platform")


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectRef:
    """What was acted on."""

    type: str
    id: str
    version: str | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One value's old and new; None where there was or is none."""

    path: str
    old: Json = None
    new: Json = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why: a code from a closed list and the person's own words."""

    code: str
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One event. `request` joins the entries, the log lines and the answer of one request."""

    action: Action
    actor: Actor
    object: ObjectRef
    changes: tuple[Change, ...] = ()
    reason: Reason | None = None
    result: Result = "ok"
    request: str = ""
    id: UUID = field(default_factory=uuid7)
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def as_json(self) -> dict[str, Json]:
        """Return the entry as JSON values, absent members left out."""
        body: dict[str, Json] = {
            "id": str(self.id),
            "event": stamp(self.at),
            "actor": {"type": self.actor.type, "sub": self.actor.sub, "name": self.actor.name, "auth": self.actor.auth},
            "action": self.action.value,
            "object": _present(
                type=self.object.type, id=self.object.id, version=self.object.version, sha256=self.object.sha256
            ),
            "change": [_present(path=change.path, old=change.old, new=change.new) for change in self.changes],
            "result": self.result,
            "request": self.request,
        }
        if self.reason is not None:
            body["reason"] = {"code": self.reason.code, "text": self.reason.text}
        return body

    def canonical(self) -> bytes:
        """Return the RFC 8785 bytes."""
        return rfc8785.dumps(self.as_json())


def stamp(moment: datetime) -> str:
    """Return UTC with microseconds and Z, the one form of time in every record (E6(R3): unambiguous)."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _present(**values: Json) -> dict[str, Json]:
    return {name: value for name, value in values.items() if value is not None}
