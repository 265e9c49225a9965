"""A log's tree while it grows: the unfinished tiles at its right edge, and the frontier. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from audit_contract.merkle import HASH_SIZE, Frontier, frontier_of
from audit_contract.tiles import WIDTH, Tile, TileError, split_hashes, subtree, width_at


@dataclass(frozen=True, slots=True)
class FullTile:
    """A tile that has become full: its place, its hashes and the root over them."""

    level: int
    index: int
    hashes: bytes
    root: bytes


def edge(size: int) -> list[Tile]:
    """Return the unfinished tiles at the right edge of a tree of `size` leaves, from level 0 up."""
    tiles = []
    level, hashes = 0, size
    while hashes:
        if hashes % WIDTH:
            index = hashes // WIDTH
            tiles.append(Tile(level, index, width_at(level, index, size)))
        level, hashes = level + 1, hashes // WIDTH
    return tiles


class GrowingTree:
    """Takes leaf hashes, gives full tiles and the root."""

    def __init__(self, size: int = 0, tiles: Mapping[Tile, bytes] | None = None) -> None:
        """Take up a tree from its `edge`. Raises TileError when a tile is missing or of another width."""
        self.size = size
        self._edge: dict[int, list[bytes]] = {}
        for tile in edge(size):
            data = (tiles or {}).get(tile)
            if data is None or len(data) != tile.width * HASH_SIZE:
                raise TileError(f"{tile.path} is missing or not {tile.width} hashes long")
            self._edge[tile.level] = split_hashes(data)
        self.full: list[FullTile] = []

    def root(self) -> bytes:
        """Return the Merkle tree hash: over the perfect subtrees, which are all in the edge."""
        perfect = [node for level in sorted(self._edge, reverse=True) for node in frontier_of(self._edge[level]).nodes]
        return Frontier(self.size, perfect).root()

    def append(self, leaf_hash: bytes) -> None:
        """Add a leaf by its hash; tiles that become full wait in `full` until `take_full`."""
        self._push(0, leaf_hash, self.size // WIDTH)
        self.size += 1

    def _push(self, level: int, hashed: bytes, index: int) -> None:
        hashes = self._edge.setdefault(level, [])
        hashes.append(hashed)
        if len(hashes) == WIDTH:
            data = b"".join(hashes)
            root = subtree(data, 0, WIDTH)
            self.full.append(FullTile(level, index, data, root))
            hashes.clear()
            self._push(level + 1, root, index // WIDTH)

    def take_full(self) -> list[FullTile]:
        """Return the tiles that became full since the last time."""
        taken, self.full = self.full, []
        return taken
