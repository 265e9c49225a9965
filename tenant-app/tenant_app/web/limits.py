"""Limits that hold before anything is parsed or held: the length of an address, and of a body that a program sends.

Forms count their own bytes while they are read (`forms.py`). FastAPI reads a body whole before it asks who sent it, so the API's
bodies are counted here. What takes a file reads its body itself, after it asked who sent it: it is left alone.
"""

import re

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tenant_app.errors import TooLarge
from tenant_app.web.problems import on_app_error, on_http_error

MAX_ADDRESS = 2048
MAX_API_BODY = 64 * 1024
API_FILES = re.compile(r"PUT /api/v1/documents/[^/]+/versions/[^/]+")


class Limited:
    """ASGI middleware: refuses an address or a body over the limit. `streamed` matches method and path of what takes files."""

    def __init__(self, app: ASGIApp, max_body: int | None = None, streamed: re.Pattern[str] | None = None) -> None:
        self._app = app
        self._max_body = max_body
        self._streamed = streamed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        if len(scope["path"]) > MAX_ADDRESS:
            answer = await on_http_error(request, HTTPException(414, "That address is too long"))
            await answer(scope, receive, send)
            return
        body = await self._body(scope, receive)
        if body is None:
            answer = await on_app_error(request, TooLarge("This is more than the API takes."))
            await answer(scope, receive, send)
            return
        await self._app(scope, body, send)

    async def _body(self, scope: Scope, receive: Receive) -> Receive | None:
        """Return what the application is to receive from, None when the body is over the limit."""
        if self._max_body is None or (
            self._streamed and self._streamed.fullmatch(f"{scope['method']} {scope['path']}")
        ):
            return receive
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isascii() and declared.isdigit() and int(declared[:_DIGITS]) > self._max_body:
            return None
        held: list[Message] = []
        total = 0
        while not held or held[-1].get("more_body", False):
            held.append(await receive())
            total += len(held[-1].get("body", b""))
            if total > self._max_body:
                return None

        async def again() -> Message:
            return held.pop(0) if held else await receive()

        return again


# Twenty digits are more bytes than there are; int() refuses thousands.
_DIGITS = 20
