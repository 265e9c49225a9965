"""Being the one writer: take the lease, write, and give up at once when it is lost.

The lease is a session lock of PostgreSQL, free as soon as its holder's connection is gone; the fence is a number in the same
database that every commit checks. A second process waits and serves reads.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import asyncpg

from audit_contract.keys import parse_vkey
from audit_service.log.batch import BusyError
from audit_service.log.books import Books
from audit_service.log.clock import Clock
from audit_service.log.guard import ForkError, Guard
from audit_service.log.integrate import Integrator
from audit_service.log.opening import Opening
from audit_service.log.own import OwnEntries, checkpoint_recorded, log_created, writer_started
from audit_service.log.rotation import Rotation
from audit_service.log.sealing import new_log_key
from audit_service.log.sequence import Sequencer
from audit_service.log.signing import first_checkpoint
from audit_service.log.stamping import Stamping
from audit_service.log.witnessing import Witnesses
from audit_service.metrics import WRITER
from audit_service.settings import PLATFORM_LOG, Settings
from audit_service.store.connect import service_arguments
from audit_service.store.copies import CopyProgress
from audit_service.store.errors import DuplicateError, FencedError, StoreError, translated
from audit_service.store.reading import ReadingStore
from audit_service.store.records import LogRecord
from audit_service.store.writing import WritingStore, take_lease
from audit_service.worm.copier import Copier

_log = logging.getLogger(__name__)
_RETRY: Final = 0.5
_REFUSED: Final = 10.0
_HEARTBEAT: Final = 2.0


@dataclass(frozen=True, slots=True)
class Desk:
    """What the writer works with while it is the writer."""

    writing: WritingStore
    sequencer: Sequencer
    integrator: Integrator
    own: OwnEntries


class Writer:
    """`run` is one task for the life of the process; `desk` is there while this process is the writer."""

    def __init__(
        self, settings: Settings, pool: asyncpg.Pool, reading: ReadingStore, books: Books, clock: Clock
    ) -> None:
        self._settings, self._pool, self._reading, self._books, self._clock = settings, pool, reading, books, clock
        self._desk: Desk | None = None
        self._why = "another process is, or none yet"
        self.keys = Opening(settings, pool, reading, books)
        self.guard = Guard(settings.guard_folder)
        self.witnesses = Witnesses(settings, reading, books)
        self.copier = Copier(settings, reading, books, CopyProgress(pool), clock)
        self._creating = asyncio.Lock()

    @property
    def desk(self) -> Desk:
        """Return the writer's desk. Raises BusyError when another process is the writer."""
        if self._desk is None:
            raise BusyError(f"nothing was recorded: this process is not the writer: {self._why}")
        return self._desk

    @property
    def is_writer(self) -> bool:
        """Tell whether this process writes."""
        return self._desk is not None

    async def run(self) -> None:
        """Become the writer, again and again."""
        try:
            await self._run()
        finally:
            await self.witnesses.close()

    async def _run(self) -> None:
        while True:
            try:
                await self.keys.look()
                async with self._lease() as (connection, fence):
                    await self.guard.check(self._reading)
                    await self.witnesses.check()
                    await self.copier.check()
                    await self.keys.complete(fence)
                    await self._write(connection, fence)
            except ForkError as error:
                self._why = self.guard.refusal = str(error)
                _log.critical("refusing to write: %s", error)
                await asyncio.sleep(_REFUSED)
            except (StoreError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                self._why = str(error)
                _log.warning("not the writer: %s: %s", type(error).__name__, error)
            except Exception:
                _log.exception("not the writer any more, for a reason nobody thought of; trying again")
            await asyncio.sleep(_RETRY)

    @contextlib.asynccontextmanager
    async def _lease(self) -> AsyncIterator[tuple[asyncpg.Connection, int]]:
        """Wait for the lease and hold it."""
        async with translated():
            connection = await asyncpg.connect(**service_arguments(self._settings.database))
        try:
            yield connection, await _wait_for_lease(connection)
        finally:
            connection.terminate()  # the lock ends with the session, even when the server no longer answers

    async def _write(self, connection: asyncpg.Connection, fence: int) -> None:
        writing = WritingStore(self._pool, fence)
        self._books.forget_keys()
        sequencer = Sequencer(self._reading, writing, self._books, self._settings.pace, self._clock)
        pace = self._settings.pace
        integrator = Integrator(self._reading, writing, self._books, sequencer, pace, self._clock, self.guard)
        desk = Desk(writing, sequencer, integrator, OwnEntries(sequencer, self._books, fence))
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(sequencer.run())
                tasks.create_task(integrator.run())
                tasks.create_task(_hold(connection))
                await self._open(desk, fence)
                tasks.create_task(self._record_checkpoints(desk))
                tasks.create_task(self.witnesses.run(writing))
                tasks.create_task(Stamping(self._reading, writing, self._settings.timestamps).run())
                rotation = Rotation(self._reading, writing, self._books, desk.own, integrator.signed)
                tasks.create_task(rotation.run(pace.record_seconds))
                tasks.create_task(self.keys.run(pace.record_seconds))
                tasks.create_task(self.copier.run())
                self._desk = desk
                WRITER.set(1)
                _log.info("this process is the writer, fence %d", fence)
        except BaseExceptionGroup as errors:
            expected, other = errors.split((StoreError, BusyError, OSError))
            if expected is None or other is not None:
                raise
            raise FencedError("; ".join(sorted({str(each) for each in _single(expected)}))) from errors
        finally:
            self._desk = None
            WRITER.set(0)
            await writing.close()

    async def _open(self, desk: Desk, fence: int) -> None:
        """Make sure that the platform's log is there, and say in it who writes now."""
        platform = await self._books.find(PLATFORM_LOG)
        if platform is None:
            platform = await self._create(desk, self._record(PLATFORM_LOG, "platform", "", "", "", 0))
        await desk.own.append(platform, writer_started(socket.gethostname(), fence, _version()))

    def _record(self, name: str, kind: str, tenant: str, namespace: str, region: str, days: int) -> LogRecord:
        origin = self._settings.origin(name)
        sealed = new_log_key(self._books.keyring.sealing[0], origin)
        return LogRecord(0, name, origin, kind, tenant, namespace, region, days, sealed)

    async def create(self, name: str, tenant: str, namespace: str, region: str, days: int) -> tuple[LogRecord, bool]:
        """Create a tenant's log, or return the one of that name and False; whether it is the same is the caller's to see."""
        desk = self.desk
        async with self._creating:
            found = await self._books.find(name)
            if found is not None:
                if await self._reading.size(found.number) == 0:  # the process that made it ended before its first entry
                    await self._first_entry(desk, found)
                return found, False
            await self.witnesses.check_log(name, None)
            return await self._create(desk, self._record(name, "tenant", tenant, namespace, region, days)), True

    async def _create(self, desk: Desk, record: LogRecord) -> LogRecord:
        seconds = int(self._clock().timestamp())
        with contextlib.suppress(DuplicateError):
            keys = self._books.keyring.current
            signed = await first_checkpoint(record.origin, keys.signers(record.origin), seconds)
            vkeys = [each.vkey for each in await keys.verifiers(record.origin)]
            await desk.writing.create_log(record, signed, vkeys)
        await self._books.refresh()
        found = await self._books.find(record.name)
        if found is None:
            raise StoreError(f"log {record.name} was created and is not there")
        await self._first_entry(desk, found)
        return found

    async def _first_entry(self, desk: Desk, log: LogRecord) -> None:
        await desk.own.append(log, log_created(log, [parse_vkey(each) for each in await self._books.vkeys(log)]))

    async def _record_checkpoints(self, desk: Desk) -> None:
        """Enter every tenant log's checkpoint in the platform's log, soon after it has changed."""
        platform = await self._books.find(PLATFORM_LOG)
        recorded: dict[str, int] = {}
        while platform is not None:
            for name, signed in await self._reading.checkpoints():
                if name != PLATFORM_LOG and signed.size and recorded.get(name) != signed.size:
                    await desk.own.append(platform, checkpoint_recorded(name, self._settings.origin(name), signed))
                    recorded[name] = signed.size
            await asyncio.sleep(self._settings.pace.record_seconds)


def _single(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """Yield the exceptions in a group, however deep."""
    for each in group.exceptions:
        if isinstance(each, BaseExceptionGroup):
            yield from _single(each)
        else:
            yield each


async def _wait_for_lease(connection: asyncpg.Connection) -> int:
    """Ask for the lease until no other process holds it; return the new fence."""
    while True:
        fence = await take_lease(connection, socket.gethostname())
        if fence is not None:
            return fence
        await asyncio.sleep(_RETRY)


async def _hold(connection: asyncpg.Connection) -> None:
    """Watch the lease's connection. Raises FencedError when it is gone."""
    while True:
        try:
            async with translated():
                await connection.fetchval("SELECT 1")
        except StoreError as error:
            raise FencedError(f"the lease is lost: {error}") from error
        await asyncio.sleep(_HEARTBEAT)


def _version() -> str:
    try:
        return version("cloister")
    except PackageNotFoundError:
        return "unpackaged"
