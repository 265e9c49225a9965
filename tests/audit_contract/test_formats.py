"""Canonical JSON, notes, keys, checkpoints, proofs, tiles' names, entries: what is written reads back, nothing else reads."""

import contextlib
import json
import unicodedata

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from audit_contract.actions import Action
from audit_contract.canonical import CanonicalError, canonical, encode_plain, read_canonical
from audit_contract.checkpoint import Checkpoint, from_text, open_checkpoint
from audit_contract.commitment import commit
from audit_contract.entry import Actor, Change, Draft, ObjectRef, Reason, timestamp, uuid7
from audit_contract.form import Place, unplaced
from audit_contract.form import values as values_of
from audit_contract.keys import KeySigner, KeyType, parse_vkey
from audit_contract.leaf import LeafError, field_name, field_number, read_leaf
from audit_contract.note import Note, NoteError, SignatureError, UnsignedError, open_note, parse
from audit_contract.proof import InclusionProof
from audit_contract.proof import parse as parse_proof
from audit_contract.tiles import TileError, bundle_entries, name, parse_name, split_entries, tiles_of

TEXT = st.text(st.characters(blacklist_categories=("Cs",)), max_size=30)
WHOLE = st.integers(-(2**53) + 1, 2**53 - 1)
KEYS = st.from_regex(r"[A-Za-z][A-Za-z0-9_.-]{0,8}", fullmatch=True)
PLAIN = st.recursive(
    st.none() | st.booleans() | WHOLE | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
ANY = st.recursive(
    st.none() | st.booleans() | WHOLE | TEXT | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(PLAIN)
def test_the_fast_writer_gives_rfc_8785_bytes(value) -> None:
    assert encode_plain(value) == rfc8785.dumps(value)


@given(ANY)
def test_what_is_written_reads_back_and_writes_the_same(value) -> None:
    data = canonical(value)
    assert data == rfc8785.dumps(value)
    assert canonical(read_canonical(data)) == data


@pytest.mark.parametrize(
    "data",
    [b"", b" {}", b'{"b":1,"a":2}', b'{"a":1,"a":1}', b"1.0", b"1e2", b"01", b'"\\u0041"', b"\xef\xbb\xbf{}", b'{"a": 1}',
     b"NaN", b"-0", b"9007199254740993", b"[" * 60_000, b'"\\ud800"', b"\xff", b"{}\n"],
)  # fmt: skip
def test_any_other_spelling_is_refused(data: bytes) -> None:
    with pytest.raises(CanonicalError):
        read_canonical(data)


SEED = bytes(range(32))
ED25519 = KeySigner("example.com/log", KeyType.ED25519, Ed25519PrivateKey.from_private_bytes(SEED))
COSIGNER = KeySigner("example.com/witness", KeyType.ED25519_COSIGNATURE, Ed25519PrivateKey.from_private_bytes(SEED))
ML_DSA = KeySigner("example.com/log", KeyType.ML_DSA_44, MLDSA44PrivateKey.from_seed_bytes(SEED))
POINT = Checkpoint("example.com/log", 7, bytes(32))


def signed(*signers: KeySigner) -> bytes:
    return Note(POINT.text(), tuple(each.sign(POINT.text(), 1_700_000_000) for each in signers)).encode()


def test_the_specifications_own_example_verifies() -> None:
    key = parse_vkey("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")
    note = (
        "This is an example message.\n\n— example.com/foo "
        "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
    )
    assert open_note(note.encode(), [key])[1] == [key]


@pytest.mark.parametrize("signer", [ED25519, COSIGNER, ML_DSA], ids=["ed25519", "cosignature", "ml-dsa-44"])
def test_every_kind_of_key_signs_and_its_vkey_reads_back(signer: KeySigner) -> None:
    key = parse_vkey(signer.verifier.vkey)
    assert key.vkey == signer.verifier.vkey
    opened = open_checkpoint(signed(signer), "example.com/log", [key])
    assert opened.checkpoint == POINT
    if signer.kind is not KeyType.ED25519:
        assert key.timestamp(opened.note.text, opened.note.signatures[0].value) == 1_700_000_000
    for other in (POINT.text().replace("7", "8"), POINT.text().replace("log", "lag")):
        with pytest.raises(SignatureError):
            key.verify(other, opened.note.signatures[0].value)


def test_unknown_keys_are_ignored_a_known_one_that_fails_refuses_the_note() -> None:
    data = signed(ED25519, ML_DSA, COSIGNER)
    assert len(open_note(data, [ED25519.verifier])[1]) == 1
    with pytest.raises(UnsignedError):
        open_note(data, [])
    broken = parse(data)
    bad = broken.signatures[1].__class__(ML_DSA.name, ML_DSA.verifier.key_id, bytes(2428))
    with pytest.raises(SignatureError):
        open_note(Note(broken.text, (broken.signatures[0], bad)).encode(), [ED25519.verifier, ML_DSA.verifier])
    with pytest.raises(NoteError):
        open_checkpoint(data, "example.com/other", [ED25519.verifier])


@given(st.integers(0, len(signed(ED25519)) - 1), st.integers(0, 7))
def test_no_flipped_bit_of_a_note_goes_unnoticed(at: int, bit: int) -> None:
    data = bytearray(signed(ED25519))
    data[at] ^= 1 << bit
    with pytest.raises((NoteError, SignatureError, UnsignedError)):
        open_checkpoint(bytes(data), "example.com/log", [ED25519.verifier])


@given(st.binary(max_size=200) | TEXT.map(str.encode))
def test_readers_of_foreign_bytes_never_raise_anything_else(data: bytes) -> None:
    with contextlib.suppress(NoteError):
        parse(data)
    with contextlib.suppress(NoteError):
        parse_proof(data)
    with contextlib.suppress(TileError):
        split_entries(data)
    with contextlib.suppress(LeafError):
        read_leaf(data)
    with contextlib.suppress(NoteError):
        from_text(data.decode(errors="replace"))
    with contextlib.suppress(NoteError):
        parse_vkey(data.decode(errors="replace"))


@pytest.mark.parametrize(
    "text",
    [
        "a\n1\n",
        "a\n01\nAAAA\n",
        "a\n-1\nAAAA\n",
        "\n1\nAAAA\n",
        "a\n1\nAAAA",
        "a\n1\n" + "A" * 43 + "=\n\n",
        "a\n1\nAA==\n",
    ],
)
def test_what_is_not_a_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(NoteError):
        from_text(text)


@given(st.integers(0, 10**12), st.integers(1, 256))
def test_a_tiles_name_reads_back(index: int, width: int) -> None:
    assert parse_name(name(index, width)) == (index, width)


def test_the_specifications_own_tiles() -> None:
    assert name(1234067) == "x001/x234/067"
    widths = {}
    for tile in tiles_of(70_000):
        widths.setdefault((tile.level, tile.width), []).append(tile.index)
    assert {key: len(found) for key, found in widths.items()} == {
        (0, 256): 273,
        (0, 112): 1,
        (1, 256): 1,
        (1, 17): 1,
        (2, 1): 1,
    }
    assert [(tile.level, tile.width) for tile in tiles_of(256)] == [(0, 256), (1, 1)]


@pytest.mark.parametrize(
    "text", ["", "1", "0001", "x000/001", "000.p/0", "000.p/256", "000.p/01", "x1/000", "000/", "-01"]
)
def test_any_other_tile_name_is_refused(text: str) -> None:
    with pytest.raises(TileError):
        parse_name(text)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=256))
def test_an_entry_bundle_reads_back(entries: list[bytes]) -> None:
    assert split_entries(bundle_entries(entries)) == entries


@given(st.integers(0, 2**40), st.lists(st.binary(min_size=32, max_size=32), max_size=63), st.binary(max_size=9))
def test_a_proof_reads_back(index: int, path: list[bytes], extra: bytes) -> None:
    proof = InclusionProof(index, tuple(path), signed(ED25519), extra)
    assert parse_proof(proof.encode()) == proof


NFC = TEXT.map(lambda text: unicodedata.normalize("NFC", text.replace("\0", ""))).filter(bool)


@given(
    NFC,
    ANY,
    st.none() | NFC,
    st.integers(0, 2**50),
    st.booleans(),
    st.sampled_from([None, "UTC", "America/Argentina/Ushuaia"]),
)
def test_a_leaf_is_canonical_and_reads_back(sub, value, text, seq, first, zone) -> None:
    draft = Draft(
        action=Action.OBJECT_APPLY, tz=zone,
        actor=Actor(type="user", sub=sub, dn=sub, auth={"components": ["id", "password"], "mfa": True, "n": [1, "x"]}),
        object=ObjectRef(type="Document", id=sub), change=(Change(path="/a", old=value), Change(path="/b", new=None)),
        reason=Reason(code="X", text=text), system={"image": sub}, request=sub,
    )  # fmt: skip
    values = values_of(draft.plain())
    assert [field for field, _ in values] == ["reason.text"] * bool(text) + ["change.0.old", "change.1.new"]
    commitments = {field: commit(bytes(32), data) for field, data in values}
    place = Place(seq, None if first else "ab" * 32, timestamp(), b'{"error_us":1,"synchronised":true}')
    data = unplaced(draft.plain(), "o/audit/x", "operator", "a/b", commitments).leaf(place)
    assert rfc8785.dumps(json.loads(data)) == data
    leaf = read_leaf(data)
    assert dict(leaf.commitments()) == commitments
    assert (leaf.id, leaf.seq, leaf.prev, leaf.clock) == (draft.id, seq, place.prev, place.clock)
    assert (leaf.data["t"].get("tz"), leaf.data["actor"]["dn"]) == (zone, sub)
    assert Draft.model_validate(draft.body()) == draft


def test_ids_are_in_the_order_of_their_time_and_of_version_7() -> None:
    ids = [uuid7() for _ in range(100)]
    assert len(set(ids)) == 100
    assert [each[:13] for each in ids] == sorted(each[:13] for each in ids)
    for each in ids:
        Draft(
            id=each, action="app:document:read", actor=Actor(type="user", sub="x"), object=ObjectRef(type="D", id="1")
        )


def test_the_actions_follow_their_grammar() -> None:
    for action in Action:
        source, subject, verb = action.value.split(":")
        assert source in {"operator", "admission", "job", "app", "auditor", "audit"}
        assert subject.replace("-", "").isalpha()
        assert verb.isalpha()


@given(st.integers(0, 200))
def test_fields_have_numbers(number: int) -> None:
    assert field_number(field_name(number)) == number
