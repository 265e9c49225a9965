"""The tree against the naive oracle up to 260 leaves, and proofs against everything that broke other verifiers."""

import functools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_contract.merkle import (
    EMPTY_ROOT,
    Frontier,
    ProofError,
    consistency_ranges,
    inclusion_ranges,
    leaf_hash,
    perfect_nodes,
    range_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)  # fmt: skip
from audit_contract.tiles import tile_for, tiles_of
from audit_service.log.tree import GrowingTree, edge
from tests.audit_contract import oracle

LEAVES = [f"leaf {number}".encode() for number in range(260)]
HASHES = [leaf_hash(leaf) for leaf in LEAVES]


@functools.cache
def root(size: int) -> bytes:
    return oracle.mth(LEAVES[:size])


@functools.cache
def subtree(begin: int, end: int) -> bytes:
    return oracle.mth(LEAVES[begin:end])


def read(level: int, index: int) -> bytes:
    return subtree(index << level, (index + 1) << level)


def test_every_root_up_to_260_leaves() -> None:
    frontier = Frontier()
    assert frontier.root() == EMPTY_ROOT == oracle.mth([])
    for size, hashed in enumerate(HASHES, 1):
        frontier.append(hashed)
        assert frontier.root() == root(size) == root_of(HASHES[:size])
        assert frontier.nodes == [read(*node) for node in perfect_nodes(0, size)]


@pytest.mark.parametrize("size", [*range(1, 35), 63, 64, 65, 100, 127, 128, 129, 255, 256, 257, 260])
def test_every_inclusion_proof_of_a_size(size: int) -> None:
    for index in range(size):
        path = [range_hash(*each, read) for each in inclusion_ranges(index, size)]
        assert path == oracle.path(index, LEAVES[:size])
        verify_inclusion(HASHES[index], index, size, path, root(size))


@pytest.mark.parametrize("new", [*range(1, 35), 64, 65, 128, 200, 255, 256, 257, 260])
def test_every_consistency_proof_to_a_size(new: int) -> None:
    for old in range(1, new + 1):
        path = [range_hash(*each, read) for each in consistency_ranges(old, new)]
        assert path == oracle.proof(old, LEAVES[:new])
        verify_consistency(old, new, path, root(old), root(new))


SIZES = st.integers(1, 260)


def hostile(size: int, index: int, at: int, bit: int) -> list[tuple[bytes, int, int, list[bytes], bytes]]:
    """A true inclusion proof, with one thing changed in each."""
    path, leaf, top, other = oracle.path(index, LEAVES[:size]), HASHES[index], root(size), leaf_hash(b"other")
    cases = [
        (other, index, size, path, top),
        (leaf, index, size, path, other),
        (leaf, index + size, size, path, top),
        (leaf, -1 - index, size, path, top),
        (leaf, index ^ 1, size, path, top),
        (leaf, index, 2 * size + 1, path, other),
        (leaf, index, 0, path, top),
        (leaf, index, size, [*path, b""], top),
        (leaf, index, size, [*path, top], top),
        (leaf, index, size, [top, *path], top),
        (leaf, index, size, path, top[:31]),
        (b"", index, size, path, top),
    ]
    if path:
        at %= len(path)
        flipped = (int.from_bytes(path[at], "big") ^ (1 << bit)).to_bytes(32, "big")
        cases += [
            (leaf, index, size, [*path[:at], flipped, *path[at + 1 :]], top),
            (leaf, index, size, path[:at] + path[at + 1 :], top),
            (leaf, index, size, [path[at][:31], *path[1:]], top),
        ]
    if len(path) > 1:
        cases.append((leaf, index, size, [path[1], path[0], *path[2:]], top))
    return cases


@given(SIZES, st.integers(0, 259), st.integers(0, 9), st.integers(0, 255))
def test_a_changed_inclusion_proof_is_refused(size: int, index: int, at: int, bit: int) -> None:
    for case in hostile(size, index % size, at, bit):
        with pytest.raises(ProofError):
            verify_inclusion(*case)


@given(SIZES, SIZES, st.data())
def test_a_changed_consistency_proof_is_refused(one: int, two: int, data) -> None:
    old, new = sorted((one, two))
    path = oracle.proof(old, LEAVES[:new])
    verify_consistency(old, new, path, root(old), root(new))
    other = leaf_hash(b"other")
    cases = [
        (old, new, [*path, other], root(old), root(new)),
        (old, new, path, other, root(new)),
        (old, new, path, root(old), other),
        (0, new, path, EMPTY_ROOT, root(new)),
        (0, new, [], EMPTY_ROOT, root(new)),
        (new + 1, new, path, root(old), root(new)),
        (old, new, path, root(old)[:31], root(new)),
    ]
    if path:
        at = data.draw(st.integers(0, len(path) - 1))
        cases += [
            (old, new, [*path[:at], other, *path[at + 1 :]], root(old), root(new)),
            (old, new, path[:at] + path[at + 1 :], root(old), root(new)),
            (old, new, [other, *path], root(old), root(new)),
        ]
    if old != new:
        cases.append((old, new, path, root(new), root(old)))
    for case in cases:
        with pytest.raises(ProofError):
            verify_consistency(*case)


def test_an_empty_tree_has_no_inclusion_and_the_empty_leaf_with_the_empty_root_proves_nothing() -> None:
    for leaf, index, size, path, claimed in ((b"", 0, 1, [], b""), (EMPTY_ROOT, 0, 0, [], EMPTY_ROOT)):
        with pytest.raises(ProofError):
            verify_inclusion(leaf, index, size, path, claimed)


@given(st.integers(0, 2_000), st.integers(0, 700))
def test_a_tree_taken_up_from_its_tiles_grows_as_if_it_had_never_stopped(start: int, more: int) -> None:
    hashes = [leaf_hash(number.to_bytes(4, "big")) for number in range(start + more)]
    grown = GrowingTree()
    for hashed in hashes[:start]:
        grown.append(hashed)
    tiles = {(tile.level, tile.index): tile.hashes for tile in grown.take_full()}
    wanted = {*edge(start), *(tile_for(*node, start) for node in perfect_nodes(0, start))}
    found = {tile: _tile_data(tile, tiles, hashes) for tile in wanted}
    again = GrowingTree(start, found)
    for hashed in hashes[start:]:
        grown.append(hashed)
        again.append(hashed)
    assert again.root() == grown.root() == root_of(hashes)
    assert again.take_full() == grown.take_full()


def _tile_data(tile, tiles, hashes) -> bytes:
    if (tile.level, tile.index) in tiles:
        return tiles[tile.level, tile.index][: tile.width * 32]
    if tile.level == 0:
        return b"".join(hashes[tile.index * 256 : tile.index * 256 + tile.width])
    below = [(tile.level - 1, tile.index * 256 + number) for number in range(tile.width)]
    return b"".join(root_of([tiles[each][at : at + 32] for at in range(0, 8192, 32)]) for each in below)


@given(st.integers(1, 70_000))
def test_every_node_of_a_proof_lies_in_a_tile_that_the_log_serves(size: int) -> None:
    served = set(tiles_of(size))
    for begin, end in inclusion_ranges(size // 2, size) + consistency_ranges(max(1, size // 3), size):
        assert {tile_for(*node, size) for node in perfect_nodes(begin, end)} <= served
