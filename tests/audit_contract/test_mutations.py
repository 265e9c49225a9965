"""Every single bit, entry, value and header of a bundle, changed one at a time: caught, with the right exit code.

A 1,000-entry bundle has five million bits and a third of a second goes into checking it whole. So the campaign changes one bit in
every entry at once and asks that each of the thousand is named; it checks tiles, values and headers with the stage of the
verifier that reads them; and it flips every bit of a small bundle through the whole verifier. Without `-m audit_campaign` the same
tests take a sample, another one each day.
"""

import random
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_contract import bundle as bundles
from audit_contract import verify
from audit_contract.canonical import CanonicalError, canonical, read_canonical
from audit_contract.checkpoint import Checkpoint, from_text
from audit_contract.keys import parse_vkey
from audit_contract.leaf import LeafError, read_leaf
from audit_contract.merkle import root_of
from audit_contract.note import NoteError
from audit_contract.note import parse as parse_note
from audit_contract.proof import InclusionProof
from audit_contract.proof import parse as parse_proof
from audit_contract.report import Exit, Report
from audit_contract.tiles import TileError, bundle_entries, name, parse_name, split_entries, split_hashes
from audit_contract.verify_values import _check_value_file
from tests.audit_contract.test_bundle import BUNDLE, ENTRIES, KEYS, LOG, MEMBERS, SMALL, VALUES, leaf_hash

POINT = Checkpoint(LOG, 1000, root_of(leaf_hash(entry) for entry in ENTRIES))
FILES = bundles.entry_members(1000)
LEAVES = [read_leaf(entry) for entry in ENTRIES]
CHANCE = random.Random(datetime.now(UTC).date().isoformat())  # noqa: S311  # repeatable, not secret
campaign = pytest.mark.audit_campaign


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def tree_problems(members: dict[str, bytes]) -> Report:
    report = Report()
    verify._check_tree(report, bundles.Bundle(LOG, 1000, members), POINT)
    return report


def flip_in_every_entry(bits: Iterable[int]) -> None:
    for bit in bits:
        changed = [flipped(entry, bit % (len(entry) * 8)) for entry in ENTRIES]
        members = {**MEMBERS}
        for number, file in enumerate(FILES):
            members[file] = bundle_entries(changed[number * 256 : (number + 1) * 256])
        report = tree_problems(members)
        assert [each.index for each in report.problems if each.kind is Exit.TAMPERED] == list(range(1000)), bit


def test_a_flipped_bit_in_any_entry_is_named() -> None:
    flip_in_every_entry(CHANCE.sample(range(max(map(len, ENTRIES)) * 8), 150))


@campaign
def test_every_flipped_bit_of_every_entry_is_named() -> None:
    flip_in_every_entry(range(max(map(len, ENTRIES)) * 8))


def flip_lengths(places: Iterable[tuple[int, int]]) -> None:
    """Flip a bit of an entry's length, in each of the four files at once: each file is found out by itself."""
    for at, bit in places:
        members = {**MEMBERS}
        for file in FILES:
            starts = [0]
            for entry in split_entries(MEMBERS[file]):
                starts.append(starts[-1] + 2 + len(entry))
            members[file] = flipped(MEMBERS[file], starts[at % (len(starts) - 1)] * 8 + bit)
        report = tree_problems(members)
        for number, file in enumerate(FILES):
            mine = range(number * 256, (number + 1) * 256)
            assert any(
                each.kind is Exit.TAMPERED
                and (each.text.startswith(file) or (each.index is not None and each.index in mine))
                for each in report.problems
            ), (file, at, bit)


def test_a_flipped_bit_in_an_entrys_length_is_found() -> None:
    flip_lengths(CHANCE.sample([(at, bit) for at in range(256) for bit in range(16)], 200))


@campaign
def test_every_flipped_bit_of_every_entrys_length_is_found() -> None:
    flip_lengths((at, bit) for at in range(256) for bit in range(16))


def tile_bytes() -> list[tuple[str, int]]:
    return [
        (path, at)
        for path, data in MEMBERS.items()
        if path.startswith("tile/") and "entries" not in path
        for at in range(len(data))
    ]


def flip_tiles(places: Iterable[tuple[str, int]]) -> None:
    for number, (path, at) in enumerate(places):
        report = tree_problems({**MEMBERS, path: flipped(MEMBERS[path], at * 8 + number % 8)})
        assert report.code is Exit.TAMPERED, (path, at)
        if path.startswith("tile/0/"):
            assert report.first_bad == int(path[7:10]) * 256 + at // 32, (path, at)


def test_a_flipped_bit_of_a_tile_is_found_and_names_its_leaf() -> None:
    flip_tiles(CHANCE.sample(tile_bytes(), 300))


@campaign
def test_a_flipped_bit_in_every_byte_of_every_tile_is_found_and_names_its_leaf() -> None:
    flip_tiles(tile_bytes())


def flip_values(indices: Iterable[int]) -> None:
    """Flip every bit of these entries' values; the lines that come next are there too, for a lost newline joins them."""
    for index in indices:
        own, following = VALUES[index], VALUES[index + 3] if index + 3 < 1000 else []
        wanted = [
            (at, field, commitment)
            for at in (index, index + 3)
            if at < 1000
            for field, commitment in LEAVES[at].commitments()
        ]
        data = b"".join(own)
        for bit in range(len(data) * 8):
            lines = (flipped(data, bit) + b"".join(following)).splitlines(keepends=True)
            report = Report()
            _check_value_file(report, wanted, lines, list(LEAVES), "values")
            assert report.code is Exit.TAMPERED, (index, bit)


def test_every_flipped_bit_of_some_values_is_found() -> None:
    flip_values(CHANCE.sample(range(0, 1000, 3), 12))


@campaign
def test_every_flipped_bit_of_every_value_is_found() -> None:
    flip_values(range(0, 1000, 3))


def regions(data: bytes) -> Iterator[tuple[str, int, int]]:
    """The parts of a bundle: (member, "header" or "padding"; begin, end), and the archive's end."""
    at = 0
    for path in bundles.member_names(bundles.read(data).size):
        size = len(bundles.read(data).members[path])
        yield "header", at, at + 512
        yield path, at + 512, at + 512 + size
        at += 512 + size + -size % 512
        yield "padding", at - -size % 512, at
    yield "end", at, len(data)


RIGHT = {
    "header": {Exit.BAD_INPUT}, "padding": {Exit.BAD_INPUT}, "end": {Exit.BAD_INPUT}, "manifest.json": {Exit.BAD_INPUT, Exit.TAMPERED},
    "checkpoint": {Exit.BAD_INPUT, Exit.TAMPERED, Exit.POLICY}, "keys": {Exit.POLICY, Exit.BAD_INPUT},
}  # fmt: skip


def flip_whole(data: bytes, bits: Iterable[int]) -> None:
    parts = [(part, begin, end) for part, begin, end in regions(data) if begin < end]
    for bit in bits:
        (part,) = [part for part, begin, end in parts if begin <= bit // 8 < end]
        assert verify.verify_bundle(flipped(data, bit), KEYS).code in RIGHT.get(part, {Exit.TAMPERED}), (part, bit)


def test_a_flipped_bit_anywhere_has_the_right_exit_code() -> None:
    flip_whole(SMALL, CHANCE.sample(range(len(SMALL) * 8), 1500))
    flip_whole(BUNDLE, CHANCE.sample(range(len(BUNDLE) * 8), 25))


@campaign
def test_every_flipped_bit_of_a_small_bundle_has_the_right_exit_code() -> None:
    flip_whole(SMALL, range(len(SMALL) * 8))


@campaign
def test_a_flipped_bit_in_every_byte_of_every_header_and_of_the_padding_is_bad_input() -> None:
    for part, begin, end in regions(BUNDLE):
        if part in {"header", "padding", "end"}:
            for at in range(begin, end):
                with pytest.raises(bundles.BundleError):
                    bundles.read(flipped(BUNDLE, at * 8 + at % 8))


def move_entries(indices: Iterable[int]) -> None:
    """Drop, double, swap and replace the entry at each index; each is told by the index it begins at."""
    for index in indices:
        file = FILES[index // 256]
        found = split_entries(MEMBERS[file])
        at = index % 256
        last = at == len(found) - 1
        swapped = [*found]
        other = at - 1 if last else at + 1
        swapped[at], swapped[other] = swapped[other], swapped[at]
        first = index - at
        for entries, code, bad in (
            (found[:at] + found[at + 1 :], Exit.INCOMPLETE if last else Exit.TAMPERED, None if last else index),
            (
                [*found[: at + 1], found[at], *found[at + 1 :]],  # 257 in a file of 256 are not even read
                Exit.TAMPERED,
                None if last or len(found) == 256 else index + 1,
            ),
            (
                [*found[: at + 1], found[at], *found[at + 1 :]][: len(found)],
                Exit.OK if last else Exit.TAMPERED,
                None if last else index + 1,
            ),
            (swapped, Exit.TAMPERED, first + min(at, other)),
            ([*found[:at], ENTRIES[(index + 500) % 1000], *found[at + 1 :]], Exit.TAMPERED, index),
        ):
            report = tree_problems({**MEMBERS, file: bundle_entries(entries) if entries else b""})
            assert (report.code, report.first_bad) == (code, bad), index


def test_an_entry_dropped_doubled_swapped_or_replaced_is_told_by_its_index() -> None:
    move_entries([0, 1, 254, 255, 256, 511, 512, 767, 768, 998, 999, *CHANCE.sample(range(1000), 20)])


@campaign
def test_every_entry_dropped_doubled_swapped_or_replaced_is_told_by_its_index() -> None:
    move_entries(range(1000))


# What a reader takes, it would write the same: near-valid bytes, made by cutting, doubling and changing valid ones.

PROOF = InclusionProof(7, (bytes(32), bytes([1] * 32)), MEMBERS["checkpoint"], b"extra").encode()


@st.composite
def damaged(draw: st.DrawFn, valid: bytes) -> bytes:
    data = valid
    for _ in range(draw(st.integers(1, 4))):
        begin = draw(st.integers(0, len(data)))
        end = min(len(data), begin + draw(st.integers(0, 12)))
        kind = draw(st.sampled_from(["cut", "double", "put", "swap", "bit", "truncate"]))
        if kind == "cut":
            data = data[:begin] + data[end:]
        elif kind == "double":
            data = data[:end] + data[begin:end] + data[end:]
        elif kind == "put":
            data = (
                data[:begin]
                + draw(
                    st.sampled_from(
                        [
                            b"\n",
                            b"\n\n",
                            b"\r",
                            b" ",
                            b"=",
                            b"\0",
                            b"0",
                            b"extra \n",
                            "—".encode(),
                            b"\xff",
                            b"+",
                            b"\t",
                        ]
                    )
                )
                + data[end:]
            )
        elif kind == "swap":
            data = data[end:] + data[begin:end] + data[:begin]
        elif kind == "bit" and data:
            data = flipped(data, draw(st.integers(0, len(data) * 8 - 1)))
        elif kind == "truncate":
            data = data[:begin]
    return data


def accepted(read, write, data: bytes, *refusals: type[Exception]) -> None:
    """Reading refuses with its own error, or what was read is written as the very same bytes."""
    try:
        found = read(data)
    except refusals:
        return
    assert write(found) == data


@given(damaged(MEMBERS["checkpoint"]) | st.binary(max_size=300))
def test_no_reader_of_notes_takes_what_it_would_not_write(data: bytes) -> None:
    accepted(parse_note, lambda note: note.encode(), data, NoteError)


@given(damaged(POINT.text().encode()) | st.binary(max_size=200))
def test_no_reader_of_checkpoints_takes_what_it_would_not_write(data: bytes) -> None:
    accepted(
        lambda each: from_text(each.decode()), lambda point: point.text().encode(), data, NoteError, UnicodeDecodeError
    )


@given(damaged(PROOF) | damaged(PROOF[:130]) | st.binary(max_size=300))
def test_no_reader_of_proofs_takes_what_it_would_not_write(data: bytes) -> None:
    accepted(parse_proof, lambda proof: proof.encode(), data, NoteError)


@given(damaged(KEYS[0].encode()) | st.binary(max_size=100))
def test_no_reader_of_keys_takes_what_it_would_not_write(data: bytes) -> None:
    accepted(lambda each: parse_vkey(each.decode()), lambda key: key.vkey.encode(), data, NoteError, UnicodeDecodeError)


@given(damaged(ENTRIES[3]) | st.binary(max_size=300))
def test_no_reader_of_leaves_takes_what_it_would_not_write(data: bytes) -> None:
    accepted(read_leaf, lambda leaf: canonical(leaf.data), data, LeafError)
    accepted(read_canonical, canonical, data, CanonicalError)


@given(damaged(bundle_entries(ENTRIES[:3])) | st.binary(max_size=300))
def test_no_reader_of_entry_bundles_and_tiles_takes_what_it_would_not_write(data: bytes) -> None:
    accepted(split_entries, bundle_entries, data, TileError)
    accepted(split_hashes, b"".join, data, TileError)


@given(damaged(b"x001/x234/067.p/8") | st.binary(max_size=30))
def test_no_reader_of_tiles_names_takes_what_it_would_not_write(data: bytes) -> None:
    accepted(
        lambda each: parse_name(each.decode()), lambda found: name(*found).encode(), data, TileError, UnicodeDecodeError
    )


@given(damaged(SMALL) | damaged(SMALL[:2048]) | st.binary(max_size=2000))
def test_no_reader_of_bundles_takes_what_it_would_not_write_and_the_verifier_never_fails(data: bytes) -> None:
    accepted(bundles.read, lambda bundle: bundles.write(bundle.members.items()), data, bundles.BundleError)
    assert data == SMALL or not verify.verify_bundle(data, KEYS).ok
    verify.verify_bundle(data)
