"""What is durable and under no checkpoint yet. Rounds wait for signing when that is much, and has waited for long.

The bound is an age, not a number: on a machine that is slow just then, what suffers is how many entries a second are taken, not
how soon one is signed. The number beside it keeps rounds going where each checkpoint takes its time whatever it covers.
"""

import asyncio
import contextlib
import time
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Final

from audit_service.settings import Pace

_PATIENCE: Final = 0.25


class Unsigned:
    """Counts, for each log, the entries of this process's rounds that no checkpoint covers, and knows since when."""

    def __init__(self, pace: Pace, clock: Callable[[], float] = time.monotonic) -> None:
        self._pace, self._clock = pace, clock
        self._rounds: defaultdict[int, deque[tuple[int, int, float]]] = defaultdict(deque)  # new size, entries, when
        self._signed = asyncio.Event()
        self._many = asyncio.Event()
        self.count = 0

    def grew(self, log: int, old: int, new: int) -> None:
        """Take note that a round made a log grow."""
        self._rounds[log].append((new, new - old, self._clock()))
        self.count += new - old
        if self.count >= self._pace.checkpoint_drafts:
            self._many.set()

    def signed(self, log: int, size: int) -> None:
        """Take note that a checkpoint covers `size` of the log's entries."""
        rounds = self._rounds.get(log)
        while rounds and rounds[0][0] <= size:
            self.count -= rounds.popleft()[1]
        if not rounds:
            self._rounds.pop(log, None)
        self._signed.set()

    def leave(self, log: int) -> None:
        """Count what waits in a log no longer: it cannot be signed just now, and the other logs do not wait for that."""
        self.count -= sum(entries for _, entries, _ in self._rounds.pop(log, ()))
        self._signed.set()

    async def until_many(self, seconds: float) -> None:
        """Wait for so many seconds, or until there are so many entries that they are to be signed at once."""
        if self.count < self._pace.checkpoint_drafts:
            self._many.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._many.wait()

    def behind(self) -> bool:
        """Tell whether more entries wait than may, the first of them for longer than it may."""
        if self.count <= self._pace.unsigned_drafts:
            return False
        oldest = min(rounds[0][2] for rounds in self._rounds.values())
        return self._clock() - oldest > self._pace.unsigned_ms / 1000

    async def catch_up(self) -> None:
        """Wait while signing is behind. A moment at most: signing that stands still stops no entry, so it is waited for once."""
        try:
            async with asyncio.timeout(_PATIENCE):
                while self.behind():
                    self._signed.clear()
                    await self._signed.wait()
        except TimeoutError:
            self._rounds.clear()
            self.count = 0
