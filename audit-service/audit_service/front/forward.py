"""What a front does not answer itself is passed on to the writer's process, whole and as it comes, and so is the answer."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

import httpx
from starlette.types import Receive, Scope, Send

from audit_service.http.errors import ApiError

_HOP: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"}
)
"""Headers of one connection (RFC 9110 section 7.6.1); its `Connection` may name more."""
_OURS: Final = frozenset({b"x-forwarded-for", b"x-forwarded-proto", b"forwarded", b"expect"})
_IDLE_SECONDS: Final = 15.0  # much less than the other server keeps a connection


class Forward:
    """An ASGI application in front of another on a Unix socket, which believes it who called and how."""

    def __init__(self, path: str) -> None:
        self._transport = httpx.AsyncHTTPTransport(uds=path, limits=httpx.Limits(keepalive_expiry=_IDLE_SECONDS))

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as long as its caller is there. Raises ApiError 503 when the other is not there."""
        asked = asyncio.Event()
        answering = asyncio.create_task(self._answer(scope, _body(receive, asked), send, asked))
        leaving = asyncio.create_task(_left(receive, asked))
        try:
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                answering.result()
        finally:
            for task in (answering, leaving):
                task.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)

    async def _answer(self, scope: Scope, body: AsyncIterator[bytes], send: Send, asked: asyncio.Event) -> None:
        names = {name for name, _ in scope["headers"]}
        sends = b"content-length" in names or b"transfer-encoding" in names
        if not sends:
            asked.set()
        query = scope["query_string"]
        target = scope["raw_path"] + (b"?" + query if query else b"")
        request = httpx.Request(
            scope["method"],
            httpx.URL(scheme="http", host="writer", raw_path=target),
            headers=_onward(scope),
            content=body if sends else None,
        )
        try:
            found = await self._transport.handle_async_request(request)
        except httpx.ConnectError as error:
            raise ApiError(503, "the audit service is starting") from error
        async with contextlib.aclosing(found):
            head = _end_to_end([(name.lower(), value) for name, value in found.headers.raw])
            await send({"type": "http.response.start", "status": found.status_code, "headers": head})
            async for part in found.aiter_raw():
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b""})


def _end_to_end(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the headers that are for more than one connection, of names in lower case."""
    named = {option.strip().lower() for name, value in headers if name == b"connection" for option in value.split(b",")}
    # How long a message is does not change by what its connection is told: without it, it would be cut elsewhere.
    ended = (_HOP | named) - {b"content-length"}
    return [(name, value) for name, value in headers if name not in ended]


def _onward(scope: Scope) -> list[tuple[bytes, bytes]]:
    """Return the headers to pass on, with who called and how."""
    kept = [(name, value) for name, value in _end_to_end(scope["headers"]) if name not in _OURS]
    caller = scope["client"][0] if scope.get("client") else "unknown"
    return [*kept, (b"x-forwarded-for", caller.encode()), (b"x-forwarded-proto", scope["scheme"].encode())]


async def _body(receive: Receive, asked: asyncio.Event) -> AsyncIterator[bytes]:
    """Yield the request's body. `asked` is set once all of it was."""
    try:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ConnectionResetError("the caller went away")
            yield message.get("body", b"")
            if not message.get("more_body", False):
                return
    finally:
        asked.set()


async def _left(receive: Receive, asked: asyncio.Event) -> None:
    """Wait until the caller is gone, once the whole request is there."""
    await asked.wait()
    while (await receive())["type"] != "http.disconnect":
        pass
