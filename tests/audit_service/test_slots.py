"""A file of two places: what was written last is read, and a write that was torn leaves what was there before."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_service.slots import SlotError, TwoSlots, newest

CONTENTS = st.binary(max_size=9000).map(lambda data: data.rstrip(b"\0"))
SECTOR = 512


def test_what_was_written_last_is_read_also_by_the_next_process(tmp_path: Path) -> None:
    file = tmp_path / "platform.checkpoint"
    slots = TwoSlots(file)
    for number in range(1, 6):
        slots.write(b"content %d" % number)
        assert newest(file.read_bytes()) == (number, b"content %d" % number)
    TwoSlots(file).write(b"another process's")
    assert newest(file.read_bytes()) == (6, b"another process's")


def test_after_the_first_write_the_file_is_written_where_it_is(tmp_path: Path) -> None:
    file = tmp_path / "platform.checkpoint"
    slots = TwoSlots(file)
    slots.write(b"first")
    before = file.stat()
    for number in range(3):
        slots.write(b"%d" % number * 7000)
    after = file.stat()
    assert (after.st_ino, after.st_size, after.st_blocks) == (before.st_ino, before.st_size, before.st_blocks)


def test_a_file_of_one_content_as_it_was_written_before_is_read_and_taken_over(tmp_path: Path) -> None:
    file = tmp_path / "platform.checkpoint"
    file.write_bytes(b"a note\n")
    assert newest(file.read_bytes()) == (0, b"a note\n")
    slots = TwoSlots(file)
    for text in (b"the next\n", b"and one more\n"):
        slots.write(text)
        assert newest(file.read_bytes()).data == text


def test_what_does_not_fit_gets_larger_places(tmp_path: Path) -> None:
    file = tmp_path / "platform.checkpoint"
    slots = TwoSlots(file)
    for size in (10, 100_000, 10, 99_000):
        slots.write(b"x" * size)
        assert newest(file.read_bytes()).data == b"x" * size


@given(before=st.lists(CONTENTS, min_size=1, max_size=3), last=CONTENTS, data=st.data())
def test_whatever_part_of_a_write_came_to_the_disk_it_is_the_new_content_or_the_one_before(
    tmp_path_factory: pytest.TempPathFactory, before: list[bytes], last: bytes, data: st.DataObject
) -> None:
    file = tmp_path_factory.mktemp("slots") / "platform.checkpoint"
    slots = TwoSlots(file)
    for each in before:
        slots.write(each)
    old = file.read_bytes()
    slots.write(last)
    new = file.read_bytes()
    assert len(old) == len(new)
    sectors = [at for at in range(0, len(new), SECTOR) if old[at : at + SECTOR] != new[at : at + SECTOR]]
    came = data.draw(st.sets(st.sampled_from(sectors)))
    torn = b"".join((new if at in came else old)[at : at + SECTOR] for at in range(0, len(new), SECTOR))
    assert newest(torn).data in (last, before[-1])
    if came == set(sectors):
        assert newest(torn).data == last
    file.write_bytes(torn)
    TwoSlots(file).write(b"and on it goes")
    assert newest(file.read_bytes()).data == b"and on it goes"


def test_a_file_of_which_both_places_are_damaged_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "platform.checkpoint"
    slots = TwoSlots(file)
    slots.write(b"one")
    slots.write(b"two")
    damaged = bytearray(file.read_bytes())
    half = len(damaged) // 2
    for at in (90, half + 90):
        damaged[at] ^= 1
        file.write_bytes(damaged)
    with pytest.raises(SlotError, match="neither of its two places"):
        newest(bytes(damaged))
    with pytest.raises(SlotError, match=r"platform\.checkpoint"):
        TwoSlots(file).write(b"three")
    assert file.read_bytes() == bytes(damaged)


def test_a_write_that_fails_leaves_what_was_there_and_the_next_one_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "platform.checkpoint"
    slots = TwoSlots(file)
    slots.write(b"one")

    def fails(_: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fails)
        with pytest.raises(OSError, match="Input/output"):
            slots.write(b"two")
    assert newest(file.read_bytes()).data in (b"one", b"two")
    slots.write(b"three")
    assert newest(file.read_bytes()).data == b"three"
