"""C2SP tlog-checkpoint: a tree's size and root as the text of a signed note. Pure."""

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from audit_contract.merkle import HASH_SIZE
from audit_contract.note import Note, NoteError, Verifier, decode_base64, open_note

_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_LINES: Final = 3


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The tree head of the log `origin`: `size` leaves, `root` of 32 bytes, and extension lines (ours have none)."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def text(self) -> str:
        """Return the note text."""
        lines = (self.origin, str(self.size), base64.b64encode(self.root).decode(), *self.extensions)
        return "".join(f"{line}\n" for line in lines)


def from_text(text: str) -> Checkpoint:
    """Read a checkpoint from a note's text. Raises NoteError for any other text."""
    lines = text.split("\n")
    if len(lines) <= _LINES or lines.pop() != "" or "" in lines:
        raise NoteError("a checkpoint is at least three lines, none of them empty")
    origin, size, root, *extensions = lines
    if not _SIZE.fullmatch(size):
        raise NoteError(f"not a tree size: {size!r}")
    value = decode_base64(root)
    if len(value) != HASH_SIZE:
        raise NoteError(f"a root hash has 32 bytes, this one has {len(value)}")
    return Checkpoint(origin, int(size), value, tuple(extensions))


@dataclass(frozen=True, slots=True)
class OpenCheckpoint:
    """A checkpoint whose known signatures verified, and who they are by."""

    checkpoint: Checkpoint
    note: Note
    signed_by: tuple[Verifier, ...]


def open_checkpoint(data: bytes, origin: str, verifiers: Iterable[Verifier]) -> OpenCheckpoint:
    """Read a signed checkpoint of the log `origin`.

    Raises NoteError (not a checkpoint, or another log's), SignatureError or UnsignedError.
    """
    note, signed = open_note(data, verifiers)
    checkpoint = from_text(note.text)
    if checkpoint.origin != origin:
        raise NoteError(f"a checkpoint of {checkpoint.origin!r}, not of {origin!r}")
    return OpenCheckpoint(checkpoint, note, tuple(signed))
