"""A small file that is replaced often: two places in it, written by turns where they are.

`durable.write_durably` makes a new file each time, and the file system's journal must take its name and blocks to the disk
together with whatever else it has gathered: beside a busy PostgreSQL that is now and then a third of a second. Bytes that are
overwritten where they are need no journal, only the disk. The older content stays until the next write, so one that a
loss of power tears is seen by its digest and leaves what was there before.
"""

import os
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

from audit_service.durable import write_durably

_BLOCK: Final = 4096
_SLOT: Final = 4 * _BLOCK  # the least: a checkpoint of a change of keys has half of that
_NUMBER: Final = 20  # digits


class SlotError(ValueError):
    """Neither place of a file holds what was written there."""


class Content(NamedTuple):
    """What a place holds: the how many-th content of the file it is, from 1, and the content."""

    number: int
    data: bytes


def _packed(content: Content) -> bytes:
    number = b"%0*d" % (_NUMBER, content.number)
    return number + b" " + sha256(number + content.data).hexdigest().encode() + b"\n" + content.data


def _unpacked(place: bytes) -> Content | None:
    head, _, padded = place.partition(b"\n")
    digits, data = head[:_NUMBER], padded.rstrip(b"\0")
    if not digits.isdigit():
        return None
    found = Content(int(digits), data)
    return found if _packed(found) == head + b"\n" + data else None


def newest(stored: bytes) -> Content:
    """Return what was written last, number 0 for a file that is all one content, as it was before there were places.

    Raises SlotError when both places are damaged: a write touches only one.
    """
    if b"\0" not in stored:
        return Content(0, stored)
    half = len(stored) // 2
    found = [each for each in (_unpacked(stored[:half]), _unpacked(stored[half:])) if each is not None]
    if not found:
        raise SlotError("neither of its two places holds what was written there")
    return max(found)


class TwoSlots:
    """One such file, of which there is one writer. Contents do not end in NUL."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._number: int | None = None
        self._room = 0

    def write(self, data: bytes) -> None:
        """Make this the newest content: it is on the disk when the call returns.

        Raises OSError or SlotError; then what was there before still is.
        """
        if self._number is None:
            self._open()
        number, self._number = (self._number or 0) + 1, None
        packed = _packed(Content(number, data))
        if len(packed) > self._room:
            self._room = max(_SLOT, -(-len(packed) // _BLOCK) * _BLOCK)
            places = [bytes(self._room), bytes(self._room)]
            places[number % 2] = packed.ljust(self._room, b"\0")
            write_durably(self._file, b"".join(places))
        else:
            self._overwrite(number % 2 * self._room, packed.ljust(self._room, b"\0"))
        self._number = number

    def _open(self) -> None:
        """Learn where the last write left the file."""
        stored = self._file.read_bytes() if self._file.exists() else b""
        try:
            self._number = newest(stored).number
        except SlotError as error:
            raise SlotError(f"{self._file}: {error}") from error
        self._room = len(stored) // 2 if self._number else 0

    def _overwrite(self, at: int, place: bytes) -> None:
        handle = os.open(self._file, os.O_WRONLY)
        try:
            if os.pwrite(handle, place, at) != len(place):
                raise OSError(f"{self._file}: not all of it was written")
            os.fdatasync(handle)
        finally:
            os.close(handle)
