"""Changing what is said of a document, and where it lies: each with a reason, old and new in the trail (11.10(e), AT-52).

Neither changes a right. A description that was signed is not edited under the signature: a new version comes first (AT-56).
"""

from uuid import UUID

from tenant_app.domain.access import Right
from tenant_app.domain.actions import Action
from tenant_app.domain.audit import Change, Entry, ObjectRef, Reason
from tenant_app.domain.documents import Metadata, checked_reason
from tenant_app.domain.folders import checked_folder, lies_in, moved
from tenant_app.domain.trail_review import MEANING as TRAIL_REVIEW
from tenant_app.errors import Conflict, InvalidInput
from tenant_app.services.caller import Caller
from tenant_app.services.columns import Columns
from tenant_app.services.document_entries import found_row
from tenant_app.services.recorder import Recorder
from tenant_app.services.rows import Rows
from tenant_app.services.search import Search
from tenant_app.storage import records, workflow
from tenant_app.storage.database import Conn, Database, Row

MOST_AT_ONCE = 500


class Filing:
    """Edits, moves and renames."""

    def __init__(
        self, database: Database, columns: Columns, recorder: Recorder, search: Search, *, tenant: str
    ) -> None:
        self._database = database
        self._columns = columns
        self._recorder = recorder
        self._search = search
        self._rows = Rows(columns, tenant)

    async def describe(self, caller: Caller, document: UUID, metadata: Metadata, reason: str) -> None:
        """Change a document's description.

        Raises Forbidden, InvalidInput without a reason, NotFound, Conflict when nothing changes or the newest version is signed.
        """
        caller.require(Right.AUTHOR)
        why = checked_reason(reason)
        async with self._database.transaction() as conn:
            await self._recorder.refuse_when_behind(conn)
            row = await self._locked(conn, document)
            old, new = self._rows.document(row).metadata.flat(), metadata.flat()
            changes = tuple(
                Change(path=path, old=old.get(path), new=new.get(path))
                for path in {**old, **new}
                if old.get(path, "") != new.get(path, "")
            )
            if not changes:
                raise Conflict("Nothing is different from what is stored.")
            signed = [each for each in await workflow.signatures(conn, document) if each["meaning"] != TRAIL_REVIEW]
            if any(each["version"] == row["version"] for each in signed):
                raise Conflict(
                    "The newest version is signed, and its signatures name this description. Add a new version first."
                )
            sealed = self._columns.seal(metadata.as_json(), "documents", str(document))
            await records.describe(conn, document, sealed)
            await self._recorder.with_change(conn, _entry(caller, row, "edit", changes, why))

    async def move(self, caller: Caller, document: UUID, folder: str, reason: str) -> None:
        """Put a document into a folder. Raises Forbidden, InvalidInput, NotFound, Conflict when it lies there already."""
        caller.require(Right.AUTHOR)
        why, target = checked_reason(reason), checked_folder(folder)
        async with self._database.transaction() as conn:
            await self._recorder.refuse_when_behind(conn)
            row = await self._locked(conn, document)
            if self._rows.folder(row) == target:
                raise Conflict("The document lies in this folder already.")
            await self._recorder.with_change(conn, await self._file(conn, caller, row, target, why))

    async def rename(self, caller: Caller, old: str, new: str, reason: str) -> int:
        """Rename or move a folder with everything below it, all of it or nothing; return how many documents moved.

        Each of them has its own entry. Raises Forbidden, InvalidInput, Conflict.
        """
        caller.require(Right.AUTHOR)
        why, source, target = checked_reason(reason), checked_folder(old), checked_folder(new)
        if not source or not target or lies_in(target, source):
            raise InvalidInput("Name a folder, and one that does not lie in it, to move it to.", field="folder")
        await self._search.refresh()
        numbers = sorted(self._search.tree.all_in(source))
        if not numbers or len(numbers) > MOST_AT_ONCE:
            raise Conflict(
                "There is no such folder."
                if not numbers
                else f"{len(numbers)} documents lie there; at most {MOST_AT_ONCE} are moved at once. Move its folders one by one."
            )
        async with self._database.transaction() as conn:
            await self._recorder.refuse_when_behind(conn)
            # In one order, so that two renames at once wait for each other.
            found = sorted(await records.find_many(conn, numbers), key=lambda row: str(row["id"]))
            entries = []
            for row in [await self._locked(conn, each["id"]) for each in found]:
                here = self._rows.folder(row)
                if lies_in(here, source):
                    entries.append(await self._file(conn, caller, row, moved(here, source, target), why))
            await self._recorder.with_change(conn, *entries)
        return len(entries)

    async def _file(self, conn: Conn, caller: Caller, row: Row, target: str, why: str) -> Entry:
        here = self._rows.folder(row)
        await records.file_in(conn, row["id"], self._rows.sealed_folder(row["id"], target))
        return _entry(caller, row, "folder", (Change(path="/folder", old=here, new=target),), why)

    async def _locked(self, conn: Conn, document: UUID) -> Row:
        await records.lock_document(conn, document)
        return await found_row(conn, document)


def _entry(caller: Caller, row: Row, code: str, changes: tuple[Change, ...], why: str) -> Entry:
    return Entry(
        action=Action.DOCUMENT_CHANGED,
        actor=caller.actor,
        object=ObjectRef(type="Document", id=str(row["id"]), version=str(row["version"]), sha256=row["sha256"]),
        changes=changes,
        reason=Reason(code=code, text=why),
        request=caller.request,
    )
