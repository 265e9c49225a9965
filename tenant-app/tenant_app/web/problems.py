"""Errors as pages for people and as problem+json for programs."""

import logging
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from tenant_app.errors import AppError, NotFound, NotSignedIn, SignInDelayed
from tenant_app.services.caller import Caller
from tenant_app.web.headers import make_strict
from tenant_app.web.render import render
from tenant_app.web.visit import SESSION_COOKIE, Visit, client_of

log = logging.getLogger(__name__)
_SEE_OTHER = 303
_SERVER_ERROR = 500


async def on_app_error(request: Request, error: Exception) -> Response:
    """Answer an expected error."""
    if not isinstance(error, AppError):
        raise error
    if error.status >= _SERVER_ERROR:
        log.warning("answered %d: %s", error.status, error.code)
    if wants_json(request):
        return _problem(request, error)
    if isinstance(error, NotSignedIn):
        return _to_sign_in(request)
    return await _page(request, error)


async def on_http_error(request: Request, error: Exception) -> Response:
    """Answer what the router itself refuses: no such path, no such method."""
    if not isinstance(error, HTTPException):
        raise error
    expected = _HttpProblem(error.status_code, str(error.detail))
    return _problem(request, expected) if wants_json(request) else await _page(request, expected)


async def on_defect(request: Request, error: Exception) -> Response:
    """Answer a defect: logged with its traceback, told without."""
    log.error("unexpected error", exc_info=error)
    known = AppError("This is our fault, not yours. Nothing was changed. The request's number helps to find the cause.")
    answer = _problem(request, known) if wants_json(request) else await _page(request, known)
    # Starlette answers defects outside all middleware, so what that adds is added here.
    make_strict(answer.headers, request.scope.get("cloister.request", ""))
    return answer


def wants_json(request: Request) -> bool:
    """Say whether a program asks."""
    return request.url.path.startswith("/api/")


class _HttpProblem(AppError):
    """An HTTP status from the router, in our words."""

    def __init__(self, status: int, detail: str) -> None:
        found = status == NotFound.status
        super().__init__("The address leads nowhere, or to something you may not know of." if found else detail)
        self.status = status  # type: ignore[misc]  # one instance's own status
        self.code = "not_found" if found else "http"  # type: ignore[misc]
        self.title = NotFound.title if found else detail  # type: ignore[misc]


def _problem(request: Request, error: AppError) -> Response:
    body = {
        "type": f"urn:cloister:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "request": request.scope.get("cloister.request", ""),
    }
    headers = {"Retry-After": str(error.seconds)} if isinstance(error, SignInDelayed) else {}
    return JSONResponse(body, status_code=error.status, media_type="application/problem+json", headers=headers)


def _to_sign_in(request: Request) -> Response:
    target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    why = "&why=ended" if request.cookies.get(SESSION_COOKIE) else ""
    back = quote(target, safe="/") if request.method == "GET" else "/"
    return RedirectResponse(f"/sign-in?next={back}{why}", _SEE_OTHER)


async def _page(request: Request, error: AppError) -> Response:
    visit = Visit(request=request, app=request.app.state.cloister, client=client_of(request))
    visit.maybe = await _who(visit)
    return render(
        visit, "error.html", status=error.status, error=error, number=request.scope.get("cloister.request", "")
    )


async def _who(visit: Visit) -> Caller | None:
    token = visit.request.cookies.get(SESSION_COOKIE)
    if not token:
        return None
    try:
        session = await visit.app.sessions.resume(token, visit.client)
        session = await visit.app.authority.applied(session, visit.client.request)
        return Caller(session=session, request=visit.client.request)
    except AppError:
        return None
