"""The scrubber: finds an altered byte without anyone reading it, and tells within a minute (11.10(a), AT-03)."""

import asyncio
import logging
from uuid import UUID

from tenant_app.domain.actions import Action
from tenant_app.domain.audit import SYSTEM, Entry, ObjectRef, Reason
from tenant_app.errors import AppError
from tenant_app.services.alerts import Alerts
from tenant_app.services.columns import Columns
from tenant_app.services.recorder import Recorder
from tenant_app.storage import outbox, records
from tenant_app.storage.database import Database

log = logging.getLogger(__name__)
EVERY_SECONDS = 30.0
PAGE = 50
_START = (UUID(int=0), 0)


class Scrub:
    """Compares every stored ciphertext with its digest, and every link of the trail with the one before it.

    The digests are of ciphertext and the sums are made by PostgreSQL, so a pass needs no key and moves no bytes.
    """

    def __init__(self, database: Database, columns: Columns, recorder: Recorder, alerts: Alerts) -> None:
        self._database = database
        self._columns = columns
        self._recorder = recorder
        self._alerts = alerts
        self._told: set[str] = set()
        self._checked = (0, outbox.GENESIS)

    async def run(self) -> None:
        """Go over everything, every half minute, until cancelled."""
        while True:
            try:
                await self.look()
            except AppError as error:
                log.warning("the scrub waits: %s", error.code)
            await asyncio.sleep(EVERY_SECONDS)

    async def look(self) -> int:
        """Go over everything once; return how many findings were new."""
        await self._columns.ready()
        return await self._contents() + await self._trail()

    async def _contents(self) -> int:
        place: tuple[UUID, int] | None = _START
        found = 0
        while place is not None:
            async with self._database.transaction() as conn:
                rows, place = await records.altered(conn, place, PAGE)
            for row in rows:
                ref = ObjectRef(
                    type="Document", id=str(row["document"]), version=str(row["number"]), sha256=row["sha256"]
                )
                found += await self._tell(ref, "The stored bytes of a version were altered.")
        return found

    async def _trail(self) -> int:
        seq, previous = self._checked
        while True:
            async with self._database.transaction() as conn:
                links = await outbox.since(conn, seq, limit=500)
            for link in links:
                if link.seq != seq or outbox.link_hash(previous, link) != bytes(link.hash):
                    ref = ObjectRef(type="Trail", id=str(seq))
                    return await self._tell(ref, f"The audit trail is broken at entry {seq}.")
                seq, previous = seq + 1, bytes(link.hash)
            self._checked = (seq, previous)
            if not links:
                # From the beginning again next time: an old link can be altered as well as a new one.
                self._checked = (0, outbox.GENESIS)
                return 0

    async def _tell(self, ref: ObjectRef, text: str) -> int:
        mark = f"{ref.type}/{ref.id}/{ref.version}"
        if mark in self._told:
            return 0
        self._told.add(mark)
        entry = Entry(
            action=Action.INTEGRITY_VIOLATION,
            actor=SYSTEM,
            object=ref,
            reason=Reason(code="scrub", text=text),
            result="error",
        )
        async with self._database.transaction() as conn:
            await self._alerts.raise_in(conn, "integrity_violation", entry)
            await self._recorder.with_change(conn, entry)
        return 1
