"""What every answer carries: a request id, and headers that keep a browser strict."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tenant_app.domain.ids import uuid7
from tenant_app.logs import request_id
from tenant_app.web.metrics import observe

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self';"
    " frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_ALWAYS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Strict-Transport-Security": "max-age=31536000",
    # Pages hold regulated content: no shared or disk cache keeps them.
    "Cache-Control": "no-store",
}


def make_strict(headers: MutableHeaders, request: str) -> None:
    """Add what every answer carries and this one has not said otherwise."""
    for name, value in _ALWAYS.items():
        headers.setdefault(name, value)
    headers["X-Request-Id"] = request


class StrictHeaders:
    """Pure ASGI middleware: gives the request its id, adds the headers, counts and times the answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = str(uuid7())
        scope["cloister.request"] = request
        mark = request_id.set(request)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message["headers"])
                make_strict(headers, request)
                message["headers"] = headers.raw
            await send(message)

        try:
            with observe(scope) as seen:
                await self._app(scope, receive, seen(with_headers))
        finally:
            request_id.reset(mark)
