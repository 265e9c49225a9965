"""Asking the witnesses: every new checkpoint is sent to them, and what enough of them have cosigned is published.

Entries do not wait for it: the plain checkpoint is there at once, the cosigned one follows, always the newest. The witnesses
are also asked before this process writes: a database that is behind one of them is never written to again.
"""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from audit_contract.checkpoint import Checkpoint
from audit_contract.keys import KeyVerifier
from audit_contract.merkle import consistency_ranges
from audit_contract.note import Note, Signature, parse
from audit_contract.policy import parse_policy, write_policy
from audit_service.log.books import Books
from audit_service.log.guard import ForkError, compare
from audit_service.log.peer import NoGrowthError, OtherSizeError, Peer, UnreachableError, WitnessError
from audit_service.log.proving import prove
from audit_service.metrics import COSIGNED, UNWITNESSED, WITNESS_FAILURES
from audit_service.settings import PLATFORM_LOG, Settings
from audit_service.store.errors import FencedError, StoreError
from audit_service.store.reading import ReadingStore
from audit_service.store.records import LogRecord, Signed
from audit_service.store.writing import WritingStore

_log = logging.getLogger(__name__)
_AT_ONCE: Final = 8
_TRIES: Final = 4
_REST: Final = 1.0


@dataclass(slots=True)
class _Trouble:
    """Why a witness is left alone for a moment."""

    text: str = ""
    until: float = 0.0


@dataclass(slots=True)
class _Ages:
    """Since when each log has entries that no quorum has seen; seconds of the monotonic clock."""

    since: dict[int, float] = field(default_factory=dict)

    def look(self, waiting: Sequence[int]) -> None:
        at = time.monotonic()
        self.since = {log: self.since.get(log, at) for log in waiting}

    def oldest(self, log: int | None) -> float:
        chosen = (at for number, at in self.since.items() if log in {None, number})
        return max((time.monotonic() - at for at in chosen), default=0.0)


class Witnesses:
    """The witnesses of this installation. Without any, nothing is asked and nothing is published."""

    def __init__(self, settings: Settings, reading: ReadingStore, books: Books) -> None:
        self._settings, self._reading, self._books = settings, reading, books
        self.peers = [Peer(each, settings.guard_folder) for each in settings.witnesses]
        self._trouble = {peer.name: _Trouble() for peer in self.peers}
        self._ages = _Ages()
        self.refusal = ""

    async def close(self) -> None:
        """Close all connections."""
        for peer in self.peers:
            await peer.close()

    def troubles(self) -> dict[str, str]:
        """Return what is wrong with each witness that did not answer as it should."""
        return {name: trouble.text for name, trouble in self._trouble.items() if trouble.text}

    def unwitnessed_seconds(self, log: int | None = None) -> float:
        """Return for how long the oldest entry, of one log or of all, has waited for a quorum."""
        return self._ages.oldest(log)

    async def policy(self, log_vkeys: Sequence[str]) -> str | None:
        """Return the tlog-policy of a log with these keys, None when there are no witnesses.

        A witness whose keys are not known yet cannot be named; the threshold stays, so that nothing passes for witnessed.
        """
        if not self.peers:
            return None
        named = {peer.name: [each.vkey for each in await peer.pinned()] for peer in await self._named()}
        if len(named) < self._settings.quorum:
            return None
        return write_policy(log_vkeys, named, self._settings.quorum)

    async def _named(self) -> list[Peer]:
        """Return the witnesses whose keys are known and their own; one that shows another's keys is not a second witness."""
        found, seen = [], set[bytes]()
        for peer in self.peers:
            keys = {each.key.public_bytes_raw() for each in await peer.pinned()}
            if keys & seen:
                self._trouble[peer.name].text = f"{peer.name}: it has the keys of another witness and does not count"
            elif keys:
                found.append(peer)
            seen |= keys
        return found

    async def check(self) -> None:
        """Compare the database with what each reachable witness last signed. Raises ForkError saying how to go on."""
        logs: dict[str, LogRecord | None] = {PLATFORM_LOG: None}
        logs |= {log.name: log for log in await self._reading.logs()}
        for peer in self.peers:
            await self._check(peer, logs)
        self.refusal = ""

    async def check_log(self, name: str, log: LogRecord | None) -> None:
        """Compare one log, or the place where it would be made (None), with the witnesses. Raises ForkError."""
        for peer in self.peers:
            await self._check(peer, {name: log})

    async def _check(self, peer: Peer, logs: Mapping[str, LogRecord | None]) -> None:
        for name, log in logs.items():
            origin = self._settings.origin(name)
            try:
                point = await peer.latest(origin, await self._books.verifiers(origin, log))
            except UnreachableError as error:
                _log.warning("before writing, a witness was not asked: %s", error)
                return
            except WitnessError as error:
                _log.warning("before writing, what a witness said did not count: %s", error)
                continue
            if point is not None:
                await self._compare(peer, name, log, point)

    async def _compare(self, peer: Peer, name: str, log: LogRecord | None, point: Checkpoint) -> None:
        try:
            await compare(self._reading, log, name, point)
        except ForkError as error:
            self.refusal = f"witness {peer.name}: {error}"
            raise ForkError(self.refusal) from error
        peer.sizes[point.origin] = point.size

    async def run(self, writing: WritingStore) -> None:
        """Send every log's newest checkpoint, for ever. Raises FencedError when the database is behind a witness."""
        limit = asyncio.Semaphore(_AT_ONCE)

        async def one(log: int) -> None:
            async with limit:
                await self._cosign(writing, log)

        while self.peers:
            try:
                waiting = await self._reading.unwitnessed()
                self._ages.look(waiting)
                UNWITNESSED.set(self.unwitnessed_seconds())
                async with asyncio.TaskGroup() as tasks:
                    for log in waiting:
                        tasks.create_task(one(log))
            except* FencedError:
                raise
            except* StoreError as errors:
                _log.warning("the witnesses are not asked now: %s", errors.exceptions[0])
            await asyncio.sleep(self._settings.pace.witness_ms / 1000)

    async def _cosign(self, writing: WritingStore, number: int) -> None:
        """Have the newest checkpoint of one log cosigned, and publish it when the quorum is met."""
        started = time.monotonic()
        log = await self._books.numbered(number)
        signed = await self._reading.checkpoint(number)
        note = parse(signed.note)
        found = await asyncio.gather(*(self._asked(peer, log, signed, note) for peer in self.peers))
        by: list[KeyVerifier] = []
        cosignatures: list[Signature] = []
        counted = await self._named()
        for peer, signatures in zip(self.peers, found, strict=True):
            if signatures and peer in counted:
                by += await peer.keys()
                cosignatures += signatures
        policy = await self.policy(())
        if policy is None or not cosignatures or not parse_policy(policy).met(by):
            return
        await writing.cosign(number, signed.size, Note(note.text, (*note.signatures, *cosignatures)).encode())
        self._ages.since[number] = started
        COSIGNED.inc()

    async def _asked(self, peer: Peer, log: LogRecord, signed: Signed, note: Note) -> tuple[Signature, ...]:
        """Return a witness's cosignatures, nothing when it gave none; its trouble is kept and said once."""
        trouble = self._trouble[peer.name]
        if trouble.until > time.monotonic():
            return ()
        try:
            found = await self._ask(peer, log, signed, note)
        except WitnessError as error:
            WITNESS_FAILURES.labels(witness=peer.name).inc()
            if trouble.text != str(error):
                _log.warning("%s", error)
            trouble.text, trouble.until = str(error), time.monotonic() + _REST
            return ()
        except ForkError as error:
            _log.critical("the database is not what was signed: %s", error)
            raise FencedError(str(error)) from error
        trouble.text = ""
        return found

    async def _ask(self, peer: Peer, log: LogRecord, signed: Signed, note: Note) -> tuple[Signature, ...]:
        old = peer.sizes.get(log.origin, 0)
        for _ in range(_TRIES):
            if old > signed.size:
                break
            ranges = consistency_ranges(old, signed.size) if 0 < old < signed.size else []
            try:
                found = await peer.add(note, old, await prove(self._reading, log.number, signed.size, ranges))
            except OtherSizeError as error:
                old = error.size
                continue
            except NoGrowthError as error:
                return await self._explain(peer, log, str(error))
            peer.sizes[log.origin] = signed.size
            return found
        return await self._explain(peer, log, f"{peer.name}: it has signed {old} leaves, we {signed.size}")

    async def _explain(self, peer: Peer, log: LogRecord, said: str) -> tuple[Signature, ...]:
        """Find out who is wrong. Raises ForkError when it is the database, WitnessError when that cannot be shown."""
        peer.sizes.pop(log.origin, None)
        point = await peer.latest(log.origin, await self._books.verifiers(log.origin, log))
        if point is not None:
            await self._compare(peer, log.name, log, point)
        raise WitnessError(f"{said}; its own checkpoint does not contradict the database")
