"""Hashes for proofs, computed from the stored tiles."""

from collections.abc import Sequence

from audit_contract.merkle import inclusion_ranges, perfect_nodes, range_hash
from audit_contract.proof import InclusionProof
from audit_contract.tiles import TileError, reader, tile_for
from audit_service.store.errors import DamagedError
from audit_service.store.reading import ReadingStore
from audit_service.store.records import Signed


async def prove(reading: ReadingStore, log: int, size: int, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
    """Return the hashes of leaf ranges of the tree of `size` leaves, from its tiles."""
    wanted = {tile_for(*node, size) for begin, end in ranges for node in perfect_nodes(begin, end)}
    read = reader(await reading.tiles(log, wanted), size)
    try:
        return [range_hash(begin, end, read) for begin, end in ranges]
    except TileError as error:
        raise DamagedError(str(error)) from error


async def proofs_of(reading: ReadingStore, log: int, signed: Signed, indices: Sequence[int]) -> list[bytes]:
    """Return the `.tlog-proof` of each entry under one checkpoint, reading every tile once."""
    ranges = [inclusion_ranges(index, signed.size) for index in indices]
    wanted = {
        tile_for(*node, signed.size) for each in ranges for begin, end in each for node in perfect_nodes(begin, end)
    }
    read = reader(await reading.tiles(log, wanted), signed.size)
    try:
        paths = [tuple(range_hash(begin, end, read) for begin, end in each) for each in ranges]
    except TileError as error:
        raise DamagedError(str(error)) from error
    return [InclusionProof(index, path, signed.note).encode() for index, path in zip(indices, paths, strict=True)]
