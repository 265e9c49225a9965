"""What a bundle may hold besides the log: policy, hand-overs, time-stamps. Each flipped bit is harmless or found."""

import random
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from audit_contract import bundle as bundles
from audit_contract.checkpoint import Checkpoint
from audit_contract.entry import Actor, Draft, ObjectRef
from audit_contract.form import Place, unplaced
from audit_contract.keys import KeySigner, KeyType
from audit_contract.merkle import leaf_hash, root_of
from audit_contract.note import Note
from audit_contract.policy import write_policy
from audit_contract.report import Exit
from audit_contract.trust import ANNOUNCE, DIGEST, keys_digest
from audit_contract.verify import verify_bundle
from tests.audit_contract.test_bundle import CLOCK, KEYS, LOG, SIGNERS, leaves, members_of
from tests.audit_contract.test_program import program, run  # noqa: F401  # the fixture of the built program

NEW = [
    KeySigner(LOG, KeyType.ED25519, Ed25519PrivateKey.from_private_bytes(b"n" * 32)),
    KeySigner(LOG, KeyType.ML_DSA_44, MLDSA44PrivateKey.from_seed_bytes(b"n" * 32)),
]
NEW_KEYS = [each.verifier.vkey for each in NEW]
WITNESS = [
    KeySigner("w.example", KeyType.ED25519_COSIGNATURE, Ed25519PrivateKey.from_private_bytes(b"w" * 32)),
    KeySigner("w.example", KeyType.ML_DSA_44, MLDSA44PrivateKey.from_seed_bytes(b"w" * 32)),
]
POLICY = write_policy(NEW_KEYS, {"w": [each.verifier.vkey for each in WITNESS]}, 1)
ENTRIES, VALUES = leaves(20)


def announcement(digest: str, *, source: str = "audit", action: str = ANNOUNCE) -> bytes:
    draft = Draft(
        actor=Actor(type="system", sub="cloister-audit"), action=action, object=ObjectRef(type="Log", id=LOG),
        result="ok", system={DIGEST: digest},
    )  # fmt: skip
    return unplaced(draft.plain(), LOG, source, "cloister-audit/1", {}).leaf(
        Place(0, None, "2026-11-23T12:00:01.000000Z", CLOCK)
    )


def rotated(entry: bytes) -> dict[str, bytes]:
    """A log of 22 entries, the last but one being `entry`, signed by the new keys, handed over at 21."""
    entries = [*ENTRIES, entry]
    text = Checkpoint(LOG, 21, root_of(map(leaf_hash, entries))).text()
    members = members_of(entries, [*VALUES, []], signers=[*NEW, *WITNESS])
    members["keys"] = "".join(f"{each}\n" for each in NEW_KEYS).encode()
    extra = {
        "policy": POLICY.encode(),
        "rotation/1.checkpoint": Note(text, tuple(each.sign(text, 1) for each in SIGNERS)).encode(),
        "rotation/1.keys": members["keys"],
    }
    return {path: (members | extra)[path] for path in bundles.member_names(21, extra)}


MEMBERS = rotated(announcement(keys_digest(NEW_KEYS)))


def code(members: dict[str, bytes], keys: list[str] = KEYS, **more: object) -> Exit:
    return verify_bundle(bundles.write(members.items()), keys, **more).code


def test_the_old_keys_lead_to_the_new_and_the_quorum_is_met() -> None:
    for keys in (KEYS, NEW_KEYS, KEYS[:1]):
        report = verify_bundle(bundles.write(MEMBERS.items()), keys, LOG, POLICY)
        assert report.problems == []
        assert (len(report.signed_by), len(report.witnessed_by)) == (2, 2)


@pytest.mark.parametrize(
    "entry",
    [
        announcement(keys_digest(NEW_KEYS[:1])),
        announcement(keys_digest(NEW_KEYS), source="operator"),
        announcement(keys_digest(NEW_KEYS), action="audit:log:create"),
    ],
)
def test_only_the_services_own_announcement_of_these_keys_hands_over(entry: bytes) -> None:
    members = rotated(entry)
    assert code(members) is Exit.TAMPERED
    assert code(members, NEW_KEYS) is Exit.OK


def test_a_flipped_bit_in_a_hand_over_or_a_policy_is_found_or_changes_nothing() -> None:
    chance = random.Random(7)  # noqa: S311  # the same bits each time
    for path in ("policy", "rotation/1.checkpoint", "rotation/1.keys"):
        for _ in range(60):
            data = bytearray(MEMBERS[path])
            at = chance.randrange(len(data))
            data[at] ^= 1 << chance.randrange(8)
            report = verify_bundle(bundles.write({**MEMBERS, path: bytes(data)}.items()), KEYS, policy=POLICY)
            if report.ok:  # a label of the policy, or a signature that is not among the trusted keys' own
                assert path != "rotation/1.keys"
                assert (len(report.signed_by), len(report.witnessed_by)) == (2, 2)


def test_unknown_and_misplaced_members_are_refused() -> None:
    for path in ("rotation/01.keys", "rotation/1.note", "tsr/1.A.tsr", "policy2", "tsr/1.tsr"):
        changed = {**MEMBERS, path: b"x"}
        assert code(changed) is Exit.BAD_INPUT
    assert code({"policy": MEMBERS["policy"], **MEMBERS}) is Exit.BAD_INPUT


def test_the_program_takes_a_policy(program: Path, tmp_path: Path) -> None:  # noqa: F811  # pytest's fixture
    file, policy, other = tmp_path / "b.tar", tmp_path / "policy", tmp_path / "other"
    file.write_bytes(bundles.write(MEMBERS.items()))
    policy.write_text(POLICY)
    stranger = KeySigner("v.example", KeyType.ED25519_COSIGNATURE, Ed25519PrivateKey.from_private_bytes(b"v" * 32))
    other.write_text(write_policy(NEW_KEYS, {"v": [stranger.verifier.vkey]}, 1))
    status, said = run(program, "bundle", file, "--policy", policy)
    assert (status, "given by you" in said, "w.example" in said) == (0, True, True)
    assert run(program, "bundle", file, "--policy", other)[0] == 3
    policy.write_text("nonsense\n")
    assert run(program, "bundle", file, "--policy", policy)[0] == 4
    policy.write_text("no certificates\n")
    assert run(program, "bundle", file, "--tsa", policy)[0] == 4
