"""Messages between a front and the writer's process: questions with a number, answers with the same. Both are this program.

A frame is a length of four bytes and that many of Python's `marshal`, the fastest there is for tuples of bytes, text and
numbers. What is sent in one turn of the event loop is written together: under load that is many appends a system call.
"""

import asyncio
import marshal
import socket
import struct
from collections.abc import Callable
from typing import Any, Final, cast

GOOD: Final = "good"
NOT: Final = "not"
"""How an answer is: what was asked for, or (status, sentence, facts) of an `ApiError`."""
_LENGTH: Final = struct.Struct("!I")
_VERSION: Final = 2  # without references to what came before: faster to write and to read
_BUFFER: Final = 1 << 22


def pair() -> tuple[socket.socket, socket.socket]:
    """Return the two ends of a channel."""
    ends = socket.socketpair()
    for end in ends:
        end.settimeout(0)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
    return ends


class Channel(asyncio.Protocol):
    """One end: `send` a tuple, `heard` is called with each that comes, `ended` once when the other end is gone."""

    def __init__(self, heard: Callable[[Any], None], ended: Callable[[], None]) -> None:
        self._heard, self._ended = heard, ended
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._held: list[bytes] = []
        self._rest = b""

    @classmethod
    async def open(cls, end: socket.socket, heard: Callable[[Any], None], ended: Callable[[], None]) -> "Channel":
        """Take one end of a pair."""
        _, made = await asyncio.get_running_loop().create_connection(lambda: cls(heard, ended), sock=end)
        return made

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclasses

    def connection_lost(self, _: Exception | None) -> None:
        """Say that the other end is gone."""
        self._transport = None
        self._ended()

    def send(self, message: tuple[Any, ...]) -> None:
        """Send a message, before this turn of the loop has ended. To an end that is gone nothing is sent."""
        if not self._held:
            self._loop.call_soon(self._flush)
        data = marshal.dumps(message, _VERSION)
        self._held += (_LENGTH.pack(len(data)), data)

    def _flush(self) -> None:
        held, self._held = self._held, []
        if self._transport is not None:
            self._transport.writelines(held)

    def data_received(self, data: bytes) -> None:
        """Take in what came: any part of a frame, or several."""
        if self._rest:
            data = self._rest + data
        at, size = 0, len(data)
        while size - at >= _LENGTH.size:
            end = at + _LENGTH.size + _LENGTH.unpack_from(data, at)[0]
            if end > size:
                break
            self._heard(marshal.loads(memoryview(data)[at + _LENGTH.size : end]))  # noqa: S302 - the other end is this program
            at = end
        self._rest = data[at:]

    def close(self) -> None:
        """Close this end, after what was sent."""
        self._flush()
        if self._transport is not None:
            self._transport.close()
