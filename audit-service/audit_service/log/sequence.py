"""Sequencing: entries get their index and become durable, many requests in one transaction (group commit).

One round takes everything that waits. While its transaction is with PostgreSQL the next round gathers. What a round keeps
in memory (sizes, sources' numbers) is a copy of the store's; after any failure it is dropped and read again, so a commit
whose answer was lost is found to have happened or not, never assumed.
"""

import asyncio
import contextlib
import logging
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from audit_contract.entry import timestamp
from audit_contract.form import Place
from audit_contract.leaf import read_leaf
from audit_contract.merkle import leaf_hash
from audit_service.log.batch import BusyError, Item, OtherBodyError, Outcome, OutOfStepError, Placed, Request
from audit_service.log.books import Books
from audit_service.log.clock import Clock, Evidence
from audit_service.log.preparing import is_same
from audit_service.metrics import APPENDED, ROUND_DRAFTS, ROUND_SECONDS
from audit_service.settings import Pace
from audit_service.store.errors import DuplicateError, FencedError, StoreError, StoreUnavailableError
from audit_service.store.reading import ReadingStore
from audit_service.store.records import NewLeaf, SourceHead, Stored
from audit_service.store.writing import SourceKey, WritingStore

_log = logging.getLogger(__name__)
_PATIENCE: Final = 0.25
_SMALL: Final = 16  # drafts; a request of so few is not kept waiting by those who send hundreds at once


@dataclass(slots=True)
class _LogState:
    """What the sequencer knows of one log: its size, its latest receive time, and where its sources stand."""

    size: int
    received: str
    sources: dict[tuple[str, str], SourceHead]


@dataclass(slots=True)
class _Round:
    """One transaction in the making."""

    old_sizes: dict[int, int] = field(default_factory=dict)
    leaves: list[NewLeaf] = field(default_factory=list)
    sources: dict[SourceKey, SourceHead] = field(default_factory=dict)
    ids: dict[tuple[int, str], NewLeaf] = field(default_factory=dict)
    answers: list[tuple[Request, Outcome]] = field(default_factory=list)


class Sequencer:
    """The one writer's queue. `submit` from anywhere; `run` is one task."""

    def __init__(self, reading: ReadingStore, writing: WritingStore, books: Books, pace: Pace, clock: Clock) -> None:
        self._reading, self._writing, self._books = reading, writing, books
        self._pace, self._clock = pace, clock
        self._evidence = Evidence()
        self._states: dict[int, _LogState] = {}
        self._waiting: deque[Request] = deque()
        self._drafts = 0
        self._stopped = False
        self._wake = asyncio.Event()
        self._unsigned: dict[int, int] = {}
        self._signing = asyncio.Event()
        self.grown: set[int] = set()
        self.has_grown = asyncio.Event()

    async def submit(self, request: Request) -> Outcome:
        """Wait until the request is durable. Raises SequenceError's children or StoreError's."""
        self.enqueue(request)
        return await request.answer

    def enqueue(self, request: Request) -> None:
        """Have the request sequenced; its `answer` says how that went. Raises BusyError."""
        if self._stopped:
            raise BusyError("this process is no longer the writer")
        if self._drafts + len(request.items) > self._pace.waiting_drafts:
            raise BusyError("too many entries are waiting to be written")
        self._waiting.append(request)
        self._drafts += len(request.items)
        self._wake.set()

    async def run(self) -> None:
        """Sequence for ever. Raises FencedError when another process has become the writer."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._waiting:
                    await self._let_signing_catch_up()
                    await self._commit(self._take())
        finally:
            self._stopped = True
            for request in self._waiting:
                _refuse(request, BusyError("this process is no longer the writer"))
            self._waiting.clear()

    async def _let_signing_catch_up(self) -> None:
        """Wait while too much is durable and not signed. A moment at most: signing that stands still stops no entry."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                while sum(self._unsigned.values()) > self._pace.unsigned_drafts:
                    self._signing.clear()
                    await self._signing.wait()

    def note_signed(self, log: int, size: int, durable: int) -> None:
        """Take note that a checkpoint covers `size` of the log's `durable` entries."""
        state = self._states.get(log)
        self._unsigned[log] = (durable if state is None else state.size) - size
        self._signing.set()

    def _take(self) -> list[Request]:
        """Take a round: first small requests, up to half of it, then what has waited longest; a source's own order is kept."""
        taken: list[Request] = []
        later: deque[Request] = deque() if self._drafts > self._pace.round_drafts else self._waiting
        held: set[SourceKey] = set()
        room = self._pace.round_drafts
        for request in self._waiting if later is not self._waiting else ():
            key, size = (request.log.number, request.kind, request.source), len(request.items)
            if size <= _SMALL and key not in held and room - size >= self._pace.round_drafts // 2:
                taken.append(request)
                room -= size
            else:
                held.add(key)
                later.append(request)
        while later and (not taken or len(later[0].items) <= room):
            taken.append(later.popleft())
            room -= len(taken[-1].items)
        self._waiting = later
        self._drafts -= self._pace.round_drafts - room
        return [request for request in taken if not request.answer.done()]

    async def _commit(self, requests: list[Request]) -> None:
        """Write one round; when an id turns out to be in the log already, look every id up and write the round again."""
        try:
            with ROUND_SECONDS.time():
                try:
                    await self._attempt(requests, look_up=False)
                except DuplicateError:
                    self._states.clear()
                    await self._attempt(requests, look_up=True)
        except (StoreError, ValueError) as error:
            self._states.clear()
            for request in requests:
                _refuse(request, error)
            if isinstance(error, FencedError):
                raise
            _log.warning("%d requests were not recorded: %s", len(requests), error)
        except BaseException:
            for request in requests:
                _refuse(request, StoreUnavailableError("the writer was stopped"))
            raise

    async def _attempt(self, requests: list[Request], *, look_up: bool) -> None:
        made = _Round()
        for request in requests:
            if request.answer.done():
                continue
            try:
                made.answers.append((request, await self._place(made, request, look_up=look_up)))
            except (OutOfStepError, OtherBodyError) as error:
                _refuse(request, error)
        if made.leaves:
            growth = {log: (old, self._states[log].size) for log, old in made.old_sizes.items()}
            await self._writing.commit(growth, made.leaves, made.sources)
            ROUND_DRAFTS.observe(len(made.leaves))
            APPENDED.inc(len(made.leaves))
            for log, (old, new) in growth.items():
                self._unsigned[log] = self._unsigned.get(log, 0) + new - old
            self.grown.update(growth)
            self.has_grown.set()
        for request, outcome in made.answers:
            if not request.answer.done():
                request.answer.set_result(outcome)

    async def _place(self, made: _Round, request: Request, *, look_up: bool) -> Outcome:
        """Give a request's drafts their places in this round. Raises OutOfStepError or OtherBodyError, then places none."""
        log = request.log.number
        state = self._states.get(log) or await self._load(log)
        source = (request.kind, request.source)
        head = state.sources.get(source, SourceHead())
        numbers = [item.seq for item in request.items]
        in_step = not request.numbered or numbers == list(range(head.next, head.next + len(numbers)))
        known: dict[str, Stored] = {}
        if look_up or not in_step or any((log, item.id) in made.ids for item in request.items):
            known = await self._known(made, request)
        fresh = [item for item in request.items if item.id not in known]
        if request.numbered and [item.seq for item in fresh] != list(range(head.next, head.next + len(fresh))):
            raise OutOfStepError(head.next, list(known))
        made.old_sizes.setdefault(log, state.size)
        state.received = max(state.received, timestamp(self._clock()))
        placed = {item.id: self._add(made, request, state, item) for item in fresh}
        placed |= {entry: Placed(entry, stored.index, stored.hash) for entry, stored in known.items()}
        if not fresh and made.old_sizes[log] == state.size:
            del made.old_sizes[log]
        return Outcome(tuple(placed[item.id] for item in request.items), state.sources.get(source, SourceHead()).next)

    def _add(self, made: _Round, request: Request, state: _LogState, item: Item) -> Placed:
        source = (request.kind, request.source)
        head = state.sources.get(source, SourceHead())
        place = Place(head.next, head.last.hex() or None, state.received, self._evidence())
        data = item.unplaced.leaf(place)
        leaf = NewLeaf(request.log.number, state.size, item.id, leaf_hash(data), data, item.values)
        state.size += 1
        state.sources[source] = SourceHead(head.next + 1, leaf.hash)
        made.leaves.append(leaf)
        made.ids[leaf.log, leaf.id] = leaf
        made.sources[leaf.log, *source] = state.sources[source]
        return Placed(leaf.id, leaf.index, leaf.hash)

    async def _load(self, log: int) -> _LogState:
        size = await self._reading.size(log)
        received = ""
        if size:
            received = read_leaf((await self._reading.leaves(log, size - 1, size))[0].data).received
        state = self._states[log] = _LogState(size, received, await self._reading.sources(log))
        return state

    async def _known(self, made: _Round, request: Request) -> dict[str, Stored]:
        """Return which of the request's drafts are recorded already or in this round. Raises OtherBodyError."""
        log = request.log.number
        known = await self._reading.known(log, [item.id for item in request.items])
        sealer = self._books.sealer(request.log)
        for item, draft in zip(request.items, request.drafts(), strict=True):
            stored = known.get(item.id)
            in_round = made.ids.get((log, item.id))
            values = []
            if stored is not None:
                values = await self._reading.values(log, stored.index, stored.index + 1)
            elif in_round is not None:
                stored = known[item.id] = Stored(in_round.index, in_round.hash, in_round.data)
                values = in_round.as_values()
            if stored is not None and not is_same(draft, request.log, stored, values, sealer):
                raise OtherBodyError(f"the log has an entry {item.id} with another body")
        return known


def _refuse(request: Request, error: Exception) -> None:
    if not request.answer.done():
        request.answer.set_exception(error)
