"""golang.org/x/mod/sumdb and transparency-dev's merkle and formats accept what our running service answers, and no change of it."""

import base64

import pytest

from audit_contract.tiles import split_entries
from tests.audit_contract import vectors
from tests.interop.conftest import SMALL, SMALL_SIZES, Grown, Strangers, b64

pytestmark = pytest.mark.services

SIZE = SMALL_SIZES[-1]


def flipped(data: bytes, bit: int) -> bytes:
    """The same bytes, one bit changed."""
    at, mask = bit // 8, 1 << bit % 8
    return data[:at] + bytes((data[at] ^ mask,)) + data[at + 1 :]


def note_question(log: Grown, note: bytes, keys: list[str]) -> dict:
    return {"ask": "checkpoint", "origin": log.origin, "keys": keys, "note": b64(note)}


def test_sumdb_note_opens_every_checkpoint_with_the_ed25519_key(small: Grown, strangers: Strangers) -> None:
    for size, note in small.checkpoints.items():
        said = strangers.one(ask="note", keys=small.keys[:1], note=b64(note))
        assert said["accepted"], said
        assert base64.b64decode(said["entry"]).decode().split("\n")[:2] == [small.origin, str(size)]
        assert len(said["signed"]) == 1


def test_transparency_devs_formats_verify_both_signatures_the_post_quantum_one_too(
    small: Grown, strangers: Strangers
) -> None:
    for size, note in small.checkpoints.items():
        said = strangers.one(**note_question(small, note, small.keys))
        assert said["accepted"], said
        assert (said["size"], said["root"], len(said["signed"])) == (size, small.root(size), 2)


@pytest.mark.parametrize("ask", ["note", "checkpoint"])
def test_a_checkpoint_with_any_bit_of_its_text_changed_is_refused(small: Grown, strangers: Strangers, ask: str) -> None:
    note = small.checkpoints[SIZE]
    text = note.index(b"\n\n") + 1
    keys = small.keys[:1] if ask == "note" else small.keys
    questions = [{**note_question(small, flipped(note, bit), keys), "ask": ask} for bit in range(text * 8)]
    assert [bit for bit, said in enumerate(strangers.all(questions)) if said["accepted"]] == []


def test_a_checkpoint_with_a_changed_signature_of_either_kind_is_refused(small: Grown, strangers: Strangers) -> None:
    note = small.checkpoints[SIZE]
    head, _, lines = note.partition(b"\n\n")
    for number, line in enumerate(lines.splitlines()):
        name, _, encoded = line.rpartition(b" ")
        signature = base64.b64decode(encoded)
        for bit in (33, 8 * 40, len(signature) * 8 - 1):  # beyond the key's id, which only says whose it is
            changed = lines.splitlines()
            changed[number] = name + b" " + base64.b64encode(flipped(signature, bit))
            said = strangers.one(**note_question(small, head + b"\n\n" + b"\n".join(changed) + b"\n", small.keys))
            assert not said["accepted"], (number, bit)


def test_another_logs_key_or_origin_opens_nothing(small: Grown, strangers: Strangers) -> None:
    note = small.checkpoints[SIZE]
    with small.http() as http:
        platform = http.get(small.url.replace(f"{SMALL}/", "platform")).json()
    assert strangers.one(ask="note", keys=platform["keys"], note=b64(platform["checkpoint"].encode()))["accepted"]
    assert not strangers.one(ask="note", keys=platform["keys"], note=b64(note))["accepted"]
    assert not strangers.one(**{**note_question(small, note, small.keys), "origin": platform["origin"]})["accepted"]


def entries(log: Grown, size: int) -> list[bytes]:
    with log.http() as http:
        names = [f"{index:03d}" for index in range(size // 256)] + [f"{size // 256:03d}.p/{size % 256}"]
        return [each for name in names for each in split_entries(http.get(f"tile/entries/{name}").content)]


def test_their_leaf_hashes_and_inclusion_proofs_are_ours(small: Grown, strangers: Strangers) -> None:
    found = entries(small, SIZE)
    assert len(found) == SIZE
    leaves = [said["leaf"] for said in strangers.all([{"ask": "leaf", "entry": b64(entry)} for entry in found])]
    with small.http() as http:
        rows = [
            row
            for begin in range(0, SIZE, 256)
            for row in http.get(f"entries?from={begin}&limit=256").json()["entries"]
        ]
    assert [base64.b64decode(leaf).hex() for leaf in leaves] == [row["leafHash"] for row in rows]
    questions = [
        {
            "ask": "inclusion",
            "index": index,
            "size": size,
            "leaf": leaves[index],
            "path": small.hashes(f"proof?index={index}&size={size}"),
            "root": small.root(size),
        }
        for size in SMALL_SIZES
        for index in sorted({0, 1, 2, 127, 128, 254, 255, 256, 257, 511, 512, size - 2, size - 1})
        if 0 <= index < size
    ]
    assert [said for said in strangers.all(questions) if not said["accepted"]] == []


def refused(strangers: Strangers, true: dict) -> None:
    """Assert that the question is answered yes, and no with anything about it changed."""
    hashes = [base64.b64decode(each) for each in true["path"]]
    other = b64(b"\x5a" * 32)
    roots = [key for key in ("root", "before", "leaf") if key in true]
    paths = [
        [*hashes[:at], flipped(each, bit), *hashes[at + 1 :]] for at, each in enumerate(hashes) for bit in (0, 255)
    ]
    paths += [hashes[:at] + hashes[at + 1 :] for at in range(len(hashes))]
    paths += [[*hashes, b"\x5a" * 32], [b"\x5a" * 32, *hashes], [*hashes, b""]]
    paths += [[hashes[1], hashes[0], *hashes[2:]]] if len(hashes) > 1 else []
    changed = [{**true, "path": [b64(each) for each in mutant]} for mutant in paths]
    changed += [{**true, key: value} for key in roots for value in (other, true[key][:-8])]
    changed += [{**true, "root": true["before"], "before": true["root"]}] if "before" in true else []
    # A path proves a place. The size it is bound to by the signed checkpoint alone: 599, 600 and 601 have paths of one shape.
    numbers = {"index": (1, -1), "old": (1, -1), "size": (true["size"], 1 << 40)}
    changed += [
        {**true, key: true[key] + by}
        for key, steps in numbers.items()
        for by in steps
        if key in true and true[key] + by >= (key == "old")  # theirs has every tree begin with the empty one
    ]
    answers = strangers.all([true, *changed])
    assert answers[0]["accepted"], answers[0]
    assert [each for each, said in zip(changed, answers[1:], strict=True) if said["accepted"]] == []


@pytest.mark.parametrize("index", [0, 255, 256, 511, SIZE - 1])
def test_a_changed_inclusion_proof_is_refused(small: Grown, strangers: Strangers, index: int) -> None:
    leaf = strangers.one(ask="leaf", entry=b64(entries(small, SIZE)[index]))["leaf"]
    path = small.hashes(f"proof?index={index}&size={SIZE}")
    true = {"ask": "inclusion", "index": index, "size": SIZE, "leaf": leaf, "path": path, "root": small.root(SIZE)}
    refused(strangers, true)


@pytest.mark.parametrize("old", SMALL_SIZES[:-1])
def test_consistency_with_every_checkpoint_seen_before_is_proven_and_a_changed_proof_refused(
    small: Grown, strangers: Strangers, old: int
) -> None:
    true = {
        "ask": "consistency",
        "old": old,
        "size": SIZE,
        "path": small.hashes(f"consistency?from={old}&to={SIZE}"),
        "before": small.root(old),
        "root": small.root(SIZE),
    }
    refused(strangers, true)


def test_a_tlog_proof_stands_alone_and_falls_with_its_entry(small: Grown, strangers: Strangers) -> None:
    found = entries(small, SIZE)
    for index in (0, 300, SIZE - 1):
        with small.http() as http:
            proof = http.get("proof", params={"index": index}).content
        question = {**note_question(small, proof, small.keys), "ask": "proof", "entry": b64(found[index])}
        assert strangers.one(**question)["accepted"]
        assert not strangers.one(**{**question, "entry": b64(found[index][:-1] + b"]")})["accepted"]
        assert not strangers.one(**{**question, "entry": b64(found[index ^ 1])})["accepted"]


def test_transparency_devs_merkle_judges_every_vector_as_we_do(strangers: Strangers) -> None:
    found = [("inclusion", each) for each in vectors.inclusion()] + [
        ("consistency", each) for each in vectors.consistency()
    ]
    # Theirs lets every tree begin with the empty one; ours refuses that proof, since it proves nothing.
    found = [(ask, each) for ask, each in found if each.get("old") != 0]
    questions = [
        {
            **each,
            "ask": ask,
            **{key: b64(bytes.fromhex(each[key])) for key in ("leaf", "root", "before") if key in each},
            "path": [b64(bytes.fromhex(value)) for value in each["path"]],
        }
        for ask, each in found
    ]
    assert len(questions) > 50_000
    answers = strangers.all(questions)
    wrong = [each for (_, each), said in zip(found, answers, strict=True) if said["accepted"] is not each["accept"]]
    assert wrong == []
