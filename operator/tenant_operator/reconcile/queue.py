"""A queue of tenants to look at: each at most once in it, never twice at work, edits before drift before resync."""

import asyncio
import heapq
import itertools
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import IntEnum


class Priority(IntEnum):
    """Why a tenant is to be looked at; smaller goes first."""

    EDIT = 0
    DRIFT = 1
    RESYNC = 2


@dataclass
class WorkQueue:
    """Keys with priorities and delays. Single-threaded: used from the event loop only."""

    _due: list[tuple[float, int, int, str]] = field(default_factory=list)
    _ready: list[tuple[int, float, int, str]] = field(default_factory=list)
    _best: dict[str, tuple[float, int]] = field(default_factory=dict)
    _working: set[str] = field(default_factory=set)
    _again: dict[str, tuple[float, int]] = field(default_factory=dict)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _order: "itertools.count[int]" = field(default_factory=itertools.count)

    def add(self, key: str, priority: Priority, delay: float = 0.0) -> None:
        """Ask for a look. Asking again for what waits keeps the earlier time and the higher priority."""
        at = time.monotonic() + delay
        waiting = self._again if key in self._working else self._best
        old = waiting.get(key)
        # What is due later gives way to what is due now, whatever its priority.
        new = (at, int(priority)) if old is None else (min(at, old[0]), min(int(priority), old[1]))
        if new == old:
            return
        waiting[key] = new
        if waiting is self._best:
            heapq.heappush(self._due, (new[0], new[1], next(self._order), key))
            self._wake.set()

    def __len__(self) -> int:
        """Return how many keys wait or are at work."""
        return len(self._best) + len(self._working)

    async def get(self) -> str:
        """Wait for the next key that is due, and take it."""
        while True:
            self._wake.clear()
            key, pause = self._pop()
            if key is not None:
                return key
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _pop(self) -> tuple[str | None, float | None]:
        """Return the next key, or how long to wait. Entries that were superseded are stale and skipped."""
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            at, priority, order, key = heapq.heappop(self._due)
            heapq.heappush(self._ready, (priority, at, order, key))
        while self._ready:
            priority, at, _, key = heapq.heappop(self._ready)
            if self._best.get(key) == (at, priority):
                del self._best[key]
                self._working.add(key)
                return key, None
        return None, (self._due[0][0] - now if self._due else None)

    def done(self, key: str) -> None:
        """Say that the work on a key is over; what was asked for in the meantime is due."""
        self._working.discard(key)
        if key in self._again:
            at, priority = self._again.pop(key)
            self._best[key] = (at, priority)
            heapq.heappush(self._due, (at, priority, next(self._order), key))
            self._wake.set()

    async def work(self, reconcile: Callable[[str], Awaitable[None]]) -> None:
        """Take and do until cancelled: one worker. `reconcile` handles its own errors."""
        while True:
            key = await self.get()
            try:
                await reconcile(key)
            finally:
                self.done(key)
