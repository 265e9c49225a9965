"""The verifier says of every vector what the naive oracle says: true proofs, and thirty kinds of changed ones."""

import json
from collections import Counter
from collections.abc import Callable, Iterable

from audit_contract.merkle import ProofError, verify_consistency, verify_inclusion
from tests.audit_contract import vectors

NAMED = {  # the kinds that research/part11.md section 6.8 asks for; each must be among those tried
    "true", "wrong leaf", "first proof bit modified", "last proof bit modified", "trailing garbage", "preceding garbage",
    "wrong root", "size x2", "size /2", "size +1", "size -1", "size XOR 2", "index +1", "index -1", "index XOR 2",
    "roots swapped", "leaf and root swapped", "trailing root", "preceding root", "first two swapped", "last hash removed",
}  # fmt: skip


def said(check: Callable[..., None], *claim: object) -> bool:
    try:
        check(*claim)
    except ProofError:
        return False
    return True


def judged(found: Iterable[vectors.Vector], verdict: Callable[[dict], bool]) -> Counter:
    """Assert that every verdict is the oracle's and that a change is accepted only where sizes share a path; count kinds."""
    kinds: Counter = Counter()
    for vector in found:
        read = json.loads(json.dumps(vector))
        assert verdict(read) is read["accept"], read
        assert read["accept"] is (read["kind"] == "true") or read["kind"].startswith("size "), read
        kinds[read["kind"], read["accept"]] += 1
    return kinds


def path(vector: dict) -> list[bytes]:
    return [bytes.fromhex(each) for each in vector["path"]]


def inclusion(vector: dict) -> bool:
    leaf, root = bytes.fromhex(vector["leaf"]), bytes.fromhex(vector["root"])
    return said(verify_inclusion, leaf, vector["index"], vector["size"], path(vector), root)


def consistency(vector: dict) -> bool:
    before, root = bytes.fromhex(vector["before"]), bytes.fromhex(vector["root"])
    return said(verify_consistency, vector["old"], vector["size"], path(vector), before, root)


def test_every_vector_up_to_260_leaves_gets_the_oracles_verdict() -> None:
    kinds = judged(vectors.inclusion(), inclusion) + judged(vectors.consistency(), consistency)
    assert NAMED - {kind for kind, _ in kinds} == set()
    assert kinds["true", True] > 2_000
    assert sum(count for (_, accepted), count in kinds.items() if not accepted) > 50_000


def test_the_oracle_reads_its_own_proofs_backwards() -> None:
    leaves = vectors.LEAVES[:33]
    for size in range(1, 34):
        root = vectors.oracle.mth(leaves[:size])
        for index in range(size):
            proof = vectors.oracle.path(index, leaves[:size])
            assert vectors.oracle.inclusion_root(vectors.oracle.mth([leaves[index]]), index, size, proof) == root
            before = vectors.oracle.mth(leaves[: index + 1])
            proof = vectors.oracle.proof(index + 1, leaves[:size])
            assert vectors.oracle.consistency_roots(index + 1, size, proof, before) == (before, root)
