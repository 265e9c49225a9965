"""The RFC 6962 Merkle tree: hashes, the compact frontier, proofs and their verification. Pure, SHA-256 only.

Names and shapes are those of RFC 6962 section 2.1 and RFC 9162 section 2.1. A proof is checked against every edge that
broke other verifiers: hashes that are not 32 bytes, elements left over or missing, an index outside the tree, size 0.
"""

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import Final

HASH_SIZE: Final = 32
EMPTY_ROOT: Final = sha256(b"").digest()
MAX_PROOF: Final = 63
"""No tree smaller than 2^63 leaves needs a longer proof (C2SP tlog-witness)."""

NodeReader = Callable[[int, int], bytes]
"""Gives the hash of the perfect subtree at (level, index): the leaves from index << level to (index + 1) << level."""


class ProofError(ValueError):
    """A proof, a root or a hash does not hold. The message names what was expected and what was found."""


def leaf_hash(leaf: bytes) -> bytes:
    """Return MTH({leaf}) = SHA-256(0x00 || leaf)."""
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return SHA-256(0x01 || left || right)."""
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """The least that is needed to go on growing a tree: the roots of its perfect subtrees, largest first."""

    __slots__ = ("nodes", "size")

    def __init__(self, size: int = 0, nodes: Iterable[bytes] = ()) -> None:
        """Take up a tree of `size` leaves. Raises ProofError when the number of nodes does not fit the size."""
        self.size = size
        self.nodes = list(nodes)
        if len(self.nodes) != size.bit_count() or any(len(node) != HASH_SIZE for node in self.nodes):
            raise ProofError(f"a frontier of {size} leaves has {size.bit_count()} hashes of 32 bytes")

    def append(self, hashed_leaf: bytes) -> None:
        """Add one leaf by its hash."""
        node = hashed_leaf
        full = self.size
        while full & 1:
            node = node_hash(self.nodes.pop(), node)
            full >>= 1
        self.nodes.append(node)
        self.size += 1

    def root(self) -> bytes:
        """Return the Merkle tree hash of all leaves so far."""
        if not self.nodes:
            return EMPTY_ROOT
        root = self.nodes[-1]
        for node in self.nodes[-2::-1]:
            root = node_hash(node, root)
        return root


def frontier_of(leaf_hashes: Iterable[bytes]) -> Frontier:
    """Return the frontier of the tree of these leaf hashes."""
    frontier = Frontier()
    for hashed in leaf_hashes:
        frontier.append(hashed)
    return frontier


def root_of(leaf_hashes: Iterable[bytes]) -> bytes:
    """Return the Merkle tree hash over these leaf hashes."""
    return frontier_of(leaf_hashes).root()


def _split(size: int) -> int:
    """Return the largest power of two smaller than `size` (RFC 6962's k); size is at least 2."""
    return 1 << ((size - 1).bit_length() - 1)


def inclusion_ranges(index: int, size: int) -> list[tuple[int, int]]:
    """Return the leaf ranges [begin, end) whose hashes are the audit path of leaf `index`, from the leaf to the root.

    Raises ProofError when the tree has no such leaf.
    """
    if not 0 <= index < size:
        raise ProofError(f"a tree of {size} leaves has no leaf {index}")
    path: list[tuple[int, int]] = []
    begin, end = 0, size
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            path.append((middle, end))
            end = middle
        else:
            path.append((begin, middle))
            begin = middle
    return path[::-1]


def consistency_ranges(old_size: int, new_size: int) -> list[tuple[int, int]]:
    """Return the leaf ranges whose hashes prove that the tree of `old_size` leaves is a prefix of the new one.

    Raises ProofError unless 0 < old_size <= new_size: a proof from the empty tree proves nothing.
    """
    if not 0 < old_size <= new_size:
        raise ProofError(f"no consistency proof leads from {old_size} to {new_size} leaves")
    path: list[tuple[int, int]] = []
    begin, end = 0, new_size
    while end != old_size:
        middle = begin + _split(end - begin)
        if old_size <= middle:
            path.append((middle, end))
            end = middle
        else:
            path.append((begin, middle))
            begin = middle
    if begin:  # otherwise the old root itself is the proof's start, and the verifier has it
        path.append((begin, end))
    return path[::-1]


def perfect_nodes(begin: int, end: int) -> list[tuple[int, int]]:
    """Return the perfect subtrees (level, index) that cover [begin, end), as RFC 6962 splits it, from left to right."""
    nodes = []
    while begin < end:
        level = (end - begin).bit_length() - 1
        nodes.append((level, begin >> level))
        begin += 1 << level
    return nodes


def range_hash(begin: int, end: int, read: NodeReader) -> bytes:
    """Return MTH(D[begin:end]) for a range that a proof names, from the hashes of its perfect subtrees."""
    nodes = perfect_nodes(begin, end)
    root = read(*nodes[-1])
    for level, index in nodes[-2::-1]:
        root = node_hash(read(level, index), root)
    return root


def _check_hashes(hashes: Iterable[bytes]) -> None:
    for value in hashes:
        if len(value) != HASH_SIZE:
            raise ProofError(f"a hash has 32 bytes, this one has {len(value)}")


def verify_inclusion(hashed_leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """Check that the leaf is at `index` of the tree with this size and root (RFC 9162 section 2.1.3.2).

    Raises ProofError when it is not, or when the proof has another length than this index and size ask for.
    """
    _check_hashes((hashed_leaf, root, *path))
    ranges = inclusion_ranges(index, size)
    if len(path) != len(ranges):
        raise ProofError(f"leaf {index} of {size} is proven by {len(ranges)} hashes, not {len(path)}")
    node = hashed_leaf
    for (begin, _), sibling in zip(ranges, path, strict=True):
        node = node_hash(node, sibling) if begin > index else node_hash(sibling, node)
    if node != root:
        raise ProofError(f"leaf {index}: the path leads to root {node.hex()}, not to {root.hex()}")


def verify_consistency(old_size: int, new_size: int, path: Sequence[bytes], old_root: bytes, new_root: bytes) -> None:
    """Check that the new tree begins with the old one (RFC 9162 section 2.1.4.2).

    Raises ProofError when it does not; sizes must satisfy 0 < old_size <= new_size.
    """
    _check_hashes((old_root, new_root, *path))
    ranges = consistency_ranges(old_size, new_size)
    if len(path) != len(ranges):
        raise ProofError(f"{old_size} in {new_size} leaves is proven by {len(ranges)} hashes, not {len(path)}")
    steps = list(zip(ranges, path, strict=True))
    whole = old_size & (old_size - 1) == 0 or not steps
    if not whole:  # the first hash is the old tree's last perfect subtree, common to both
        old = new = steps.pop(0)[1]
    else:
        old = new = old_root
    for (begin, _), sibling in steps:
        if begin >= old_size:  # only the new tree has these leaves
            new = node_hash(new, sibling)
        else:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
    if old != old_root:
        raise ProofError(f"the path leads to old root {old.hex()}, not to {old_root.hex()}")
    if new != new_root:
        raise ProofError(f"the path leads to new root {new.hex()}, not to {new_root.hex()}")
