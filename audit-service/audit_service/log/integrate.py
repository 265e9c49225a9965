"""Integration: durable entries are read back, hashed again, put into the tree, and the new root is signed.

What is signed is what the disk gave back, never what memory remembers: a flipped bit stops the log before it is signed over.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Final

from audit_contract.merkle import leaf_hash
from audit_service.log.books import Books
from audit_service.log.clock import Clock
from audit_service.log.guard import Guard
from audit_service.log.sequence import Sequencer
from audit_service.log.signing import OtherKeysError, SignerAwayError, sign_checkpoint
from audit_service.log.tree import FullTile, GrowingTree, edge
from audit_service.metrics import CHECKPOINT_SECONDS, CHECKPOINTS
from audit_service.settings import Pace
from audit_service.store.errors import DamagedError, FencedError, StoreError
from audit_service.store.postings import SPAN, search_rows
from audit_service.store.reading import ReadingStore
from audit_service.store.records import Signed, Stored
from audit_service.store.writing import WritingStore

_log = logging.getLogger(__name__)
_RETRY: Final = 1.0


class Integrator:
    """Follows the sequencer; `run` is one task. `signed` wakes whoever waits for a checkpoint."""

    def __init__(
        self,
        reading: ReadingStore,
        writing: WritingStore,
        books: Books,
        sequencer: Sequencer,
        pace: Pace,
        clock: Clock,
        guard: Guard,
    ) -> None:
        self._reading, self._writing, self._books, self._sequencer = reading, writing, books, sequencer
        self._pace, self._clock, self._guard = pace, clock, guard
        self._trees: dict[int, GrowingTree] = {}
        self.signed = asyncio.Condition()
        self._sizes: dict[int, int] = {}
        self.damaged: dict[int, str] = {}
        self.waiting: dict[int, str] = {}

    async def run(self) -> None:
        """Integrate for ever. Raises FencedError when another process has become the writer."""
        self._sequencer.grown.update(log for log, (size, at) in (await self._reading.sizes()).items() if size > at)
        while True:
            started = time.monotonic()
            for log in [self._sequencer.grown.pop() for _ in range(len(self._sequencer.grown))]:
                await self._one(log)
            if not self._sequencer.grown:
                await self._sequencer.has_grown.wait()
                self._sequencer.has_grown.clear()
            await self._sequencer.unsigned.until_many(started + self._pace.checkpoint_ms / 1000 - time.monotonic())

    async def _one(self, log: int) -> None:
        """Integrate one log; one that is damaged is left as it is, loudly, and the others go on."""
        if log in self.damaged:
            self._sequencer.unsigned.leave(log)
            return
        try:
            with CHECKPOINT_SECONDS.time():
                await self.integrate(log)
            self.waiting.pop(log, None)
        except FencedError:
            raise
        except (SignerAwayError, OtherKeysError) as error:
            self._later(log)
            if self.waiting.get(log) != str(error):
                _log.error("log %d waits to be signed: %s", log, error)
            self.waiting[log] = str(error)
        except (DamagedError, ValueError) as error:
            self._sequencer.unsigned.leave(log)
            self.damaged[log] = str(error)
            _log.critical("log %d is not signed any further: %s", log, error)
        except (StoreError, OSError) as error:  # OSError: the guard's folder
            self._later(log)
            _log.warning("log %d is not integrated yet: %s", log, error)

    def _later(self, log: int) -> None:
        """Begin anew with a log in a moment."""
        self._trees.pop(log, None)
        self._sequencer.unsigned.leave(log)
        asyncio.get_running_loop().call_later(_RETRY, self._again, log)

    def _again(self, log: int) -> None:
        self._sequencer.grown.add(log)
        self._sequencer.has_grown.set()

    async def integrate(self, log: int) -> Signed:
        """Bring the log's checkpoint up to what is durable now; return it."""
        size, signed = await self._reading.standing(log)
        self._sequencer.unsigned.signed(log, signed.size)  # a round may be told as durable after it was signed
        tree = self._trees.get(log)
        if tree is None or tree.size != signed.size:
            tree = await self._load(log, signed)
        while signed.size < size:
            end = min(size, signed.size + SPAN)
            leaves = await self._reading.leaves(log, signed.size, end)
            self._trees.pop(log, None)  # until the store has what the tree is about to know
            signed = await self._extend(log, signed, tree, leaves)
            self._trees[log] = tree
            self._sizes[log] = signed.size
            self._sequencer.unsigned.signed(log, signed.size)
            async with self.signed:
                self.signed.notify_all()
        return signed

    async def covered(self, log: int, size: int, seconds: float) -> bool:
        """Wait until a checkpoint signed by this process covers `size` entries; tell whether one does in time."""
        try:
            async with asyncio.timeout(seconds), self.signed:
                await self.signed.wait_for(lambda: self._sizes.get(log, 0) >= size)
        except TimeoutError:
            return False
        return True

    async def _load(self, log: int, signed: Signed) -> GrowingTree:
        """Take the tree up from its stored edge, and refuse it when that does not lead to the root that was signed."""
        tree = GrowingTree(signed.size, await self._reading.tiles(log, edge(signed.size)))
        if tree.root() != signed.root:
            raise DamagedError(f"the stored tree of {signed.size} leaves has not the root that was signed")
        return tree

    async def _extend(self, log: int, old: Signed, tree: GrowingTree, leaves: Sequence[Stored]) -> Signed:
        record = await self._books.numbered(log)
        for leaf in leaves:
            hashed = leaf_hash(leaf.data)
            if hashed != leaf.hash:
                raise DamagedError(f"entry {leaf.index} of {record.name} is not what was written")
            tree.append(hashed)
        seconds = int(self._clock().timestamp())
        signed = await sign_checkpoint(
            record.origin, tree.size, tree.root(), await self._books.signers(record), seconds
        )
        tiles = [_row(log, tile) for tile in tree.take_full()]
        await self._guard.keep(record.name, signed)  # first: nobody is ever shown a checkpoint that is not remembered
        await self._writing.integrate(log, old.size, signed, tiles, search_rows(leaves))
        CHECKPOINTS.inc()
        return signed


def _row(log: int, tile: FullTile) -> tuple[int, int, int, bytes, bytes]:
    return log, tile.level, tile.index, tile.hashes, tile.root
