"""Hashes for proofs, computed from the stored tiles."""

from collections.abc import Sequence

from audit_contract.merkle import perfect_nodes, range_hash
from audit_contract.tiles import TileError, reader, tile_for
from audit_service.store.errors import DamagedError
from audit_service.store.reading import ReadingStore


async def prove(reading: ReadingStore, log: int, size: int, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
    """Return the hashes of leaf ranges of the tree of `size` leaves, from its tiles."""
    wanted = {tile_for(*node, size) for begin, end in ranges for node in perfect_nodes(begin, end)}
    read = reader(await reading.tiles(log, wanted), size)
    try:
        return [range_hash(begin, end, read) for begin, end in ranges]
    except TileError as error:
        raise DamagedError(str(error)) from error
