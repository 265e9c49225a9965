"""C2SP signed notes: text, and lines that sign it. Pure.

Source: c2sp.org/signed-note. A verifier ignores signatures by keys it does not know, refuses the whole note when a key it
knows fails, and refuses a note that no known key signed.
"""

import base64
import binascii
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

MAX_NOTE: Final = 1 << 20
"""Bytes. 16 post-quantum signatures take 80 kB; a note larger than this is refused unread."""

_ID_SIZE: Final = 4
_DASH: Final = "— "
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f]")


class NoteError(ValueError):
    """The bytes are not a signed note."""


class SignatureError(ValueError):
    """A known key's signature does not verify."""


class UnsignedError(ValueError):
    """No known key signed the note."""


class Verifier(Protocol):
    """A public key under a name. `verify` raises SignatureError."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def key_id(self) -> bytes: ...  # noqa: D102
    def verify(self, text: str, signature: bytes) -> None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line: the key's name, its 4-byte id and the bytes that only this kind of key can read."""

    name: str
    key_id: bytes
    value: bytes

    def line(self) -> str:
        """Return the line with its newline."""
        return f"{_DASH}{self.name} {base64.b64encode(self.key_id + self.value).decode()}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A note's text, ending in a newline, and its signatures in order."""

    text: str
    signatures: tuple[Signature, ...]

    def encode(self) -> bytes:
        """Return the note's bytes."""
        return (self.text + "\n" + "".join(each.line() for each in self.signatures)).encode()


def check_name(name: str) -> str:
    """Return the key name when it is one: not empty, no Unicode space, no plus. Raises NoteError."""
    if not name or "+" in name or any(char.isspace() or unicodedata.category(char) == "Zs" for char in name):
        raise NoteError(f"{name!r} is not a key name")
    return name


def parse(data: bytes) -> Note:
    """Read a signed note. Raises NoteError for anything that is not exactly one."""
    if len(data) > MAX_NOTE:
        raise NoteError(f"a note has at most {MAX_NOTE} bytes")
    try:
        whole = data.decode()
    except UnicodeDecodeError as error:
        raise NoteError("a note is UTF-8") from error
    if _CONTROL.search(whole):
        raise NoteError("a note holds no control characters but newlines")
    at = whole.rfind("\n\n")
    if at < 0 or not whole.endswith("\n") or at + 2 == len(whole):
        raise NoteError("a note is text, an empty line and signature lines")
    lines = whole[at + 2 : -1].split("\n")
    return Note(whole[: at + 1], tuple(_signature(line) for line in lines))


def _signature(line: str) -> Signature:
    dashed, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    if dashed + " " != _DASH:
        raise NoteError(f"not a signature line: {line!r}")
    value = decode_base64(encoded)
    if len(value) <= _ID_SIZE:
        raise NoteError(f"a signature is longer than its key id: {line!r}")
    return Signature(check_name(name), value[:_ID_SIZE], value[_ID_SIZE:])


def decode_base64(text: str) -> bytes:
    """Decode standard base64 and refuse every second spelling of the same bytes. Raises NoteError."""
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteError(f"not base64: {text!r}") from error
    if base64.b64encode(value).decode() != text:
        raise NoteError(f"not canonical base64: {text!r}")
    return value


def open_note(data: bytes, verifiers: Iterable[Verifier]) -> tuple[Note, list[Verifier]]:
    """Read a note and return it with the known keys that signed it, in the note's order.

    Raises NoteError (not a note), SignatureError (a known key fails) or UnsignedError (no known key signed).
    """
    note = parse(data)
    known = {(each.name, each.key_id): each for each in verifiers}
    signed = []
    for signature in note.signatures:
        verifier = known.get((signature.name, signature.key_id))
        if verifier is not None:
            verifier.verify(note.text, signature.value)
            signed.append(verifier)
    if not signed:
        raise UnsignedError("no known key signed this note")
    return note, signed
