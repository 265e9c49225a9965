"""C2SP tlog-tiles: where a hash lies, what a tile is called, and how entries are bundled. Pure.

A tile holds up to 256 consecutive hashes of one height; heights are multiples of 8. An entry bundle holds up to 256
entries, each after its length as a big-endian uint16.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from audit_contract.merkle import HASH_SIZE, NodeReader, ProofError

WIDTH: Final = 256
HEIGHT: Final = 8
MAX_ENTRY: Final = 65_535
_LENGTH: Final = 2
_NAME: Final = re.compile(r"(?P<index>(?:x[0-9]{3}/)*[0-9]{3})(?:\.p/(?P<width>[1-9][0-9]{0,2}))?")


class TileError(ValueError):
    """A tile's name or its content is not as tlog-tiles has it."""


@dataclass(frozen=True, slots=True, order=True)
class Tile:
    """A tile's place: its level (0 holds leaf hashes), its index in the level, and its width, 1 to 256."""

    level: int
    index: int
    width: int

    @property
    def path(self) -> str:
        """Return `tile/<L>/<N>[.p/<W>]`."""
        return f"tile/{self.level}/{name(self.index, self.width)}"


def name(index: int, width: int = WIDTH) -> str:
    """Return `<N>[.p/<W>]`, for example `x001/x234/067` for 1234067."""
    digits = f"{index:03d}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    whole = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
    return whole if width == WIDTH else f"{whole}.p/{width}"


def parse_name(text: str) -> tuple[int, int]:
    """Return (index, width) of `<N>[.p/<W>]`. Raises TileError for any spelling `name` would not give."""
    match = _NAME.fullmatch(text)
    if match is None:
        raise TileError(f"{text!r} is not a tile name")
    index = int(match["index"].replace("x", "").replace("/", ""))
    width = int(match["width"] or WIDTH)
    if width > WIDTH or name(index, width) != text:
        raise TileError(f"{text!r} is not a tile name")
    return index, width


def width_at(level: int, index: int, size: int) -> int:
    """Return how many hashes the tile holds in a tree of `size` leaves: 0 when there is no such tile."""
    return max(0, min(WIDTH, (size >> (HEIGHT * level)) - index * WIDTH))


def tiles_of(size: int) -> list[Tile]:
    """Return every tile of a tree of `size` leaves, level by level; the last of each level may be partial."""
    tiles = []
    level, hashes = 0, size
    while hashes:
        tiles += [Tile(level, index, width_at(level, index, size)) for index in range(-(-hashes // WIDTH))]
        level, hashes = level + 1, hashes // WIDTH
    return tiles


def tile_for(level: int, index: int, size: int) -> Tile:
    """Return the tile that the perfect subtree (level, index) is computed from, in a tree of `size` leaves."""
    tile_level, height = divmod(level, HEIGHT)
    tile_index = (index << height) // WIDTH
    return Tile(tile_level, tile_index, width_at(tile_level, tile_index, size))


def reader(tiles: Mapping[Tile, bytes], size: int) -> NodeReader:
    """Return a reader of subtree hashes over tiles that were fetched before. It raises TileError for a missing one."""

    def read(level: int, index: int) -> bytes:
        tile = tile_for(level, index, size)
        data = tiles.get(tile)
        if data is None or len(data) != tile.width * HASH_SIZE:
            raise TileError(f"{tile.path} is missing or not {tile.width} hashes long")
        height = level % HEIGHT
        start = (index << height) % WIDTH
        return subtree(data, start, 1 << height)

    return read


def subtree(data: bytes, start: int, count: int) -> bytes:
    """Return the root over `count` hashes of a tile, a power of two, from the hash `start` on."""
    part = data[start * HASH_SIZE : (start + count) * HASH_SIZE]
    if len(part) != count * HASH_SIZE or count.bit_count() != 1:
        raise ProofError(f"a tile of {len(data)} bytes has no subtree of the hashes {start} to {start + count}")
    while len(part) > HASH_SIZE:
        part = b"".join([_over(part[at : at + 2 * HASH_SIZE]) for at in range(0, len(part), 2 * HASH_SIZE)])
    return part


def _over(pair: bytes) -> bytes:
    """Return `node_hash` of two hashes that lie side by side."""
    return sha256(b"\x01" + pair).digest()


def split_hashes(data: bytes) -> list[bytes]:
    """Return a tile's hashes. Raises TileError when it is empty, overlong, or cuts a hash."""
    if not data or len(data) % HASH_SIZE or len(data) > WIDTH * HASH_SIZE:
        raise TileError(f"a tile has 1 to 256 hashes of 32 bytes, this one has {len(data)} bytes")
    return [data[at : at + HASH_SIZE] for at in range(0, len(data), HASH_SIZE)]


def bundle_entries(entries: Iterable[bytes]) -> bytes:
    """Return an entry bundle. Raises TileError for an entry beyond 65,535 bytes."""
    parts = []
    for entry in entries:
        if len(entry) > MAX_ENTRY:
            raise TileError(f"an entry has at most {MAX_ENTRY} bytes, this one has {len(entry)}")
        parts += [len(entry).to_bytes(_LENGTH, "big"), entry]
    return b"".join(parts)


def split_entries(data: bytes) -> list[bytes]:
    """Return a bundle's entries. Raises TileError when it is cut, empty, or holds more than 256."""
    entries = []
    at = 0
    while at < len(data):
        length = int.from_bytes(data[at : at + _LENGTH], "big")
        entry = data[at + _LENGTH : at + _LENGTH + length]
        at += _LENGTH + length
        if at > len(data):
            raise TileError("an entry bundle ends within an entry")
        entries.append(entry)
    if not 0 < len(entries) <= WIDTH:
        raise TileError(f"an entry bundle holds 1 to 256 entries, this one {len(entries)}")
    return entries
