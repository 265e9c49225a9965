"""Signing in: a service account token for a session. Signing out. What both need against a foreign site's forms.

A browser says with every POST where the form came from; one that comes from elsewhere is refused, and the cookie is
`SameSite=Strict` besides. The token is read from the form's body, checked like any caller's, and forgotten.
"""

from typing import Final
from urllib.parse import parse_qs, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from audit_service.http import access
from audit_service.http.errors import ApiError
from audit_service.http.state import State
from audit_service.pages.render import STRICT, page
from audit_service.pages.sessions import COOKIE
from audit_service.pages.visit import on_page, session_of
from audit_service.store.records import LogRecord

_MAX_FORM: Final = 32 * 1024


async def to_pages(_: Request) -> Response:
    """Lead whoever opens the service in a browser to the pages."""
    return RedirectResponse("/inspect", 303, STRICT)


@on_page
async def home(request: Request) -> Response:
    """Show the sign-in form, or the logs one may read; with only one log, that log."""
    state: State = request.app.state.service
    session = session_of(request)
    if session is None:
        return page("sign_in.html", None, next=_inside(request.query_params.get("next", "")), error="")
    logs = [
        each for each in await state.books.refresh() if access.may_read(session.caller, each, state.settings.identity)
    ]
    if len(logs) == 1:
        return RedirectResponse(f"/inspect/{logs[0].name}", 303, STRICT)
    sizes = await state.reading.sizes()
    return page("logs.html", session, logs=[(log, sizes[log.number][1]) for log in sorted(logs, key=_order)])


def _order(log: LogRecord) -> tuple[bool, str]:
    return log.kind != "platform", log.tenant


@on_page
async def sign_in(request: Request) -> Response:
    """Exchange a token for a session. Anything but a reader's token gets the form again, with what is wrong."""
    state: State = request.app.state.service
    _check_origin(request)
    form = await _form(request)
    token, wanted = form.get("token", "").strip(), _inside(form.get("next", ""))
    try:
        caller = await state.tokens.check(f"Bearer {token}")
    except ApiError as error:
        if error.status != 401:  # noqa: PLR2004  # HTTP's own number
            raise
        return page("sign_in.html", None, status=401, next=wanted, error=str(error))
    logs = await state.books.refresh()
    people = caller.subject != state.settings.identity.operator
    if not people or not any(access.may_read(caller, log, state.settings.identity) for log in logs):
        said = f"{caller.subject} is not an auditor of any log here"
        return page("sign_in.html", None, status=403, next=wanted, error=said)
    state.sessions.end(request.cookies.get(COOKIE))
    secret, session = state.sessions.start(caller)
    response = RedirectResponse(wanted or "/inspect", 303, STRICT)
    seconds = max(1, int(session.expires - state.sessions.now()))
    response.set_cookie(COOKIE, secret, max_age=seconds, path="/", secure=True, httponly=True, samesite="strict")
    return response


@on_page
async def sign_out(request: Request) -> Response:
    """End the session, here and in the browser."""
    _check_origin(request)
    state: State = request.app.state.service
    state.sessions.end(request.cookies.get(COOKIE))
    response = RedirectResponse("/inspect", 303, STRICT)
    response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="strict")
    return response


def _inside(path: str) -> str:
    """Return the path when it is one of these pages, else "": nobody is led elsewhere."""
    parts = urlsplit(path)
    inside = path.startswith("/inspect/") and not parts.scheme and not parts.netloc and "\\" not in path
    return path if inside and path.isprintable() else ""


def _check_origin(request: Request) -> None:
    """Refuse a form that another site sent, or that does not say where it comes from. Raises ApiError 400."""
    origin = request.headers.get("origin", "")
    fetched = request.headers.get("sec-fetch-site", "same-origin")
    if origin != f"{request.url.scheme}://{request.headers.get('host', '')}" or fetched != "same-origin":
        raise ApiError(400, "this form was not sent from these pages; open them anew and try again")


async def _form(request: Request) -> dict[str, str]:
    """Return a form's fields, the first of each name. Raises ApiError 413 or 400."""
    data = b""
    async for part in request.stream():
        data += part
        if len(data) > _MAX_FORM:
            raise ApiError(413, f"a form has at most {_MAX_FORM} bytes here")
    try:
        found = parse_qs(data.decode("ascii"), keep_blank_values=True, max_num_fields=8, errors="strict")
    except ValueError as error:
        raise ApiError(400, "this is not a form of these pages") from error
    return {name: values[0] for name, values in found.items()}
