"""Delegated authority: the delegate signs as themselves, on behalf of its giver; no identity is ever lent (11.200(a)(2)).

A delegation is of one meaning, to one person, until a day, and holds only after the delegate accepted it.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from tenant_app.domain.access import Right
from tenant_app.domain.audit import stamp
from tenant_app.domain.trail_review import MEANING
from tenant_app.errors import Conflict, NotFound

# A revocation voids one's own signature, and a trail review says what one has seen: nobody does that for somebody else.
NEVER_DELEGATED = frozenset({"revocation", MEANING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegation:
    """One delegation, by whom to whom, of which meaning, until when, and how far it has come."""

    id: UUID
    giver: str
    receiver: str
    meaning: str
    offered_at: datetime
    until: datetime
    accepted_at: datetime | None
    ended_at: datetime | None

    def usable(self, now: datetime) -> bool:
        """Say whether the delegate may sign under it now."""
        return self.accepted_at is not None and self.ended_at is None and now < self.until


@dataclass(frozen=True, slots=True, kw_only=True)
class Acting:
    """A delegate about to act: under which delegation, on whose behalf, with which of their rights as they are now."""

    delegation: Delegation
    name: str
    title: str
    rights: frozenset[Right]

    @property
    def sub(self) -> str:
        """Return the id of the person on whose behalf it is."""
        return self.delegation.giver

    def as_json(self) -> dict[str, Any]:
        """Return what the signed payload says: on whose behalf, and by which delegation."""
        found = self.delegation
        return {
            "sub": found.giver,
            "printed_name": self.name,
            "title": self.title,
            "delegation": {
                "id": str(found.id),
                "meaning": found.meaning,
                "offered": stamp(found.offered_at),
                "accepted": stamp(found.accepted_at) if found.accepted_at else None,
                "until": stamp(found.until),
            },
        }


def check_use(delegation: Delegation | None, *, receiver: str, meaning: str, now: datetime) -> Delegation:
    """Return a delegation that covers this signing.

    Raises NotFound when it is not this person's, Conflict when it covers something else, was not accepted, or is over.
    """
    if delegation is None or delegation.receiver != receiver:
        raise NotFound("There is no such delegation to you.")
    if delegation.meaning != meaning:
        raise Conflict("That delegation covers another meaning than this step has.")
    if not delegation.usable(now):
        raise Conflict("That delegation is not in force: it was not accepted, was ended, or its time is over.")
    return delegation


def signed_by(payload: dict[str, Any]) -> str:
    """Return the words of who signed, for every rendition: the printed name, and on whose behalf if so (11.50)."""
    name = str(payload["signer"]["printed_name"])
    behalf = payload.get("on_behalf_of")
    return f"{name}, on behalf of {behalf['printed_name']}" if behalf else name
