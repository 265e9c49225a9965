"""The one door: every route is declared with what it needs, and nothing is reachable undeclared (11.10(d), AT-09)."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tenant_app.domain.access import Right
from tenant_app.domain.actions import Action
from tenant_app.domain.audit import Entry, ObjectRef, Reason
from tenant_app.errors import Forbidden, NotSignedIn, SecondFactorMissing
from tenant_app.factory import App
from tenant_app.services.caller import Caller
from tenant_app.web.forms import read_form, refuse_other_sites
from tenant_app.web.visit import FORM_COOKIE, SESSION_COOKIE, Visit, client_of

Handler = Callable[[Visit], Awaitable[Response]]
_SAFE = frozenset({"GET", "HEAD"})


class Access(StrEnum):
    """What a route needs when it is not a right."""

    PUBLIC = "public"
    SIGNED_IN = "signed_in"
    # Also for those who have yet to set up the second factor that the tenant demands.
    ENROLLING = "enrolling"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One route: a method, a path, what it needs, who answers."""

    method: str
    path: str
    needs: Right | Access
    handler: Handler


def as_route(page: Page) -> Route:
    """Return the page as a Starlette route behind the guard."""

    async def endpoint(request: Request) -> Response:
        visit = Visit(request=request, app=request.app.state.cloister, client=client_of(request))
        if page.needs is not Access.PUBLIC:
            await _admit(visit, page.needs)
        if page.method not in _SAFE:
            await _read_form(visit, page.needs)
        try:
            return await page.handler(visit)
        finally:
            await visit.form.close()

    return Route(page.path, endpoint, methods=[page.method], name=f"{page.method} {page.path}")


async def admit(request: Request, app: App, needs: Right | Access) -> Caller:
    """Return the signed-in person when they have what is needed.

    Raises NotSignedIn, or Forbidden after recording the attempt (11.10(d): attempts to access are in the trail).
    """
    client = client_of(request)
    token = request.cookies.get(SESSION_COOKIE)
    if not token:
        raise NotSignedIn("Please sign in.")
    session = await app.authority.applied(await app.sessions.resume(token, client), client.request)
    caller = Caller(session=session, request=client.request)
    request.scope["cloister.sub"] = caller.session.sub
    if caller.session.must_enrol and needs is not Access.ENROLLING:
        raise SecondFactorMissing("This tenant asks for a second factor. Set it up, then sign in with it.")
    if isinstance(needs, Right) and needs not in caller.session.rights:
        await app.recorder.alone(
            Entry(
                action=Action.ACCESS_DENIED,
                actor=caller.actor,
                object=ObjectRef(type="Route", id=f"{request.method} {request.url.path}"[:200]),
                reason=Reason(code=needs.value),
                result="denied",
                request=client.request,
            )
        )
    if isinstance(needs, Right):
        caller.require(needs)
    return caller


async def _admit(visit: Visit, needs: Right | Access) -> None:
    try:
        visit.maybe = await admit(visit.request, visit.app, needs)
    except Forbidden:
        # The error page still shows whose session this is.
        visit.request.scope["cloister.forbidden"] = True
        raise


async def _read_form(visit: Visit, needs: Right | Access) -> None:
    refuse_other_sites(visit.request, visit.app.settings.hostname)
    expected = visit.maybe.session.csrf if visit.maybe else visit.request.cookies.get(FORM_COOKIE, "")
    uploads = needs is Right.AUTHOR
    visit.form = await read_form(
        visit.request, expected=expected, max_bytes=visit.app.documents.max_bytes if uploads else 0
    )
