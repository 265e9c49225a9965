"""A log's tree while it grows: the unfinished tiles at its right edge, and the frontier. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from audit_contract.merkle import HASH_SIZE, Frontier, perfect_nodes
from audit_contract.tiles import WIDTH, Tile, reader, split_hashes, subtree, width_at


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
        found = tiles or {}
        read = reader(found, size)
        self._frontier = Frontier(size, (read(*node) for node in perfect_nodes(0, size)))
        self._edge = {tile.level: split_hashes(found[tile]) for tile in edge(size)}
        self.full: list[FullTile] = []

    @property
    def size(self) -> int:
        """Return the number of leaves."""
        return self._frontier.size

    def root(self) -> bytes:
        """Return the Merkle tree hash."""
        return self._frontier.root()

    def append(self, leaf_hash: bytes) -> None:
        """Add a leaf by its hash; tiles that become full wait in `full` until `take_full`."""
        self._frontier.append(leaf_hash)
        self._push(0, leaf_hash, (self.size - 1) // WIDTH)

    def _push(self, level: int, hashed: bytes, index: int) -> None:
        hashes = self._edge.setdefault(level, [])
        hashes.append(hashed)
        if len(hashes) == WIDTH:
            data = b"".join(hashes)
            root = subtree(data, 0, len(data) // HASH_SIZE)
            self.full.append(FullTile(level, index, data, root))
            hashes.clear()
            self._push(level + 1, root, index // WIDTH)

    def take_full(self) -> list[FullTile]:
        """Return the tiles that became full since the last time."""
        taken, self.full = self.full, []
        return taken
