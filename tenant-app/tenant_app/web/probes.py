"""Plain probes for the kubelet."""

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from tenant_app.factory import App


async def healthz(_request: Request) -> Response:
    """Answer while the process lives; asks nobody."""
    return PlainTextResponse("ok\n")


async def readyz(request: Request) -> Response:
    """Answer each part's state; 503 when one that every request needs does not answer."""
    app: App = request.app.state.cloister
    parts = await app.health.look()
    ready = all(part.ok for part in parts if part.needed)
    progress = app.relay.progress
    body = {
        "ready": ready,
        "parts": {part.name: {"ok": part.ok, "needed": part.needed, "problem": part.problem} for part in parts},
        "audit": {"waiting": progress.waiting, "lagSeconds": round(progress.lag_seconds, 1)},
    }
    return JSONResponse(body, status_code=200 if ready else 503)
