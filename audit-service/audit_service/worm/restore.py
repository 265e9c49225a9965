"""`python -m audit_service restore`: make logs again from their copies, or only prove that it could be done.

A log is restored whole or not at all, into a database that has nothing of it or the beginning of it; never over one that has
more or other entries. What is written was proven against the signed checkpoint first (worm/check).
"""

import logging
import re
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import asyncpg

from audit_contract.actions import SERVICE_SOURCE
from audit_contract.keys import parse_vkey
from audit_contract.leaf import field_number
from audit_contract.report import Exit
from audit_contract.tiles import WIDTH
from audit_service.keyring import Keyring
from audit_service.log.books import Books
from audit_service.log.clock import now
from audit_service.log.guard import Guard
from audit_service.log.integrate import Integrator
from audit_service.log.sealing import UnsealError, ValueSealer, open_log_key
from audit_service.log.sequence import Sequencer
from audit_service.log.signing import first_checkpoint
from audit_service.settings import Settings
from audit_service.store.connect import open_pool, service_arguments
from audit_service.store.copies import CopyProgress, Progress
from audit_service.store.errors import translated
from audit_service.store.held import HeldStore, insert_held
from audit_service.store.reading import ReadingStore
from audit_service.store.records import Generation, Signed
from audit_service.store.restoring import OtherEntryError, raise_fence, restoring, set_note
from audit_service.store.writing import WritingStore, take_lease
from audit_service.worm.check import Walk
from audit_service.worm.keys import RestoreKeys, at_hand
from audit_service.worm.reading import BadCopyError, logs_in, open_copy
from audit_service.worm.source import BucketSource, FolderSource, Source
from audit_service.worm.stores import Stores

_log = logging.getLogger(__name__)
_OWN_SOURCE: Final = re.compile(r"cloister-audit/([0-9]+)")


@dataclass(frozen=True, slots=True)
class Restored:
    """What became of one log."""

    log: str
    size: int
    root: str
    had: int
    """Entries that the database had before."""


def source_of(settings: Settings, name: str) -> Source:
    """Return the bucket of the Region with this name, else the folder. Raises BadCopyError when it is neither."""
    stores = Stores(settings.worm)
    stores.refresh()
    bucket = stores.named(name)
    if bucket is not None:
        return BucketSource(bucket)
    folder = Path(name)
    if not folder.is_dir():
        known = ", ".join(stores.regions) or "none"
        raise BadCopyError(Exit.BAD_INPUT, None, f"--from {name}: neither a region with a store ({known}) nor a folder")
    return FolderSource(folder)


class Restorer:
    """Restores logs from one source. Every method raises BadCopyError, CopyStoreError or StoreError."""

    def __init__(self, settings: Settings, source: Source, keys: Sequence[str] = ()) -> None:
        """`keys` are verifier keys (vkeys) that are believed beside the service's own: those before a rotation."""
        self._settings, self._source = settings, source
        self._keys = RestoreKeys(settings, source)
        self._more = tuple(parse_vkey(key) for key in keys)

    async def names(self) -> list[str]:
        """Return the logs that the source has copies of. Raises BadCopyError when there is none."""
        found = await logs_in(self._source)
        if not found:
            raise BadCopyError(Exit.INCOMPLETE, None, f"{self._source.where} holds no copy of any log")
        return found

    async def _walk(self, log: str, keys: Keyring) -> Walk:
        origin = self._settings.origin(log)
        known = {vkey: parse_vkey(vkey) for vkeys in await at_hand(keys, origin) for vkey in vkeys}
        copy = await open_copy(
            self._source, log, origin, [*known.values(), *(key for key in self._more if key.name == origin)]
        )
        signed, ignored = await copy.last()
        if ignored:
            _log.warning("%s: checkpoints of %s entries are not signed by this log's keys; ignored", log, ignored)
        try:
            sealer = ValueSealer(open_log_key(keys.sealing, origin, copy.log.sealed_key))
        except UnsealError as error:
            raise BadCopyError(Exit.POLICY, None, str(error)) from error
        return Walk(copy, signed, sealer)

    async def check(self, log: str) -> Restored:
        """Prove that a log could be restored; no database is touched."""
        walk = await self._walk(log, await self._keys.of(log, ()))
        async for _ in walk.blocks():
            pass
        return Restored(log, walk.signed.size, walk.signed.root.hex(), 0)

    async def restore(self, desk: "Desk", log: str) -> Restored:
        """Restore one log."""
        stored = await desk.held.all()
        keys = await self._keys.of(log, stored)
        walk = await self._walk(log, keys)
        record, signed = walk.copy.log, walk.signed
        known = await _known(desk.reading, walk)
        generations = await self._generations(walk, keys)
        first = await first_checkpoint(record.origin, keys.current.signers(record.origin), int(now().timestamp()))
        try:
            async with restoring(desk.connection, record, first, known) as store:
                async for block in walk.blocks():
                    await store.add(block.leaves, block.erased)
                erasures = {(entry, field_number(name)): by for (entry, name), by in walk.erasures.items()}
                await store.keys(generations)
                await insert_held(desk.connection, [key for key in keys.held if key not in stored])
                await store.finish(signed.size, walk.sources, erasures)
        except OtherEntryError as error:
            said = f"the database has another entry here than the copy of {log}: they are two histories"
            raise BadCopyError(Exit.TAMPERED, error.index, said) from error
        await self._integrate(desk.integrator(self._settings, keys), desk, store.number, signed)
        await desk.above(walk)
        if isinstance(self._source, BucketSource):
            progress = Progress(signed.size // WIDTH, signed.size)
            await desk.progress.save(store.number, self._source.where, progress)
        return Restored(log, signed.size, signed.root.hex(), store.size)

    async def _generations(self, walk: Walk, keys: Keyring) -> list[Generation]:
        """Return the keys that signed the log one after the other; a stranger follows them by what each signed for the next.

        They count only as far as they lead to keys at hand: those are the ones that go on signing.
        """
        found = await walk.copy.generations()
        usable = await at_hand(keys, walk.copy.log.origin)
        while found and found[-1].vkeys not in usable:
            found.pop()
        if [each.number for each in found] != list(range(len(found))):
            raise BadCopyError(Exit.INCOMPLETE, None, f"{walk.copy.log.name}: a generation of its keys is missing")
        return found

    async def _integrate(self, integrator: Integrator, desk: "Desk", number: int, signed: Signed) -> None:
        """Build the tree as the service does, from what the database gives back, and put the published checkpoint there."""
        made = await integrator.integrate(number)
        if (made.size, made.root) != (signed.size, signed.root):
            said = f"the restored database has {made.size} entries of root {made.root.hex()}, not what was signed"
            raise BadCopyError(Exit.TAMPERED, None, said)
        await set_note(desk.connection, number, signed)


@dataclass
class Desk:
    """The database, held by the writer's lease: while this is there, no service writes to it."""

    connection: asyncpg.Connection
    pool: asyncpg.Pool
    fence: int

    def __post_init__(self) -> None:
        self.reading, self.progress, self.held = ReadingStore(self.pool), CopyProgress(self.pool), HeldStore(self.pool)

    def integrator(self, settings: Settings, keys: Keyring) -> Integrator:
        """Return what builds trees; nothing is remembered for the fork guard, which has seen these checkpoints."""
        writing, books = WritingStore(self.pool, self.fence), Books(self.reading, keys)
        sequencer = Sequencer(self.reading, writing, books, settings.pace, now)
        return Integrator(self.reading, writing, books, sequencer, settings.pace, now, Guard(None))

    async def above(self, walk: Walk) -> None:
        """Let the next writer be a source that the log does not know yet."""
        own = [_OWN_SOURCE.fullmatch(name) for kind, name in walk.sources if kind == SERVICE_SOURCE]
        highest = max((int(found[1]) for found in own if found is not None), default=0)
        if highest > self.fence:
            await raise_fence(self.connection, highest)
            self.fence = highest


@asynccontextmanager
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    """Take the writer's lease. Raises BadCopyError when a service has it."""
    async with translated():
        connection = await asyncpg.connect(**service_arguments(settings.database))
    pool = await open_pool(settings.database)
    try:
        fence = await take_lease(connection, f"restore on {socket.gethostname()}")
        if fence is None:
            said = "an audit service writes to this database: stop it first (scale it to 0 and wait until it is gone)"
            raise BadCopyError(Exit.POLICY, None, said)
        yield Desk(connection, pool, fence)
    finally:
        await pool.close()
        connection.terminate()


async def _known(reading: ReadingStore, walk: Walk) -> tuple[int, int] | None:
    """Return number and size of the log where the database has it. Raises BadCopyError when it has more, or another."""
    wanted, found = walk.copy.log, await reading.log(walk.copy.log.name)
    if found is None:
        return None
    size = await reading.size(found.number)
    if size > walk.signed.size:
        said = f"the database has {size} entries of {wanted.name} and the copy {walk.signed.size}: nothing is restored over more"
        raise BadCopyError(Exit.POLICY, None, said)
    if replace(found, number=0) != wanted:
        raise BadCopyError(
            Exit.POLICY, None, f"the database has another log by the name {wanted.name}: nothing is restored"
        )
    return found.number, size


def say(done: Restored, where: str, *, checked: bool) -> str:
    """Return a sentence for a person."""
    had = f", of which the database had {done.had}" if done.had else ""
    verb = "could be restored" if checked else "restored"
    at = datetime.now(UTC).isoformat(timespec="seconds")
    return f"{at} {done.log}: {done.size} entries {verb} from {where}{had}; root {done.root}"
