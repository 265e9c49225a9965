"""RFC 6962 section 2.1 written down word by word, recursively: slow, and nothing in common with the product's code."""

from hashlib import sha256


def mth(leaves: list[bytes]) -> bytes:
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    k = largest_power_below(len(leaves))
    return sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def largest_power_below(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def path(m: int, leaves: list[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    k = largest_power_below(len(leaves))
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


def proof(m: int, leaves: list[bytes]) -> list[bytes]:
    return subproof(m, leaves, whole=True)


def subproof(m: int, leaves: list[bytes], *, whole: bool) -> list[bytes]:
    if m == len(leaves):
        return [] if whole else [mth(leaves)]
    k = largest_power_below(len(leaves))
    if m <= k:
        return [*subproof(m, leaves[:k], whole=whole), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], whole=False), mth(leaves[:k])]


def inclusion_root(leaf_hash: bytes, m: int, n: int, hashes: list[bytes]) -> bytes | None:
    """The root that a claimed audit path leads to, read backwards from the definition of `path`; None when it has no such shape."""
    if not 0 <= m < n or any(len(each) != 32 for each in (leaf_hash, *hashes)):
        return None
    if n == 1:
        return None if hashes else leaf_hash
    if not hashes:
        return None
    k = largest_power_below(n)
    below = inclusion_root(leaf_hash, m if m < k else m - k, k if m < k else n - k, hashes[:-1])
    if below is None:
        return None
    return sha256(b"\x01" + (below + hashes[-1] if m < k else hashes[-1] + below)).digest()


def consistency_roots(
    m: int, n: int, hashes: list[bytes], old: bytes, *, whole: bool = True
) -> tuple[bytes, bytes] | None:
    """The old and new root that a claimed proof leads to, read backwards from `subproof`; None when it has no such shape."""
    if not 0 < m <= n or any(len(each) != 32 for each in (old, *hashes)):
        return None
    if m == n:
        if whole:
            return None if hashes else (old, old)
        return (hashes[0], hashes[0]) if len(hashes) == 1 else None
    if not hashes:
        return None
    k = largest_power_below(n)
    if m <= k:
        below = consistency_roots(m, k, hashes[:-1], old, whole=whole)
        return below and (below[0], sha256(b"\x01" + below[1] + hashes[-1]).digest())
    below = consistency_roots(m - k, n - k, hashes[:-1], old, whole=False)
    return below and tuple(sha256(b"\x01" + hashes[-1] + each).digest() for each in below)
