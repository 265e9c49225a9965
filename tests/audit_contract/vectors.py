"""Test vectors of true and changed proofs for trees of up to 260 leaves, made by the naive oracle alone.

Each is a JSON object `{"kind", "size", "path", "root", "accept", ...}`, hashes in hex. The kinds of change are those that
transparency-dev's own vectors have, and a few more. Whether a vector is to be accepted the oracle says by computing the roots
that the claim leads to: a size that is not the true one may share its path with it, for what binds the size is the checkpoint.
"""

from collections.abc import Iterator
from hashlib import sha256

from tests.audit_contract import oracle

LEAVES = [f"leaf {number}".encode() for number in range(260)]
SIZES = range(1, 261)
OTHER = sha256(b"another leaf").digest()
EMPTY = sha256(b"").digest()
_ROOTS = {size: oracle.mth(LEAVES[:size]) for size in SIZES}

Vector = dict[str, object]


def flipped(data: bytes, bit: int) -> bytes:
    return (int.from_bytes(data, "big") ^ 1 << bit).to_bytes(len(data), "big")


def paths(true: list[bytes], root: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Every kind of change of a path."""
    yield "trailing garbage", [*true, OTHER]
    yield "preceding garbage", [OTHER, *true]
    yield "trailing root", [*true, root]
    yield "preceding root", [root, *true]
    yield "trailing empty hash", [*true, b""]
    if true:
        yield "first proof bit modified", [flipped(true[0], 255), *true[1:]]
        yield "last proof bit modified", [*true[:-1], flipped(true[-1], 0)]
        middle = len(true) // 2
        yield "middle hash replaced", [*true[:middle], OTHER, *true[middle + 1 :]]
        yield "first hash removed", true[1:]
        yield "last hash removed", true[:-1]
        yield "hash cut short", [true[0][:31], *true[1:]]
        yield "hash too long", [true[0] + b"\0", *true[1:]]
        yield "all hashes removed", []
    if len(true) > 1:
        yield "first two swapped", [true[1], true[0], *true[2:]]
        yield "reversed", true[::-1]
        yield "hash doubled", [true[0], *true]


def numbers(name: str, value: int) -> Iterator[tuple[str, int]]:
    """Every kind of change of a size or an index."""
    changed = {
        "+1": value + 1,
        "-1": value - 1,
        "x2": value * 2,
        "/2": value // 2,
        "XOR 2": value ^ 2,
        "negative": -value,
    }
    yield from ((f"{name} {kind}", each) for kind, each in changed.items() if each != value)


def hashes(name: str, true: bytes) -> Iterator[tuple[str, bytes]]:
    """Every kind of change of a root or a leaf's hash."""
    yield f"wrong {name}", OTHER
    yield f"{name} bit modified", flipped(true, 100)
    yield f"{name} cut short", true[:31]
    yield f"{name} empty", b""
    yield f"{name} of the empty tree", EMPTY


def inclusion() -> Iterator[Vector]:
    """Inclusion proofs: five indices of every size, and every kind of change of each."""
    for size in SIZES:
        for index in sorted({0, size // 3, size // 2, oracle.largest_power_below(size) % size, size - 1}):
            leaf, root = oracle.mth([LEAVES[index]]), _ROOTS[size]
            true = {"index": index, "size": size, "leaf": leaf, "path": oracle.path(index, LEAVES[:size]), "root": root}
            yield _inclusion("true", true)
            changes = [(kind, {"path": each}) for kind, each in paths(true["path"], root)]
            changes += [(kind, {name: each}) for name in ("leaf", "root") for kind, each in hashes(name, true[name])]
            changes += [(kind, {name: each}) for name in ("index", "size") for kind, each in numbers(name, true[name])]
            changes.append(("leaf and root swapped", {"leaf": root, "root": leaf}))
            changes.append(("root of a smaller tree", {"root": _ROOTS.get(size - 1, EMPTY)}))
            yield from (_inclusion(kind, {**true, **change}) for kind, change in changes if {**true, **change} != true)


def consistency() -> Iterator[Vector]:
    """Consistency proofs: up to six old sizes of every size, and every kind of change of each."""
    for size in SIZES:
        power = oracle.largest_power_below(size)
        for old in sorted({1, size // 2 or 1, power, min(size, power + 1), max(1, size - 1), size}):
            proof = oracle.proof(old, LEAVES[:size])
            true = {"old": old, "size": size, "path": proof, "before": _ROOTS[old], "root": _ROOTS[size]}
            yield _consistency("true", true)
            changes = [(kind, {"path": each}) for kind, each in paths(proof, _ROOTS[size])]
            changes += [(kind, {name: each}) for name in ("before", "root") for kind, each in hashes(name, true[name])]
            changes += [(kind, {name: each}) for name in ("old", "size") for kind, each in numbers(name, true[name])]
            changes.append(("roots swapped", {"before": true["root"], "root": true["before"]}))
            changes.append(("sizes swapped", {"old": size, "size": old}))
            yield from (
                _consistency(kind, {**true, **change}) for kind, change in changes if {**true, **change} != true
            )


def _inclusion(kind: str, claim: dict) -> Vector:
    found = oracle.inclusion_root(claim["leaf"], claim["index"], claim["size"], claim["path"])
    return {"kind": kind, **_hex(claim), "accept": found is not None and found == claim["root"]}


def _consistency(kind: str, claim: dict) -> Vector:
    found = oracle.consistency_roots(claim["old"], claim["size"], claim["path"], claim["before"])
    return {"kind": kind, **_hex(claim), "accept": found == (claim["before"], claim["root"])}


def _hex(claim: dict) -> Vector:
    texts = {key: value.hex() for key, value in claim.items() if isinstance(value, bytes)}
    return {**claim, **texts, "path": [each.hex() for each in claim["path"]]}
