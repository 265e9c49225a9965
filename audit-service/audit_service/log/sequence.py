"""Sequencing: entries get their index and become durable, many requests in one transaction (group commit).

One round takes everything that waits. While its transaction is with PostgreSQL the next round gathers, and small requests of
which nothing has to be looked up are placed in it already: their work is done while the disk does its own.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Sequence
from typing import Final

from audit_service.log.batch import BusyError, OtherBodyError, Outcome, OutOfStepError, Request
from audit_service.log.books import Books
from audit_service.log.clock import Clock
from audit_service.log.placing import Placing, Round
from audit_service.log.unsigned import Unsigned
from audit_service.metrics import APPENDED, ROUND_DRAFTS, ROUND_SECONDS
from audit_service.settings import Pace
from audit_service.store.errors import DuplicateError, FencedError, StoreError, StoreUnavailableError
from audit_service.store.reading import ReadingStore
from audit_service.store.writing import SourceKey, WritingStore

_log = logging.getLogger(__name__)
_SMALL: Final = 16  # drafts; a request of so few is not kept waiting by those who send hundreds at once


class Sequencer:
    """The one writer's queue. `submit` from anywhere; `run` is one task."""

    def __init__(self, reading: ReadingStore, writing: WritingStore, books: Books, pace: Pace, clock: Clock) -> None:
        self._writing, self._pace = writing, pace
        self._placing = Placing(reading, books, clock)
        self._waiting: deque[Request] = deque()
        self._sources: Counter[SourceKey] = Counter()  # of those that wait
        self._drafts = 0
        self._next = Round()
        self._committing = self._stopped = False
        self._wake = asyncio.Event()
        self.unsigned = Unsigned(pace)
        self.grown: set[int] = set()
        self.has_grown = asyncio.Event()

    async def submit(self, request: Request) -> Outcome:
        """Wait until the request is durable. Raises SequenceError's children or StoreError's."""
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        request.answer = answer
        self.enqueue(request)
        return await answer

    def enqueue(self, request: Request) -> None:
        """Have the request sequenced; its `answer` is told how that went. Raises BusyError."""
        if self._stopped:
            raise BusyError("this process is no longer the writer")
        if self._drafts + len(request.items) > self._pace.waiting_drafts:
            raise BusyError("too many entries are waiting to be written")
        self._drafts += len(request.items)
        if not self._placed_at_once(request):
            self._waiting.append(request)
            self._sources[_key(request)] += 1
        self._wake.set()

    def _placed_at_once(self, request: Request) -> bool:
        """Place a request that has just come in the next round, while this one is being committed; tell whether it was.

        A large one waits its turn behind those that wait and leaves half of the round to small ones. These wait only behind
        those of their own source.
        """
        small = len(request.items) <= _SMALL
        behind = self._sources[_key(request)] if small else self._waiting
        room = self._pace.round_drafts if small else self._pace.round_drafts // 2
        return self._committing and not behind and self._placed_ahead(request, room)

    def _placed_ahead(self, request: Request, room: int) -> bool:
        """Place a request in the next round if that has not more drafts than there is room for; tell whether it was."""
        fits = len(self._next.leaves) + len(request.items) <= room
        return fits and self._placing.at_once(self._next, request)

    async def run(self) -> None:
        """Sequence for ever. Raises FencedError when another process has become the writer."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._waiting or self._next.answers:
                    if self.unsigned.behind():
                        await self.unsigned.catch_up()
                    await self._round()
        finally:
            self._stopped = True
            self._start_over()
            for request in self._waiting:
                _refuse(request, BusyError("this process is no longer the writer"))
            self._waiting.clear()

    def _take(self, room: int) -> list[Request]:
        """Take what there is room for: first small requests, up to half of it, then what has waited longest.

        A source's own order is kept.
        """
        taken: list[Request] = []
        later: deque[Request] = deque() if self._drafts > room else self._waiting
        held: set[SourceKey] = set()
        half = room // 2
        for request in self._waiting if later is not self._waiting else ():
            size = len(request.items)
            if size <= _SMALL and _key(request) not in held and room - size >= half:
                taken.append(request)
                room -= size
            else:
                held.add(_key(request))
                later.append(request)
        while later and (not taken or len(later[0].items) <= room):
            taken.append(later.popleft())
            room -= len(taken[-1].items)
        self._waiting = later
        for request in taken:
            self._drafts -= len(request.items)
            self._sources[_key(request)] -= 1
        if not later:
            self._sources.clear()
        return [request for request in taken if not request.answer.done()]

    def _start_over(self) -> None:
        """Let what was placed in the next round wait again, before the rest: the places were not to be had."""
        self._placing.forget()
        again = [request for request, _ in self._next.answers]
        self._next = Round()
        self._waiting.extendleft(reversed(again))
        self._sources.update(map(_key, again))

    async def _round(self) -> None:
        """Write one round; when an id turns out to be in the log already, look every id up and write the round again."""
        made, self._next = self._next, Round()
        placed = [request for request, _ in made.answers]
        self._drafts -= len(made.leaves)
        others = self._take(self._pace.round_drafts - len(made.leaves))
        requests = [*placed, *others]
        try:
            with ROUND_SECONDS.time():
                try:
                    await self._attempt(made, others, look_up=False)
                except DuplicateError:
                    self._start_over()
                    await self._attempt(Round(), requests, look_up=True)
        except (StoreError, ValueError) as error:
            self._start_over()
            for request in requests:
                _refuse(request, error)
            if isinstance(error, FencedError):
                raise
            _log.warning("%d requests were not recorded: %s", len(requests), error)
        except BaseException:
            for request in requests:
                _refuse(request, StoreUnavailableError("the writer was stopped"))
            raise

    async def _attempt(self, made: Round, requests: Sequence[Request], *, look_up: bool) -> None:
        """Place these requests too, commit the round, and answer."""
        for request in requests:
            if request.answer.done():
                continue
            try:
                await self._placing.place(made, request, look_up=look_up)
            except (OutOfStepError, OtherBodyError) as error:
                _refuse(request, error)
        if made.leaves:
            await self._commit(made)
        for request, outcome in made.answers:
            if not request.answer.done():
                request.answer.set_result(outcome)

    async def _commit(self, made: Round) -> None:
        growth = self._placing.growth(made)
        committing = asyncio.create_task(self._writing.commit(growth, made.leaves, made.sources))
        self._committing = True
        try:
            await asyncio.sleep(0)  # it is on its way: now there is time for the next round
            while self._waiting and self._placed_ahead(self._waiting[0], self._pace.round_drafts // 2):
                self._sources[_key(self._waiting.popleft())] -= 1
            await committing
        finally:
            self._committing = False
            if not committing.done():
                committing.cancel()
                await asyncio.wait({committing})
        ROUND_DRAFTS.observe(len(made.leaves))
        APPENDED.inc(len(made.leaves))
        for log, (old, new) in growth.items():
            self.unsigned.grew(log, old, new)
        self.grown.update(growth)
        self.has_grown.set()


def _key(request: Request) -> SourceKey:
    return request.log.number, request.kind, request.source


def _refuse(request: Request, error: Exception) -> None:
    if not request.answer.done():
        request.answer.set_exception(error)
