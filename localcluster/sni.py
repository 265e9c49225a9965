"""Reading the name a TLS client asks for, before anything is decrypted."""

from __future__ import annotations

import struct

_HANDSHAKE = 22
_CLIENT_HELLO = 1
_SERVER_NAME = 0
_HOST_NAME = 0
_RECORD_HEADER = 5
MAXIMUM_RECORD = 16384 + _RECORD_HEADER


class NotTlsError(ValueError):
    """The bytes are no TLS ClientHello."""


class IncompleteError(ValueError):
    """More bytes are needed."""


class _Reader:
    """Takes fields off the front of some bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        part = self._data[self._at : self._at + count]
        if len(part) < count:
            raise NotTlsError("a field is longer than what holds it")
        self._at += count
        return part

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def block(self, size: int) -> bytes:
        """Take a field that is preceded by its length in `size` bytes."""
        return self.take(self.number(size))

    def more(self) -> bool:
        return self._at < len(self._data)


def server_name(data: bytes) -> str | None:
    """Give the host name in a ClientHello; None when it names none.

    Raises `IncompleteError` while the message is not all there, and `NotTlsError` when it will never be.
    A ClientHello that is spread over several records is put together first.
    """
    body = _handshake(data)
    reader = _Reader(body)
    reader.take(2 + 32)  # version and random
    reader.block(1)  # session
    reader.block(2)  # cipher suites
    reader.block(1)  # compression
    if not reader.more():
        return None
    extensions = _Reader(reader.block(2))
    while extensions.more():
        kind, content = extensions.number(2), extensions.block(2)
        if kind == _SERVER_NAME:
            return _host_name(content)
    return None


def _handshake(data: bytes) -> bytes:
    message, rest = b"", data
    while True:
        if rest and rest[0] != _HANDSHAKE:
            raise NotTlsError("the first byte is not that of a TLS handshake")
        if len(rest) < _RECORD_HEADER:
            raise IncompleteError
        kind, _version, length = struct.unpack(">BHH", rest[:_RECORD_HEADER])
        if length > MAXIMUM_RECORD:
            raise NotTlsError(f"a record of type {kind} with {length} bytes")
        if len(rest) < _RECORD_HEADER + length:
            raise IncompleteError
        message += rest[_RECORD_HEADER : _RECORD_HEADER + length]
        rest = rest[_RECORD_HEADER + length :]
        if len(message) >= 4:  # noqa: PLR2004 - type and a length of three bytes
            if message[0] != _CLIENT_HELLO:
                raise NotTlsError("the handshake does not begin with a ClientHello")
            size = int.from_bytes(message[1:4], "big")
            if len(message) >= 4 + size:
                return message[4 : 4 + size]


def _host_name(content: bytes) -> str | None:
    names = _Reader(_Reader(content).block(2))
    while names.more():
        kind, name = names.number(1), names.block(2)
        if kind == _HOST_NAME:
            return name.decode("ascii", errors="replace").lower().rstrip(".")
    return None
