"""One request for a page: who is signed in, which log it is about, and errors told on a page instead of in JSON."""

import functools
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from audit_service.http.errors import ApiError, translate
from audit_service.http.logs import log_for
from audit_service.http.state import State
from audit_service.log.batch import SequenceError
from audit_service.log.sealing import UnsealError
from audit_service.pages.render import STRICT, page
from audit_service.pages.sessions import COOKIE, Session
from audit_service.store.errors import StoreError
from audit_service.store.records import LogRecord

_log = logging.getLogger(__name__)
Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Visit:
    """Someone who is signed in looks at one log."""

    request: Request
    state: State
    session: Session
    log: LogRecord


def session_of(request: Request) -> Session | None:
    """Return the session of the browser that asks."""
    state: State = request.app.state.service
    return state.sessions.find(request.cookies.get(COOKIE))


def on_page(handler: Handler) -> Handler:
    """Return a handler whose errors are told on a page."""

    @functools.wraps(handler)
    async def told(request: Request) -> Response:
        try:
            return await handler(request)
        except (ApiError, SequenceError, StoreError) as error:
            return problem(request, translate(error))
        except UnsealError as error:
            _log.exception("a value cannot be shown")
            return problem(request, ApiError(500, f"A value of this page cannot be shown: {error}"))

    return told


def problem(request: Request, error: ApiError) -> Response:
    """Return the page of an error. Whether a log is not there or not theirs to read, people are told the same."""
    status = 404 if error.status == 403 else error.status  # noqa: PLR2004  # HTTP's own number
    said = "There is no such page, or it is not yours to read." if status == 404 else str(error)  # noqa: PLR2004  # likewise
    return page("error.html", session_of(request), status=status, said=said, code=status)


def on_log(handler: Callable[[Visit], Awaitable[Response]], how: str = "page") -> Handler:
    """Return a handler for people who are signed in and may read the log in the path; their reading is recorded."""

    @functools.wraps(handler)
    async def let_in(request: Request) -> Response:
        session = session_of(request)
        if session is None:
            wanted = quote(str(request.url.path) + (f"?{request.url.query}" if request.url.query else ""), safe="")
            return RedirectResponse(f"/inspect?next={wanted}", 303, STRICT)
        state: State = request.app.state.service
        log = await log_for(state, session.caller, request.path_params["log"])
        if how == "export":
            await state.reads.record(state.writer, log, session.caller, how)
        else:
            await state.reads.first(state.writer, log, session.caller, how)
        return await handler(Visit(request, state, session, log))

    return on_page(let_in)
