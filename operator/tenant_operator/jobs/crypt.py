"""The sealed stream that backups are stored as: AES-256-GCM in chunks, one data key a stream, wrapped by the tenant's Vault key.

Format, version 1 (integers big-endian):

    "CLOISTER-SEALED/1", newline           18 bytes
    length of the header                   4 bytes
    header, JSON                           {"chunk": bytes of plaintext a chunk, "key": Vault key, "nonce": 7 bytes in hex,
                                            "wrappedKey": the data key as Vault wrapped it, …}
    chunk*                                 ciphertext and 16-byte tag; all but the last hold exactly `chunk` bytes of plaintext

Chunk number i is sealed with nonce = header's 7 bytes | i as 4 bytes | 1 for the last chunk, else 0 (STREAM, Hoang, Reyhanitabar,
Rogaway and Vizár, CRYPTO 2015), and everything before the first chunk as associated data. So a chunk that is changed, moved, left
out, repeated, or taken from another stream does not open, and a stream that is cut at any byte or continued is found out.
An empty stream is one empty last chunk.
"""

import io
import json
import os
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAGIC = b"CLOISTER-SEALED/1\n"
CHUNK = 8 << 20
TAG = 16
_PREFIX = 7
_MOST_HEADER = 1 << 16
_MOST_CHUNK = 64 << 20
_MOST_CHUNKS = 1 << 32


class Damaged(Exception):
    """The stream is not what was sealed: cut, changed, put together from others, or under another key."""


class Readable(Protocol):
    """Anything with a `read`."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, none at the end."""


@dataclass(frozen=True)
class Header:
    """What is said in the clear, and is authenticated, about a sealed stream."""

    fields: Mapping[str, Any]
    raw: bytes
    """Everything before the first chunk."""

    @property
    def chunk(self) -> int:
        """Bytes of plaintext a chunk."""
        return int(self.fields["chunk"])

    @property
    def wrapped_key(self) -> str:
        """The data key, as Vault wrapped it."""
        return str(self.fields["wrappedKey"])

    def nonce(self, number: int, *, last: bool) -> bytes:
        """Return the nonce of a chunk."""
        return bytes.fromhex(self.fields["nonce"]) + struct.pack(">IB", number, last)


def new_header(wrapped_key: str, *, chunk: int = CHUNK, **facts: Any) -> Header:
    """Return the header of a new stream. The data key must be new: the nonce's random part only guards against a mistake."""
    fields = {**facts, "chunk": chunk, "nonce": os.urandom(_PREFIX).hex(), "wrappedKey": wrapped_key}
    text = json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
    return Header(fields, MAGIC + struct.pack(">I", len(text)) + text)


def seal(plain: Readable, key: bytes, header: Header) -> Iterator[bytes]:
    """Yield the sealed stream piece by piece; two chunks are in memory at most."""
    cipher, number = AESGCM(key), 0
    yield header.raw
    chunk = _exactly(plain, header.chunk)
    while True:
        following = _exactly(plain, header.chunk) if len(chunk) == header.chunk else b""
        last = not following
        yield cipher.encrypt(header.nonce(number, last=last), chunk, header.raw)
        if last:
            return
        chunk, number = following, number + 1
        if number == _MOST_CHUNKS:
            raise OverflowError("a sealed stream has at most 2^32 chunks")


def read_header(sealed: Readable) -> Header:
    """Read and check a stream's header. Raises Damaged."""
    magic = _exactly(sealed, len(MAGIC))
    if magic != MAGIC:
        raise Damaged("this is not a sealed stream of version 1")
    size = _exactly(sealed, 4)
    length = int.from_bytes(size, "big")
    text = _exactly(sealed, length) if length <= _MOST_HEADER else b""
    if len(size) != 4 or len(text) != length:  # noqa: PLR2004 - the length's own length
        raise Damaged("the header is cut")
    try:
        header = Header(json.loads(text), magic + size + text)
        plausible = 0 < header.chunk <= _MOST_CHUNK and len(header.nonce(0, last=True)) == _PREFIX + 5
        plausible = plausible and isinstance(header.fields["wrappedKey"], str)
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(f"the header is not one: {error}") from error
    if not plausible or not header.wrapped_key:
        raise Damaged("the header's fields are out of bounds")
    return header


def unseal(sealed: Readable, unwrap: Callable[[Header], bytes]) -> Iterator[bytes]:
    """Yield the plaintext, each chunk only after it was authenticated. Raises Damaged.

    What was yielded before is genuine but may not be all: only a generator that ends normally has seen the end.
    """
    header = read_header(sealed)
    cipher, number, size = AESGCM(unwrap(header)), 0, header.chunk + TAG
    chunk = _exactly(sealed, size)
    while True:
        following = _exactly(sealed, size) if len(chunk) == size else b""
        last = not following
        try:
            yield cipher.decrypt(header.nonce(number, last=last), chunk, header.raw)
        except InvalidTag as error:
            raise Damaged(f"chunk {number} is not what was sealed, or the stream is cut after it") from error
        except ValueError as error:  # shorter than a tag
            raise Damaged(f"the stream is cut in chunk {number}") from error
        if last:
            return
        chunk, number = following, number + 1


def _exactly(stream: Readable, size: int) -> bytes:
    """Read `size` bytes, fewer only at the end: a pipe gives what it has."""
    first = stream.read(size)
    if len(first) == size or not first:
        return first
    parts, have = [first], len(first)
    while have < size and (more := stream.read(size - have)):
        parts.append(more)
        have += len(more)
    return b"".join(parts)


class Pieces(io.RawIOBase):
    """A file over an iterable of byte strings, for libraries that want to read."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Return exactly `size` bytes unless the end comes before; all that is left when negative."""
        parts, wanted = [], size if size >= 0 else 1 << 62
        while wanted:
            if not self._rest:
                piece = next(self._pieces, None)
                if piece is None:
                    break
                self._rest = memoryview(piece)
            taken, self._rest = self._rest[:wanted], self._rest[wanted:]
            parts.append(taken)
            wanted -= len(taken)
        return b"".join(parts)
