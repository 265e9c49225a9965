"""The relay: carries the trail from the tenant's database to the audit service, in order, exactly once.

Exactly once comes from the entry's own id: one sent again after a crash is answered as it was before. The source that the audit
service sees is this pod's part of this database's chain.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from tenant_app.adapters.ports import AuditLog, Outgoing
from tenant_app.errors import AppError, AuditAway
from tenant_app.services.columns import Columns
from tenant_app.services.recorder import Recorder
from tenant_app.storage import outbox
from tenant_app.storage.database import Conn, Database

log = logging.getLogger(__name__)
BATCH = 128
POLL_SECONDS = 2.0
LONGEST_PAUSE = 15.0
# Any number will do, as long as every replica of the app takes the same lock: one delivers, the others stand by.
_LOCK = 0x52656C61


@dataclass(slots=True)
class Progress:
    """What the relay last saw, for readiness, metrics and the page's banner."""

    waiting: int = 0
    oldest: datetime | None = None
    delivered: int = 0
    problem: str = ""

    @property
    def lag_seconds(self) -> float:
        """Return how long the oldest waiting entry has waited."""
        return (datetime.now(UTC) - self.oldest).total_seconds() if self.oldest else 0.0


class Relay:
    """Delivers what waits; started by the web app, stopped with it."""

    def __init__(self, database: Database, columns: Columns, recorder: Recorder, audit: AuditLog) -> None:
        self._database = database
        self._columns = columns
        self._recorder = recorder
        self._audit = audit
        self.progress = Progress()

    async def run(self) -> None:
        """Deliver until cancelled; every failure is a pause, then another try."""
        pause = 0.5
        while True:
            try:
                await self.deliver_all()
            except AppError as error:
                self.progress.problem = error.code
                log.warning("delivery of the trail waits: %s", error.code)
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
                continue
            pause = 0.5
            self._recorder.wake.clear()
            try:
                await asyncio.wait_for(self._recorder.wake.wait(), POLL_SECONDS)
            except TimeoutError:
                continue

    async def deliver_all(self) -> int:
        """Deliver until nothing waits; return how many. Another replica at work means 0.

        Raises AuditAway, VaultAway, DependencyAway.
        """
        await self._columns.ready()
        total = 0
        async with self._sole() as alone:
            while alone and (count := await self._deliver_batch()):
                total += count
        await self._look()
        return total

    async def _deliver_batch(self) -> int:
        async with self._database.transaction() as conn:
            links = await outbox.undelivered(conn, limit=BATCH)
            chain = str(await outbox.chain_id(conn))
        if not links:
            return 0
        entries = [Outgoing(seq=link.seq, body=self._recorder.opened(link).body) for link in links]
        answers = {answer.id: answer for answer in await self._audit.deliver(chain, entries)}
        receipts = [
            outbox.Receipt(seq=link.seq, log_index=answer.log_index, leaf_hash=answer.leaf_hash)
            for link in links
            if (answer := answers.get(str(link.id))) is not None
        ]
        if len(receipts) != len(links):
            raise AuditAway("The audit service did not acknowledge every entry.")
        async with self._database.transaction() as conn:
            await outbox.keep_receipts(conn, receipts)
        self.progress.delivered += len(receipts)
        return len(receipts)

    async def _look(self) -> None:
        async with self._database.transaction() as conn:
            self.progress.oldest, self.progress.waiting = await outbox.oldest_undelivered(conn)
        self.progress.problem = ""

    @asynccontextmanager
    async def _sole(self) -> AsyncIterator[bool]:
        async with self._database.transaction() as conn:
            yield await _try_lock(conn)


async def _try_lock(conn: Conn) -> bool:
    # Held by the transaction, so it goes when this replica does, however it ends.
    cursor = await conn.execute("SELECT pg_try_advisory_xact_lock(%s) AS got", (_LOCK,))
    row = await cursor.fetchone()
    return bool(row and row["got"])
