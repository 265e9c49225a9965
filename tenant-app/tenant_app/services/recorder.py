"""Writing and reading the trail. Every act's entry goes through here, sealed and chained (11.10(e))."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tenant_app.domain.actions import Action
from tenant_app.domain.audit import SYSTEM, Change, Entry, ObjectRef
from tenant_app.errors import AppError, AuditAway
from tenant_app.services.columns import Columns
from tenant_app.storage import outbox
from tenant_app.storage.database import Conn, Database

_ANNOUNCE_AGAIN = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """An entry read back: its link in the chain and its body."""

    link: outbox.Link
    body: dict[str, Any]

    def as_line(self) -> dict[str, Any]:
        """Return the entry with its place in the chain, as copies show it and reviews of the trail cover it."""
        return {"seq": self.link.seq, "chainHash": bytes(self.link.hash).hex(), "entry": self.body}


class Recorder:
    """The trail's one pen. `wake` tells the relay that something waits."""

    def __init__(self, database: Database, columns: Columns, *, max_lag_seconds: int) -> None:
        self._database = database
        self._columns = columns
        self._max_lag = max_lag_seconds
        self.wake = asyncio.Event()

    async def with_change(self, conn: Conn, *entries: Entry) -> None:
        """Append entries inside the change's own transaction: they commit together or not at all."""
        for entry in entries:
            await outbox.append(conn, entry, self._sealed(entry))
        self.wake.set()

    async def alone(self, *entries: Entry) -> None:
        """Append entries that stand alone: reads before they are answered, refusals, sign-ins that failed.

        Raises DependencyAway; the caller then shows nothing, so that no read goes unrecorded.
        """
        await self._columns.ready()
        async with self._database.record() as conn:
            for entry in entries:
                await outbox.append(conn, entry, self._sealed(entry))
        self.wake.set()

    async def announce(self, image: str, version: str, *running: Change) -> None:
        """Record that this process began, and with what, such as which workflow; tried until it can be written (11.10(k)(2))."""
        entry = Entry(
            action=Action.APP_STARTED,
            actor=SYSTEM,
            object=ObjectRef(type="App", id="tenant-app"),
            changes=(Change(path="/image", new=image), Change(path="/version", new=version), *running),
        )
        while True:
            try:
                await self.alone(entry)
            except AppError:
                await asyncio.sleep(_ANNOUNCE_AGAIN)
            else:
                return

    async def refuse_when_behind(self, conn: Conn) -> None:
        """Let a change go on only while the audit service keeps up, by the tenant's policy.

        Raises AuditAway when the oldest entry has waited longer than allowed. Reads never ask.
        """
        await self._columns.ready()
        oldest, _ = await outbox.oldest_undelivered(conn)
        if oldest is not None and (datetime.now(UTC) - oldest).total_seconds() > self._max_lag:
            raise AuditAway(
                "The audit log cannot be reached, so changes are paused. Reading goes on. Nothing was lost:"
                " changes are possible again by themselves once the audit log answers."
            )

    async def of_object(self, conn: Conn, object_id: str) -> list[Recorded]:
        """Return an object's entries, newest first."""
        return [self.opened(link) for link in await outbox.of_object(conn, object_id)]

    def opened(self, link: outbox.Link) -> Recorded:
        """Return a stored entry with its body. Raises IntegrityViolation when it was altered."""
        return Recorded(link=link, body=self._columns.open(link.sealed, *_place(link)))

    def _sealed(self, entry: Entry) -> bytes:
        place = (str(entry.id), entry.actor.sub, entry.action.value, entry.object.type, entry.object.id, entry.result)
        return self._columns.seal(entry.as_json(), "audit_outbox", *place)


def _place(link: outbox.Link) -> tuple[str, ...]:
    return (
        "audit_outbox",
        str(link.id),
        link.actor,
        link.action,
        link.object_type,
        link.object_id,
        link.result,
    )
