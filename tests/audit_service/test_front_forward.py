"""What of a request's and an answer's head a front passes on, seen at the socket behind it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from audit_service.front.forward import Forward

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close, X-Inside\r\nX-Inside: here\r\nX-Outside: there\r\n\r\nok"
SCOPE = {
    "type": "http", "method": "POST", "scheme": "https", "raw_path": b"/v1/logs", "query_string": b"",
    "client": ("10.1.2.3", 7),
}  # fmt: skip


@asynccontextmanager
async def behind(path: Path, heard: list[bytes]) -> AsyncIterator[None]:
    """Answer every request at a socket alike, and keep what was asked."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        heard.append(head + await reader.readexactly(3))
        writer.write(ANSWER)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_unix_server(answer, path):
        yield


async def pass_on(path: Path, headers: list[tuple[bytes, bytes]]) -> tuple[bytes, dict[bytes, bytes]]:
    """Send a request of three bytes through a front; return what came out behind it, and the answer's headers."""
    heard: list[bytes] = []
    said: list[dict] = []
    messages = iter([{"type": "http.request", "body": b"abc", "more_body": False}])

    async def receive() -> dict:
        for message in messages:
            return message
        await asyncio.Event().wait()
        raise AssertionError("nobody leaves")

    async def send(message: dict) -> None:
        said.append(message)

    async with behind(path, heard):
        forward = Forward(str(path))
        await forward({**SCOPE, "headers": headers}, receive, send)
        await forward.close()
    assert b"".join(message.get("body", b"") for message in said) == b"ok"
    return heard[0].lower(), dict(said[0]["headers"])


async def test_a_header_that_its_connection_names_ends_with_the_connection(tmp_path: Path) -> None:
    head, answered = await pass_on(
        tmp_path / "s",
        [
            (b"host", b"x"), (b"content-length", b"3"), (b"connection", b"Keep-Alive, X-Hop"), (b"connection", b"x-second"),
            (b"x-hop", b"no"), (b"x-second", b"no"), (b"te", b"trailers"), (b"x-kept", b"yes"),
        ],
    )  # fmt: skip
    assert b"x-kept: yes" in head
    assert not any(name in head for name in (b"x-hop", b"x-second", b"\r\nte:", b"\r\nconnection: keep-alive, x-hop"))
    assert answered == {b"content-length": b"2", b"x-outside": b"there"}


async def test_nobody_names_away_how_long_a_request_is_or_who_called(tmp_path: Path) -> None:
    head, _ = await pass_on(
        tmp_path / "s",
        [
            (b"host", b"x"), (b"content-length", b"3"), (b"connection", b"content-length, x-forwarded-for"),
            (b"x-forwarded-for", b"6.6.6.6"),
        ],
    )  # fmt: skip
    assert b"\r\ncontent-length: 3\r\n" in head
    assert head.endswith(b"\r\n\r\nabc")
    assert b"\r\nx-forwarded-for: 10.1.2.3\r\n" in head
    assert b"6.6.6.6" not in head
