"""Sign-in and sign-out."""

from urllib.parse import urlsplit

from starlette.responses import JSONResponse, RedirectResponse, Response

from tenant_app.domain.identity import Session
from tenant_app.domain.ids import new_token
from tenant_app.domain.second_factor import Policy
from tenant_app.errors import AccessSuspended, AppError, DependencyAway, NotSignedIn, SecondFactorMissing, SignInRefused
from tenant_app.web.guard import Access, Page, admit
from tenant_app.web.render import render
from tenant_app.web.visit import FORM_COOKIE, SESSION_COOKIE, Visit

_SEE_OTHER = 303


def safe_next(target: str) -> str:
    """Return a path of this site to go on to; anything that could lead elsewhere becomes the home page."""
    parts = urlsplit(target)
    usable = target.startswith("/") and not target.startswith(("//", "/\\")) and not parts.scheme and not parts.netloc
    return target if usable and target.isprintable() else "/"


async def sign_in_page(visit: Visit) -> Response:
    """Show the form, or go on when there is a live session."""
    try:
        await admit(visit.request, visit.app, Access.SIGNED_IN)
    except SecondFactorMissing:
        return RedirectResponse("/second-factor", _SEE_OTHER)
    except NotSignedIn:
        return sign_in_form(visit, message=visit.request.query_params.get("why", ""))
    return RedirectResponse(safe_next(visit.request.query_params.get("next", "/")), _SEE_OTHER)


async def sign_in(visit: Visit) -> Response:
    """Open a session; the token is new at every sign-in, so one planted before is worth nothing."""
    typed = visit.text("account")
    try:
        token, session = await visit.app.sessions.sign_in(
            typed, visit.text("password"), visit.client, visit.text("code")
        )
    except (SignInRefused, AccessSuspended, DependencyAway) as error:
        return sign_in_form(visit, error=error, typed=typed, status=error.status)
    response = RedirectResponse(await after_sign_in(visit, session, safe_next(visit.text("next") or "/")), _SEE_OTHER)
    set_session_cookie(response, token)
    response.delete_cookie(FORM_COOKIE, path="/", secure=True, httponly=True, samesite="strict")
    return response


async def after_sign_in(visit: Visit, session: Session, wanted: str) -> str:
    """Return where to go first: to what has to be set up, or to the notice of what was done on the person's account."""
    if session.must_enrol:
        return "/second-factor"
    return "/" if await visit.app.two_person.owes_notice(session.sub) else wanted


async def sign_out(visit: Visit) -> Response:
    """End the session and forget its cookie."""
    await visit.app.sessions.sign_out(visit.caller.session, visit.client.request)
    response = RedirectResponse("/sign-in?why=out", _SEE_OTHER)
    response.delete_cookie(SESSION_COOKIE, path="/", secure=True, httponly=True, samesite="lax")
    return response


async def session_state(_visit: Visit) -> Response:
    """Answer that the session lives, which asking has just prolonged."""
    return JSONResponse({"live": True})


def sign_in_form(
    visit: Visit, *, error: AppError | None = None, message: str = "", typed: str = "", status: int = 200
) -> Response:
    """Return the sign-in page."""
    token = visit.request.cookies.get(FORM_COOKIE) or new_token()
    target = visit.text("next") or visit.request.query_params.get("next", "/")
    response = render(
        visit,
        "sign_in.html",
        status=status,
        token=token,
        error=error,
        message=_WHY.get(message, ""),
        typed=typed,
        target=safe_next(target),
        asks_code=visit.app.factor.used,
        provider=visit.app.oidc.label,
        code_required=visit.app.factor.rules.policy is Policy.REQUIRED,
    )
    response.set_cookie(FORM_COOKIE, token, path="/", secure=True, httponly=True, samesite="strict", max_age=3600)
    return response


# Lax, not strict: a link in an e-mail to a document must open it for whoever is signed in; forms have their own token.
def set_session_cookie(response: Response, token: str) -> None:
    """Give the browser its session."""
    response.set_cookie(SESSION_COOKIE, token, path="/", secure=True, httponly=True, samesite="lax")


_WHY = {
    "out": "You are signed out.",
    "enrolled": "Your second factor is set up. Please sign in with it.",
    "ended": "Your session is over. Please sign in again.",
}

PAGES = [
    Page(method="GET", path="/sign-in", needs=Access.PUBLIC, handler=sign_in_page),
    Page(method="POST", path="/sign-in", needs=Access.PUBLIC, handler=sign_in),
    Page(method="GET", path="/session", needs=Access.ENROLLING, handler=session_state),
    Page(method="POST", path="/sign-out", needs=Access.ENROLLING, handler=sign_out),
]
