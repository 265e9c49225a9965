"""Retention and legal hold: deletion under either is refused for every role, and every try is recorded (11.10(c), AT-06)."""

from datetime import UTC, datetime
from uuid import UUID

from tenant_app.domain.access import Right
from tenant_app.domain.actions import Action
from tenant_app.domain.audit import Change, Entry, ObjectRef, Reason
from tenant_app.domain.documents import checked_reason
from tenant_app.errors import Conflict, NotFound
from tenant_app.services.caller import Caller
from tenant_app.services.columns import Columns
from tenant_app.services.recorder import Recorder
from tenant_app.storage import records
from tenant_app.storage.database import Conn, Database, Row


class Retention:
    """Holds, releases, and the end of records."""

    def __init__(self, database: Database, columns: Columns, recorder: Recorder) -> None:
        self._database = database
        self._columns = columns
        self._recorder = recorder

    async def hold(self, caller: Caller, number: int, reason: str) -> None:
        """Place a legal hold on the document with this human number. Raises NotFound, Conflict, InvalidInput."""
        caller.require(Right.ADMINISTER)
        why = checked_reason(reason)
        async with self._database.transaction() as conn:
            await self._recorder.refuse_when_behind(conn)
            document = await self._by_number(conn, number)
            sealed = self._columns.seal({"reason": why}, "holds", str(document))
            if not await records.hold(conn, document, caller.session.sub, sealed, datetime.now(UTC)):
                raise Conflict("A hold is on this document already.")
            change = Change(path="/hold", old=False, new=True)
            await self._recorder.with_change(conn, _entry(Action.RETENTION_CHANGED, caller, document, change, why))

    async def release(self, caller: Caller, number: int, reason: str) -> None:
        """Release a legal hold. Raises NotFound, Conflict, InvalidInput."""
        caller.require(Right.ADMINISTER)
        why = checked_reason(reason)
        async with self._database.transaction() as conn:
            await self._recorder.refuse_when_behind(conn)
            document = await self._by_number(conn, number)
            if not await records.release(conn, document):
                raise Conflict("There is no hold on this document.")
            change = Change(path="/hold", old=True, new=False)
            await self._recorder.with_change(conn, _entry(Action.RETENTION_CHANGED, caller, document, change, why))

    async def delete(self, caller: Caller, document: UUID, reason: str) -> int:
        """Destroy a document's contents and keys once nothing keeps them; its description and trail stay.

        Raises Conflict while retention or a hold is in force, after recording the attempt.
        """
        why = checked_reason(reason)
        async with self._database.transaction() as conn:
            row = await records.find_document(conn, document)
        if row is None:
            raise NotFound("There is no such document.")
        kept = _kept(row)
        if kept is not None:
            await self._recorder.alone(_entry(Action.DOCUMENT_DELETED, caller, document, None, kept, result="denied"))
            raise Conflict(kept)
        caller.require(Right.PUBLISH)
        async with self._database.transaction() as conn:
            await self._recorder.refuse_when_behind(conn)
            gone = await records.dispose(conn, document)
            change = Change(path="/contents", old=gone, new=0)
            await self._recorder.with_change(conn, _entry(Action.DOCUMENT_DELETED, caller, document, change, why))
        return gone

    async def _by_number(self, conn: Conn, number: int) -> UUID:
        document = await records.by_number(conn, number)
        if document is None:
            raise NotFound("There is no document with this number.")
        return document


def _kept(row: Row) -> str | None:
    if row["held_at"] is not None:
        return "A legal hold is on this document: nobody can delete it until the hold is released."
    if row["retain_until"] > datetime.now(UTC):
        return f"This document is kept until {row['retain_until']:%Y-%m-%d}: nobody can delete it before."
    return None


def _entry(
    action: Action, caller: Caller, document: UUID, change: Change | None, why: str, *, result: str = "ok"
) -> Entry:
    return Entry(
        action=action,
        actor=caller.actor,
        object=ObjectRef(type="Document", id=str(document)),
        changes=(change,) if change else (),
        reason=Reason(code="retention", text=why),
        result="denied" if result == "denied" else "ok",
        request=caller.request,
    )
