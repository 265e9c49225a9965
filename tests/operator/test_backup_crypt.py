"""jobs.crypt: what was sealed opens, and whatever was done to it is found out."""

import io
import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenant_operator.jobs.crypt import MAGIC, TAG, Damaged, Pieces, new_header, seal, unseal

KEY = b"k" * 32
CHUNK = 64


def sealed(plain, chunk=CHUNK, key=KEY):
    return b"".join(seal(io.BytesIO(plain), key, new_header("vault:v1:x", chunk=chunk, tenant="t")))


def opened(data, key=KEY):
    return b"".join(unseal(io.BytesIO(data), lambda _: key))


def body_of(data):
    return len(MAGIC) + 4 + int.from_bytes(data[len(MAGIC) : len(MAGIC) + 4], "big")


@given(st.binary(max_size=5 * CHUNK), st.integers(1, 3 * CHUNK))
def test_what_was_sealed_opens(plain, chunk):
    assert opened(sealed(plain, chunk)) == plain


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK])
def test_sizes_around_a_chunk(size):
    plain = os.urandom(size)
    data = sealed(plain)
    chunks = max(1, -(-size // CHUNK))
    assert len(data) == body_of(data) + size + chunks * TAG
    assert opened(data) == plain


@given(st.binary(min_size=1, max_size=4 * CHUNK), st.data())
def test_a_cut_at_any_byte_is_found_out(plain, data):
    whole = sealed(plain)
    with pytest.raises(Damaged):
        opened(whole[: data.draw(st.integers(0, len(whole) - 1))])


@given(st.binary(max_size=4 * CHUNK), st.data())
def test_any_flipped_bit_is_found_out(plain, data):
    whole = bytearray(sealed(plain))
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(Damaged):
        opened(bytes(whole))


@given(st.binary(min_size=1, max_size=64), st.binary(max_size=3 * CHUNK))
def test_anything_appended_is_found_out(more, plain):
    with pytest.raises(Damaged):
        opened(sealed(plain) + more)


@given(st.permutations(range(4)))
def test_chunks_in_another_order_are_found_out(order):
    whole = sealed(os.urandom(4 * CHUNK))
    start, size = body_of(whole), CHUNK + TAG
    chunks = [whole[start + i * size : start + (i + 1) * size] for i in range(4)]
    moved = whole[:start] + b"".join(chunks[i] for i in order)
    if list(order) == list(range(4)):
        assert len(opened(moved)) == 4 * CHUNK
    else:
        with pytest.raises(Damaged):
            opened(moved)


@given(st.integers(0, 3), st.booleans())
def test_a_chunk_left_out_or_repeated_is_found_out(number, repeat):
    whole = sealed(os.urandom(4 * CHUNK))
    start, size = body_of(whole), CHUNK + TAG
    at = start + number * size
    changed = whole[: at + size] + whole[at:] if repeat else whole[:at] + whole[at + size :]
    with pytest.raises(Damaged):
        opened(changed)


def test_a_chunk_of_another_stream_under_the_same_key_is_found_out():
    one, two = sealed(b"a" * 2 * CHUNK), sealed(b"b" * 2 * CHUNK)
    start, size = body_of(one), CHUNK + TAG
    with pytest.raises(Damaged):
        opened(one[: start + size] + two[start + size :])


def test_another_streams_header_is_found_out():
    one, two = sealed(b"a" * CHUNK), sealed(b"a" * CHUNK)
    with pytest.raises(Damaged):
        opened(two[: body_of(two)] + one[body_of(one) :])


def test_another_key_opens_nothing():
    with pytest.raises(Damaged):
        opened(sealed(b"hello"), b"x" * 32)


@settings(max_examples=300)
@given(st.binary(max_size=300))
def test_any_bytes_at_all_are_damaged_and_nothing_worse(data):
    for attempt in (data, MAGIC + data, MAGIC + len(data).to_bytes(4, "big") + data):
        with pytest.raises(Damaged):
            opened(attempt)


@pytest.mark.parametrize(
    "fields",
    [
        {"chunk": 0}, {"chunk": -1}, {"chunk": 1 << 40}, {"chunk": "many"}, {"nonce": "zz"}, {"nonce": "00"},
        {"wrappedKey": ""}, {"wrappedKey": None},
    ],
    ids=str,
)  # fmt: skip
def test_a_header_out_of_bounds_is_refused_before_any_key_is_asked_for(fields):
    good = {"chunk": 64, "nonce": "00" * 7, "wrappedKey": "vault:v1:x"}
    text = json.dumps({name: value for name, value in {**good, **fields}.items() if value is not None}).encode()

    def never(_):
        raise AssertionError("asked for a key")

    with pytest.raises(Damaged):
        list(unseal(io.BytesIO(MAGIC + len(text).to_bytes(4, "big") + text), never))


@given(st.lists(st.binary(max_size=50)), st.lists(st.integers(0, 60), min_size=1))
def test_pieces_read_as_one_file(pieces, sizes):
    file, whole, at = Pieces(pieces), b"".join(pieces), 0
    for size in sizes:
        got = file.read(size)
        assert got == whole[at : at + size]
        at += size
    assert file.read() == whole[at:]


def test_a_pipe_that_gives_little_at_a_time_is_read_whole():
    class Slow(io.BytesIO):
        def read(self, size=-1, /):
            return super().read(min(size, 7))

    plain = os.urandom(300)
    data = b"".join(seal(Slow(plain), KEY, new_header("vault:v1:x", chunk=CHUNK)))
    assert b"".join(unseal(Slow(data), lambda _: KEY)) == plain
