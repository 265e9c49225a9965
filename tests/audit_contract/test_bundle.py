"""The export bundle of a 1,000-entry log: it verifies, and whatever is done to it is caught with the right exit code."""

import dataclasses
import os
import random
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from audit_contract import bundle as bundles
from audit_contract.canonical import canonical
from audit_contract.checkpoint import Checkpoint
from audit_contract.commitment import commit
from audit_contract.entry import Actor, Change, Draft, ObjectRef
from audit_contract.form import Place, unplaced
from audit_contract.form import values as values_of
from audit_contract.keys import KeySigner, KeyType
from audit_contract.merkle import leaf_hash, root_of
from audit_contract.note import Note
from audit_contract.report import Exit
from audit_contract.tiles import bundle_entries, split_entries
from audit_contract.verify import verify_bundle
from audit_service.log.tree import GrowingTree, edge

LOG = "test.example/audit/one"
SIGNERS = [
    KeySigner(LOG, KeyType.ED25519, Ed25519PrivateKey.from_private_bytes(bytes(32))),
    KeySigner(LOG, KeyType.ML_DSA_44, MLDSA44PrivateKey.from_seed_bytes(bytes(32))),
]
KEYS = [signer.verifier.vkey for signer in SIGNERS]
CLOCK = b'{"error_us":1,"synchronised":true}'


def leaves(count: int, log: str = LOG, *, salt: bytes = bytes(32)) -> tuple[list[bytes], list[list[bytes]]]:
    """Entries of five sources with their values; every 9th is an intent, the one after it its outcome."""
    entries, values = [], []
    heads: dict[str, tuple[int, str | None]] = {}
    intent = ""
    for index in range(count):
        phase = (
            {0: "intent", 1: "outcome"}.get(index % 9, "single") if index % 9 < 2 and index + 1 < count else "single"
        )
        draft = Draft(
            action="operator:object:apply", phase=phase, intent=intent if phase == "outcome" else None,
            result=None if phase == "intent" else "ok", actor=Actor(type="user", sub=f"u-{index % 7}"),
            object=ObjectRef(type="Document", id=str(index)),
            change=(Change(path="/x", old=index, new=[index]),) if index % 3 == 0 else (),
        )  # fmt: skip
        intent = draft.id
        source = f"a/{index % 5}"
        seq, prev = heads.get(source, (0, None))
        commitments = {field: commit(salt, value) for field, value in values_of(draft.plain())}
        place = Place(seq, prev, f"2026-11-23T12:00:00.{index:06d}Z", CLOCK)
        entries.append(unplaced(draft.plain(), log, "operator", source, commitments).leaf(place))
        heads[source] = (seq + 1, leaf_hash(entries[-1]).hex())
        rows = [("old", index), ("new", [index])] if draft.change else []
        values.append(
            [canonical(bundles.value_line(index, f"change.0.{side}", salt, value)) + b"\n" for side, value in rows]
        )
    return entries, values


def members_of(entries: list[bytes], values: list[list[bytes]], signers=SIGNERS, log: str = LOG) -> dict[str, bytes]:
    size = len(entries)
    tree = GrowingTree()
    hashes = [leaf_hash(entry) for entry in entries]
    for hashed in hashes:
        tree.append(hashed)
    text = Checkpoint(log, size, root_of(hashes)).text()
    members = {
        "manifest.json": bundles.manifest(log, size),
        "checkpoint": Note(text, tuple(signer.sign(text, 1_700_000_000) for signer in signers)).encode(),
        "keys": "".join(f"{signer.verifier.vkey}\n" for signer in signers).encode(),
    }
    full = tree.take_full()
    for tile in full:
        members[f"tile/{tile.level}/{bundles.name(tile.index)}"] = tile.hashes
    for tile in edge(size):
        if tile.level == 0:
            members[tile.path] = b"".join(hashes[tile.index * 256 :])
        else:
            members[tile.path] = b"".join(each.root for each in full if each.level == tile.level - 1)[
                -32 * tile.width :
            ]
    for number, path in enumerate(bundles.entry_members(size)):
        members[path] = bundle_entries(entries[number * 256 : (number + 1) * 256])
    for number, path in enumerate(bundles.value_members(size)):
        members[path] = b"".join(line for rows in values[number * 256 : (number + 1) * 256] for line in rows)
    return {path: members[path] for path in bundles.member_names(size)}


ENTRIES, VALUES = leaves(1000)
MEMBERS = members_of(ENTRIES, VALUES)
BUNDLE = bundles.write(MEMBERS.items())
SMALL = bundles.write(members_of(ENTRIES[:3], VALUES[:3]).items())


def check(members: dict[str, bytes], keys=KEYS) -> tuple[Exit, int | None]:
    report = verify_bundle(bundles.write(members.items()), keys)
    return report.code, report.first_bad


def test_it_verifies() -> None:
    report = verify_bundle(BUNDLE, KEYS, LOG)
    assert report.problems == []
    assert (report.code, report.proven, report.values, report.sources, report.trusted) == (Exit.OK, 1000, 668, 5, True)
    assert (report.open_intents, report.orphans) == ([], [])
    assert not verify_bundle(BUNDLE).trusted
    assert verify_bundle(BUNDLE, KEYS, "test.example/audit/other").code is Exit.POLICY


def test_a_log_of_none_and_of_one_verify() -> None:
    for count in (0, 1, 2, 255, 256, 257):
        report = verify_bundle(bundles.write(members_of(ENTRIES[:count], VALUES[:count]).items()), KEYS)
        assert (report.problems, report.proven) == ([], count)


def test_every_entry_that_is_altered_is_named() -> None:
    for index in range(0, 1000, 37):
        entry = bytearray(ENTRIES[index])
        at = random.Random(index).randrange(len(entry) * 8)  # noqa: S311  # repeatable, not secret
        entry[at // 8] ^= 1 << at % 8
        changed = {**MEMBERS}
        path = bundles.entry_members(1000)[index // 256]
        found = split_entries(MEMBERS[path])
        found[index % 256] = bytes(entry)
        changed[path] = bundle_entries(found)
        assert check(changed) == (Exit.TAMPERED, index)


@pytest.mark.parametrize("index", [0, 1, 254, 256, 510, 997, 998])
def test_a_dropped_inserted_doubled_or_swapped_entry_is_caught(index: int) -> None:
    path = bundles.entry_members(1000)[index // 256]
    found = split_entries(MEMBERS[path])
    at = index % 256
    swapped = [*found]
    other = at - 1 if at else at + 1
    swapped[at], swapped[other] = swapped[other], swapped[at]
    for entries in (
        found[:at] + found[at + 1 :],
        [*found[:at], found[at], *found[at:]][: 256 if index < 768 else None],
        [*found[:at], b"{}", *found[at + 1 :]],
        swapped,
    ):
        code, first = check({**MEMBERS, path: bundle_entries(entries)})
        assert code is Exit.TAMPERED
        assert first is None or first <= index + 1


def test_the_last_entries_cut_off_are_missing_not_altered() -> None:
    path = bundles.entry_members(1000)[-1]
    found = split_entries(MEMBERS[path])
    assert check({**MEMBERS, path: bundle_entries(found[:-1])})[0] is Exit.INCOMPLETE
    assert check({key: value for key, value in MEMBERS.items() if key != path})[0] is Exit.INCOMPLETE


def flips(data: bytes, count: int, seed: int) -> list[tuple[int, bytes]]:
    chosen = random.Random(seed).sample(range(len(data) * 8), count)  # noqa: S311  # repeatable, not secret
    return [(bit, _flip(data, bit)) for bit in chosen]


def _flip(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_no_flipped_bit_anywhere_goes_unnoticed() -> None:
    count = int(os.environ.get("CLOISTER_AUDIT_FLIPS", "40"))
    for bit, changed in flips(BUNDLE, count, 1):
        assert not verify_bundle(changed, KEYS).ok, bit


def test_no_flipped_bit_of_a_small_bundle_goes_unnoticed() -> None:
    for bit, changed in flips(SMALL, 1200, 2):
        assert not verify_bundle(changed, KEYS).ok, bit


@pytest.mark.audit_campaign
def test_no_single_flipped_bit_of_a_small_bundle_goes_unnoticed() -> None:
    for bit in range(len(SMALL) * 8):
        assert not verify_bundle(_flip(SMALL, bit), KEYS).ok, bit


CASES: dict[str, tuple[Callable[[dict[str, bytes]], object], Exit]] = {
    "another tree's checkpoint": (lambda m: m.update(checkpoint=members_of(*leaves(1000))["checkpoint"]), Exit.TAMPERED),
    "an older checkpoint replayed": (
        lambda m: m.update(checkpoint=members_of(ENTRIES[:999], VALUES[:999])["checkpoint"]), Exit.TAMPERED),
    "signed by another key of that name": (
        lambda m: m.update(checkpoint=members_of(ENTRIES, VALUES, OTHERS)["checkpoint"]), Exit.POLICY),
    "only one of two keys signed": (
        lambda m: m.update(checkpoint=members_of(ENTRIES, VALUES, SIGNERS[:1])["checkpoint"]), Exit.POLICY),
    "an extension line added": (
        lambda m: m.update(checkpoint=m["checkpoint"].replace(b"=\n\n", b"=\nx\n\n", 1)), Exit.TAMPERED),
    "the checkpoint gone": (lambda m: m.pop("checkpoint"), Exit.BAD_INPUT),
    "the manifest gone": (lambda m: m.pop("manifest.json"), Exit.BAD_INPUT),
    "another log's manifest": (lambda m: m.update({"manifest.json": bundles.manifest("x", 1000)}), Exit.BAD_INPUT),
    "other keys shown": (lambda m: m.update(keys=OTHERS[0].verifier.vkey.encode() + b"\n"), Exit.POLICY),
    "a tile gone": (lambda m: m.pop("tile/0/001"), Exit.INCOMPLETE),
    "a tile of other hashes": (lambda m: m.update({"tile/0/001": bytes(8192)}), Exit.TAMPERED),
    "an upper tile of other hashes": (lambda m: m.update({"tile/1/000.p/3": bytes(96)}), Exit.TAMPERED),
    "a value gone": (lambda m: _lines(m, lambda rows: rows[1:]), Exit.INCOMPLETE),
    "a value doubled": (lambda m: _lines(m, lambda rows: [rows[0], *rows]), Exit.TAMPERED),
    "two values swapped": (lambda m: _lines(m, lambda rows: [rows[1], rows[0], *rows[2:]]), Exit.TAMPERED),
    "a value altered": (lambda m: _lines(m, lambda rows: [rows[0].replace(b'"value":0', b'"value":7'), *rows[1:]]), Exit.TAMPERED),
    "a salt altered": (lambda m: _lines(m, lambda rows: [rows[0].replace(b"00", b"01", 1), *rows[1:]]), Exit.TAMPERED),
    "a value said to be erased by nobody": (
        lambda m: _lines(m, lambda rows: [canonical(bundles.erased_line(0, "change.0.old", 5)) + b"\n", *rows[1:]]), Exit.INCOMPLETE),
    "a file of values gone": (lambda m: m.pop("values/000.ndjson"), Exit.INCOMPLETE),
    "a stranger's file": (lambda m: m.update(zzz=b""), Exit.BAD_INPUT),
    "files in another order": (lambda m: m.update(keys=m.pop("keys")), Exit.BAD_INPUT),
}  # fmt: skip
OTHERS = [dataclasses.replace(SIGNERS[0], key=Ed25519PrivateKey.from_private_bytes(bytes([1] * 32)))]


def _lines(members: dict[str, bytes], change: Callable[[list[bytes]], list[bytes]]) -> None:
    rows = members["values/000.ndjson"].splitlines(keepends=True)
    members["values/000.ndjson"] = b"".join(change(rows))


@pytest.mark.parametrize("case", CASES)
def test_a_forger_is_told_apart(case: str) -> None:
    change, code = CASES[case]
    members = {**MEMBERS}
    change(members)
    assert check(members)[0] is code


def test_a_log_signed_whole_but_made_of_two_is_caught() -> None:
    other, values = leaves(1000, "test.example/audit/two")
    assert check(members_of([*ENTRIES[:500], *other[500:]], [*VALUES[:500], *values[500:]]))[0] is Exit.TAMPERED


def test_a_log_signed_with_a_gap_in_a_source_or_time_running_back_is_caught() -> None:
    assert check(members_of(ENTRIES[:10] + ENTRIES[11:], VALUES[:10] + VALUES[11:]))[0] in {
        Exit.INCOMPLETE,
        Exit.TAMPERED,
    }
    swapped = [ENTRIES[1], ENTRIES[0], *ENTRIES[2:]]
    report = verify_bundle(bundles.write(members_of(swapped, [[], *VALUES[:1], *VALUES[2:]]).items()), KEYS)
    assert Exit.TIME in {problem.kind for problem in report.problems}


def test_truncation_at_every_block_is_caught() -> None:
    for end in range(0, len(SMALL), 97):
        assert not verify_bundle(SMALL[:end], KEYS).ok
    assert verify_bundle(SMALL + b"\0", KEYS).code is Exit.BAD_INPUT
    assert verify_bundle(b"", KEYS).code is Exit.BAD_INPUT


def test_an_intent_without_its_outcome_and_the_other_way_round_are_reported() -> None:
    report = verify_bundle(bundles.write(members_of(ENTRIES[:1], VALUES[:1]).items()), KEYS)
    assert (report.ok, report.open_intents) == (True, [0])
