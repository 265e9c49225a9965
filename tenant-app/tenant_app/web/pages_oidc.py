"""The way to the tenant's OpenID provider and back."""

from starlette.responses import RedirectResponse, Response

from tenant_app.domain.identity import Session
from tenant_app.errors import AccessSuspended, DependencyAway, NotSignedIn, SignInRefused
from tenant_app.services.oidc import SetOut
from tenant_app.web.guard import Access, Page, admit
from tenant_app.web.pages_session import after_sign_in, safe_next, set_session_cookie, sign_in_form
from tenant_app.web.visit import WAY_COOKIE, Visit

_SEE_OTHER = 303
_WAY_SECONDS = 600
_LONGEST = 4096


async def start(visit: Visit) -> Response:
    """Send the browser to the provider to sign in."""
    try:
        return _away(await visit.app.oidc.set_out(_target(visit)))
    except DependencyAway as error:
        return sign_in_form(visit, error=error, status=error.status)


async def step_up(visit: Visit) -> Response:
    """Send the browser to the provider to type the credentials again, for a signature."""
    return _away(await visit.app.oidc.set_out(_target(visit), visit.caller.session))


async def callback(visit: Visit) -> Response:
    """Take what the browser brought back: a new session, or a proof for the one there is."""
    query = {name: value[:_LONGEST] for name, value in visit.request.query_params.items()}
    binder = visit.request.cookies.get(WAY_COOKIE, "")
    try:
        found = await visit.app.oidc.come_back(query, binder, visit.client, await _present(visit))
    except (SignInRefused, AccessSuspended, DependencyAway) as error:
        return sign_in_form(visit, error=error, status=error.status)
    target = await after_sign_in(visit, found.session, found.target) if found.token is not None else found.target
    response = RedirectResponse(target, _SEE_OTHER)
    if found.token is not None:
        set_session_cookie(response, found.token)
    response.delete_cookie(WAY_COOKIE, path="/", secure=True, httponly=True, samesite="lax")
    return response


async def _present(visit: Visit) -> Session | None:
    try:
        return (await admit(visit.request, visit.app, Access.ENROLLING)).session
    except NotSignedIn:
        return None


def _target(visit: Visit) -> str:
    return safe_next(visit.request.query_params.get("next", "/"))


def _away(way: SetOut) -> Response:
    response = RedirectResponse(way.address, _SEE_OTHER)
    # Lax: the provider sends the browser back from another site, and the cookie has to come along.
    response.set_cookie(
        WAY_COOKIE, way.binder, path="/", secure=True, httponly=True, samesite="lax", max_age=_WAY_SECONDS
    )
    return response


PAGES = [
    Page(method="GET", path="/oidc/start", needs=Access.PUBLIC, handler=start),
    Page(method="GET", path="/oidc/step-up", needs=Access.ENROLLING, handler=step_up),
    Page(method="GET", path="/oidc/callback", needs=Access.PUBLIC, handler=callback),
]
