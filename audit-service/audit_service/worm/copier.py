"""The writer's background task: whatever is signed and not yet in the copy goes there.

Nothing waits for it: while a store is away, entries are taken as ever and the copy catches up later. Full bundles are copied as
they become full; the entries after them, and the checkpoint that covers it all, when one would otherwise get too old.
"""

import asyncio
import contextlib
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from audit_contract.checkpoint import open_checkpoint
from audit_contract.keys import KeyVerifier
from audit_contract.note import NoteError, SignatureError, UnsignedError
from audit_service.log.books import Books
from audit_service.log.clock import Clock
from audit_service.log.guard import ForkError
from audit_service.metrics import WORM_FAILURES, WORM_LAG, WORM_UNCOPIED, WORM_WITHOUT_STORE
from audit_service.settings import PLATFORM_LOG, Settings
from audit_service.store.copies import CopyProgress, Progress
from audit_service.store.errors import DamagedError, StoreError
from audit_service.store.reading import ReadingStore
from audit_service.store.records import LogRecord
from audit_service.worm import layout
from audit_service.worm.bucket import Bucket, CopyStoreError, StoreAwayError
from audit_service.worm.one_log import LogCopy
from audit_service.worm.stores import Stores

_log = logging.getLogger(__name__)
_PARALLEL, _THREADS = 4, 16
_SAY_AGAIN_SECONDS: Final = 300.0
_CHECK_SECONDS: Final = 8.0
_LOOKED_AT: Final = 8


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one log's copy stands: in which bucket, how far, since when, and the age of the oldest entry not in it."""

    store: str
    region: str
    size: int
    copied: datetime | None
    lag_seconds: float


class Copier:
    """`run` is one task of the writer; `standing` may be asked anywhere."""

    def __init__(
        self, settings: Settings, reading: ReadingStore, books: Books, progress: CopyProgress, clock: Clock
    ) -> None:
        self._settings, self._reading, self._books = settings.worm, reading, books
        self._origin = settings.origin
        self._progress, self._clock = progress, clock
        self._stores = Stores(settings.worm)
        # Threads of its own: a store that hangs must not hold up what else the service does in threads.
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="worm")
        self._limits: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(_PARALLEL))
        self._away: set[str] = set()
        self._trusted: dict[tuple[int, str], Progress] = {}
        self._said: dict[tuple[str, str], float] = {}
        self._keys: dict[tuple[int, str], int] = {}
        self._held: dict[tuple[int, str], str] = {}

    async def check(self) -> None:
        """Refuse a database that is behind its own copy, such as a new and empty one. Raises ForkError.

        The platform's log is looked at: it grows with every other one. A store that does not answer keeps nobody from writing.
        """
        await self._refresh()
        bucket, log = self._stores.platform, await self._books.find(PLATFORM_LOG)
        size = 0 if log is None else await self._reading.size(log.number)
        if bucket is None:
            return
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                verifiers = await self._books.verifiers(self._origin(PLATFORM_LOG), log)
                found = await asyncio.get_running_loop().run_in_executor(
                    self._threads, self._ahead, bucket, size, verifiers
                )
        except (CopyStoreError, TimeoutError) as error:
            _log.warning("whether the database is behind its copy is not known: %s: %s", type(error).__name__, error)
            return
        if found is not None:
            raise ForkError(
                f"{PLATFORM_LOG}: the copy in {bucket.where} has {found} signed entries and the database has {size}: it is new "
                "or was set back. Restore it from the copy: docs/runbooks/audit-restore.md"
            )

    def _ahead(self, bucket: Bucket, size: int, verifiers: Sequence[KeyVerifier]) -> int | None:
        """Return the size of the largest signed checkpoint beyond `size`, None when there is none. In a thread."""
        origin = self._origin(PLATFORM_LOG)
        prefix = f"{PLATFORM_LOG}/"
        found = bucket.first_versions(prefix + layout.CHECKPOINTS, prefix + layout.checkpoint_name(size))
        for name in sorted(found, reverse=True)[:_LOOKED_AT]:
            with contextlib.suppress(NoteError, SignatureError, UnsignedError):
                point = open_checkpoint(bucket.read(name, found[name]), origin, verifiers).checkpoint
                if point.size > size:
                    return point.size
        # Some stores list the name to list after as well.
        if beyond := [name for name in found if name > prefix + layout.checkpoint_name(size)]:
            # Not refused: whoever has the writer's credentials could lay such objects there, and keep the service away.
            _log.warning(
                "%s: the copy in %s names %d checkpoints beyond the database's %d entries, and no key at hand signed the last "
                "of them. If the database was lost just after its keys were rotated: docs/runbooks/audit-restore.md",
                PLATFORM_LOG,
                bucket.where,
                len(beyond),
                size,
            )
        return None

    async def run(self) -> None:
        """Copy for ever; whatever goes wrong is said and tried again."""
        try:
            while True:
                try:
                    await self.round()
                except StoreError as error:
                    _log.warning("the copies wait for the database: %s", error)
                except Exception:
                    _log.exception("the copies stopped for a reason nobody thought of; trying again")
                await asyncio.sleep(self._settings.tick_seconds)
        finally:
            self._trusted.clear()  # another process may write from here on
            WORM_LAG.clear()
            WORM_UNCOPIED.clear()

    async def round(self) -> None:
        """Look at every log once, copy what is due, and say how far behind the copies are."""
        await self._refresh()
        logs, sizes, known = await self._books.refresh(), await self._reading.sizes(), await self._progress.all()
        pairs = [(log, bucket) for log in logs if (bucket := self._stores.of(log)) is not None]
        WORM_WITHOUT_STORE.set(len(logs) - len(pairs))
        copies = [self._copy_of(log, bucket, self._at(log, bucket, known)) for log, bucket in pairs]
        signed = {number: size for number, (_, size) in sizes.items()}
        self._away.clear()
        await asyncio.gather(*(self._one(each, signed[each.log.number]) for each in copies))
        lags: dict[str, float] = {self._stores.region_of(log): 0.0 for log, _ in pairs}
        uncopied = Counter(lags.keys())
        uncopied.subtract(lags.keys())
        for each in copies:
            region, missing = self._stores.region_of(each.log), signed[each.log.number] - each.progress.size
            if missing > 0:
                lags[region] = max(lags[region], await each.lag(self._clock()))
                uncopied[region] += missing
        for region, lag in lags.items():
            WORM_LAG.labels(region).set(lag)
            WORM_UNCOPIED.labels(region).set(uncopied[region])

    async def standing(self, log: LogRecord) -> Standing | None:
        """Return where the log's copy stands; None when its Region has no store. Raises StoreUnavailableError."""
        if not self._stores:
            await self._refresh()  # this process is not the writer, or has only just begun
        bucket = self._stores.of(log)
        if bucket is None:
            return None
        at = await self._progress.of(log.number, bucket.where)
        trusted = self._trusted.get((log.number, bucket.where))
        if trusted is not None and trusted.size < at.size:  # it is being made again
            at = trusted
        copy = self._copy_of(log, bucket, at)
        return Standing(bucket.where, self._stores.region_of(log), at.size, at.copied, await copy.lag(self._clock()))

    def _copy_of(self, log: LogRecord, bucket: Bucket, progress: Progress | None) -> LogCopy:
        platform = log.name == PLATFORM_LOG
        days = max(1, self._settings.platform_retention_days if platform else log.retention_days)

        async def put(name: str, data: bytes) -> None:
            until = self._clock() + timedelta(days=days)
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._threads, bucket.put, f"{log.name}/{name}", data, until)

        async def has(name: str) -> bool:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, bucket.has, f"{log.name}/{name}")

        return LogCopy(log, bucket.where, progress or Progress(), self._reading, self._progress, put, has)

    def _at(self, log: LogRecord, bucket: Bucket, known: Mapping[tuple[int, str], Progress]) -> Progress | None:
        key = log.number, bucket.where
        return self._trusted.get(key) or known.get(key)

    async def _one(self, copy: LogCopy, size: int) -> None:
        """Copy what is due of one log. Its trouble is said, and leaves the others alone; so does a store that is away."""
        async with self._limits[copy.store]:
            key = copy.log.number, copy.store
            if copy.store in self._away or (key in self._trusted and copy.progress.size >= size):
                return
            try:
                if key not in self._trusted:
                    await self._look(copy)
                if copy.progress.size < size:
                    await self._due(copy)
            except (CopyStoreError, DamagedError) as error:
                if isinstance(error, StoreAwayError):
                    self._away.add(copy.store)
                WORM_FAILURES.labels(self._stores.region_of(copy.log)).inc()
                self._say(copy.log.name, str(error))
            finally:
                if key in self._trusted:
                    self._trusted[key] = copy.progress

    async def _look(self, copy: LogCopy) -> None:
        """See, once in a process's life, that the store still has what was noted; a store that was emptied is filled again."""
        last = copy.progress.size
        if last and not await copy.has(layout.checkpoint_name(last)):
            _log.error(
                "%s no longer has the copy of %s (%d entries); it is made again", copy.store, copy.log.name, last
            )
            copy.progress = Progress()
            for kept in (self._keys, self._held):
                kept.pop((copy.log.number, copy.store), None)
        self._trusted[copy.log.number, copy.store] = copy.progress

    async def _due(self, copy: LogCopy) -> None:
        signed = await self._reading.checkpoint(copy.log.number)
        await copy.identity(self._clock())
        key = copy.log.number, copy.store
        self._keys[key] = await copy.keys(self._keys.get(key, 0))
        self._held[key] = await copy.held(self._books.keyring.held, self._clock(), self._held.get(key, ""))
        await copy.bundles(signed)
        # Half of the time is left for the copying itself and for the next round.
        if await copy.lag(self._clock()) * 2 >= self._settings.lag_seconds:
            await copy.checkpoint(signed)

    async def _refresh(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._threads, self._stores.refresh)

    def _say(self, log: str, text: str) -> None:
        """Say a failure, but the same one not again for some minutes: a store may be away for days."""
        at = time.monotonic()
        if at - self._said.get((log, text), at - _SAY_AGAIN_SECONDS) >= _SAY_AGAIN_SECONDS:
            self._said[log, text] = at
            _log.warning("the copy of %s waits: %s", log, text)
