"""Entries that several document services write, and the look-up they share."""

from uuid import UUID

from tenant_app.domain.actions import Action
from tenant_app.domain.audit import Actor, Entry, ObjectRef, Reason
from tenant_app.domain.documents import Version
from tenant_app.errors import NotFound
from tenant_app.services.caller import Caller
from tenant_app.storage import records
from tenant_app.storage.database import Conn, Row


async def found_row(conn: Conn, document: UUID) -> Row:
    """Return a document's row. Raises NotFound."""
    row = await records.find_document(conn, document)
    if row is None:
        raise NotFound("There is no such document.")
    return row


def read_entry(action: Action, caller: Caller, version: Version, *, part: str) -> Entry:
    """Return the entry of a look at a part of a document, or of a copy of it."""
    ref = ObjectRef(type="Document", id=str(version.document), version=str(version.number), sha256=version.sha256)
    return Entry(action=action, actor=caller.actor, object=ref, reason=Reason(code=part), request=caller.request)


def violation_entry(row: Row, actor: Actor, request: str, text: str) -> Entry:
    """Return the entry of bytes that are not what was recorded (11.10(a))."""
    ref = ObjectRef(type="Document", id=str(row["document"]), version=str(row["number"]), sha256=row["sha256"])
    return Entry(
        action=Action.INTEGRITY_VIOLATION,
        actor=actor,
        object=ref,
        reason=Reason(code="integrity", text=text),
        result="error",
        request=request,
    )
