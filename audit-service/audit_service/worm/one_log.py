"""One log on its way into one bucket. What is put there was read from the database and hashed again first."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from audit_contract.leaf import read_leaf
from audit_contract.merkle import HASH_SIZE, leaf_hash
from audit_contract.tiles import WIDTH, Tile, bundle_entries
from audit_service.store.copies import CopyProgress, Progress
from audit_service.store.errors import DamagedError
from audit_service.store.held import HeldKey
from audit_service.store.reading import ReadingStore
from audit_service.store.records import LogRecord, Signed
from audit_service.worm import layout

_SAVE_EVERY: Final = 16

Put = Callable[[str, bytes], Awaitable[None]]
"""Writes one object, by its name within the log's prefix. Raises CopyStoreError."""
Has = Callable[[str], Awaitable[bool]]
"""Tells whether there is an object of this name within the log's prefix. Raises CopyStoreError."""


@dataclass
class LogCopy:
    """Copies one log; `progress` is what was saved last, also after a failure in the middle."""

    log: LogRecord
    store: str
    progress: Progress
    reading: ReadingStore
    saved: CopyProgress
    put: Put
    has: Has

    async def identity(self, now: datetime) -> None:
        """Copy the log's identity, once in a month."""
        name = layout.identity_name(now)
        if self.progress.identity != name:
            await self.put(name, layout.encode_identity(self.log))
            await self._save(replace(self.progress, identity=name))

    async def held(self, keys: Sequence[HeldKey], now: datetime, last: str) -> str:
        """Copy the keys that Vault sealed, unless they are under the name `last`; return their name, `last` without any."""
        data = layout.encode_held(keys)
        name = layout.held_name(now, data)
        if not keys or name == last:
            return last
        if not await self.has(name):
            await self.put(name, data)
        return name

    async def keys(self, copied: int) -> int:
        """Copy the generations of keys from the one numbered `copied` on; return how many there are."""
        noted = await self.reading.generations(self.log.number)
        for each in noted[copied:]:
            name = layout.generation_name(each.number)
            if not await self.has(name):
                await self.put(name, layout.encode_generation(each))
        return len(noted)

    async def bundles(self, signed: Signed) -> None:
        """Copy the bundles that are full, with their values and the tiles that they complete."""
        full = signed.size // WIDTH
        for bundle in range(self.progress.bundles, full):
            await self._bundle(bundle)
            if bundle + 1 == full or not (bundle + 1) % _SAVE_EVERY:
                await self._save(replace(self.progress, bundles=bundle + 1))

    async def checkpoint(self, signed: Signed) -> None:
        """Copy the entries that no full bundle holds, then the checkpoint over all: it is there only when they are."""
        begin = max(self.progress.size, signed.size // WIDTH * WIDTH)
        if begin < signed.size:
            tail = layout.Tail(begin, signed.size)
            entries = await self._entries(begin, signed.size)
            await self.put(layout.values_beside(tail), await self._values(begin, signed.size))
            await self.put(tail.name, bundle_entries(entries))
        await self.put(layout.checkpoint_name(signed.size), signed.note)
        await self._save(replace(self.progress, size=signed.size))

    async def lag(self, now: datetime) -> float:
        """Return the age in seconds of the first entry that no copied checkpoint covers, 0 when there is none."""
        found = await self.reading.entries(self.log.number, [self.progress.size])
        if not found:
            return 0.0
        received = datetime.fromisoformat(read_leaf(found[0].data).received)
        return max(0.0, (now - received).total_seconds())

    async def _bundle(self, bundle: int) -> None:
        begin, end = bundle * WIDTH, (bundle + 1) * WIDTH
        entries = await self._entries(begin, end)
        tiles = [(tile, await self._tile(tile)) for tile in layout.tiles_after(bundle)]
        hashes = tiles[0][1]
        for at, entry in enumerate(entries):
            if leaf_hash(entry) != hashes[at * HASH_SIZE : (at + 1) * HASH_SIZE]:
                raise DamagedError(f"entry {begin + at} of {self.log.name} is not the one in the tree")
        await self.put(layout.values_name(bundle), await self._values(begin, end))
        await self.put(layout.entries_name(bundle), bundle_entries(entries))
        for tile, data in tiles:
            await self.put(tile.path, data)

    async def _entries(self, begin: int, end: int) -> list[bytes]:
        stored = await self.reading.leaves(self.log.number, begin, end)
        for each in stored:
            if leaf_hash(each.data) != each.hash:
                raise DamagedError(f"entry {each.index} of {self.log.name} is not what was written")
        return [each.data for each in stored]

    async def _tile(self, tile: Tile) -> bytes:
        data = await self.reading.tile(self.log.number, tile)
        if data is None:
            raise DamagedError(f"{tile.path} of {self.log.name} is missing")
        return data

    async def _values(self, begin: int, end: int) -> bytes:
        return layout.encode_values(await self.reading.values(self.log.number, begin, end))

    async def _save(self, progress: Progress) -> None:
        await self.saved.save(self.log.number, self.store, progress)
        self.progress = progress
