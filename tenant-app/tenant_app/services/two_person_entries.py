"""The entries of what takes two administrators."""

from dataclasses import replace
from uuid import UUID

from tenant_app.domain.actions import Action
from tenant_app.domain.audit import Actor, Change, Entry, ObjectRef, Reason


def entry_of(
    action: Action, actor: Actor, id_: UUID, sub: str, changes: tuple[Change, ...], why: str, request: str
) -> Entry:
    """Return the entry of one step of a request: about the person `sub`, naming the request that it belongs to."""
    return Entry(
        action=action,
        actor=actor,
        object=ObjectRef(type="Person", id=sub),
        changes=(Change(path="/request", new=str(id_)), *changes),
        reason=Reason(code="two_person", text=why),
        request=request,
    )


def denied(entry: Entry) -> Entry:
    """Return the same as an attempt that was refused."""
    return replace(entry, result="denied")
