"""Alerts to the security unit: raised in the transaction of what they tell, delivered within seconds, retried until taken."""

import asyncio
import logging
from datetime import UTC, datetime
from typing import Any

from tenant_app.adapters.ports import Sink
from tenant_app.domain.actions import Action
from tenant_app.domain.audit import SYSTEM, Change, Entry, ObjectRef, Reason, stamp
from tenant_app.domain.ids import uuid7
from tenant_app.errors import AppError, SinkAway
from tenant_app.services.columns import Columns
from tenant_app.services.recorder import Recorder
from tenant_app.storage.database import Conn, Database, Row

log = logging.getLogger(__name__)
EVERY_SECONDS = 3.0


class Alerts:
    """Keeps alerts in the database and hands them to the first sink that takes them, in the configured order."""

    def __init__(
        self, database: Database, columns: Columns, recorder: Recorder, sinks: list[Sink], *, tenant: str
    ) -> None:
        self._database = database
        self._columns = columns
        self._recorder = recorder
        self._sinks = sinks
        self._tenant = tenant
        self.wake = asyncio.Event()

    async def raise_in(self, conn: Conn, kind: str, about: Entry) -> None:
        """Store an alert about an entry, in the entry's own transaction."""
        alert = uuid7()
        body = {"tenant": self._tenant, "kind": kind, "at": stamp(about.at), "entry": about.as_json()}
        await conn.execute(
            "INSERT INTO alerts (id, kind, sealed, at) VALUES (%s, %s, %s, %s)",
            (alert, kind, self._columns.seal(body, "alerts", str(alert)), datetime.now(UTC)),
        )
        self.wake.set()

    async def run(self) -> None:
        """Deliver until cancelled; what no sink took is tried again in three seconds."""
        while True:
            try:
                await self.deliver()
            except AppError as error:
                log.warning("alerts wait: %s", error.code)
            self.wake.clear()
            try:
                await asyncio.wait_for(self.wake.wait(), EVERY_SECONDS)
            except TimeoutError:
                continue

    async def deliver(self) -> int:
        """Hand over what waits; return how many were taken. Without a sink nothing is marked as delivered."""
        if not self._sinks:
            return 0
        await self._columns.ready()
        async with self._database.transaction() as conn:
            cursor = await conn.execute("SELECT * FROM alerts WHERE delivered_at IS NULL ORDER BY at LIMIT 50")
            waiting = await cursor.fetchall()
        taken = 0
        # A sink that failed is left out for the rest of the round: many alerts must not wait for it one after the other.
        away: set[str] = set()
        for row in waiting:
            body = self._columns.open(row["sealed"], "alerts", str(row["id"]))
            sink, refused = await self._offer(body, away)
            if sink is not None:
                await self._mark(row, sink, refused)
                taken += 1
        return taken

    async def _offer(self, body: dict[str, Any], away: set[str]) -> tuple[str | None, list[str]]:
        refused = []
        for sink in self._sinks:
            try:
                if sink.name in away:
                    raise SinkAway(f"{sink.name} failed a moment ago.")  # the same way out
                await sink.send(body)
            except AppError:
                away.add(sink.name)
                refused.append(sink.name)
                continue
            return sink.name, refused
        return None, refused

    async def _mark(self, row: Row, sink: str, refused: list[str]) -> None:
        async with self._database.transaction() as conn:
            await conn.execute(
                "UPDATE alerts SET delivered_at = %s, sink = %s WHERE id = %s", (datetime.now(UTC), sink, row["id"])
            )
            entry = Entry(
                action=Action.ALERTED,
                actor=SYSTEM,
                object=ObjectRef(type="Alert", id=str(row["id"])),
                changes=(Change(path="/sink", new=sink), Change(path="/refusedBy", new=", ".join(refused))),
                reason=Reason(code=row["kind"]),
            )
            await self._recorder.with_change(conn, entry)
