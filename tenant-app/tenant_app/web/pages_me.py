"""What a person sees of their own authority: rights, training, enrolment, the policy, delegations, and how to report a loss."""

from starlette.responses import RedirectResponse, Response

from tenant_app.domain.access import Right
from tenant_app.domain.authority import day_end
from tenant_app.errors import AppError
from tenant_app.services.people import Known
from tenant_app.web.guard import Access, Page
from tenant_app.web.pages_admin import SHOWN, id_of
from tenant_app.web.render import render
from tenant_app.web.visit import SESSION_COOKIE, Visit

_SEE_OTHER = 303


async def me(visit: Visit) -> Response:
    """Show one's own authority."""
    return await _me(visit)


async def policy(visit: Visit) -> Response:
    """Show the current policy, to be read and accepted."""
    return await _policy(visit)


async def accept_policy(visit: Visit) -> Response:
    """Accept the policy that was shown."""
    try:
        await visit.app.policies.accept(visit.caller, visit.text("sha256"))
    except SHOWN as error:
        return await _policy(visit, error=error)
    return RedirectResponse("/me/policy", _SEE_OTHER)


async def offer(visit: Visit) -> Response:
    """Offer a delegation."""
    try:
        until = day_end(visit.text("until"))
        await visit.app.delegations.offer(
            visit.caller, visit.text("receiver"), visit.text("meaning"), visit.text("reason"), until
        )
    except SHOWN as error:
        return await _me(visit, error=error)
    return RedirectResponse("/me#delegations", _SEE_OTHER)


async def accept(visit: Visit) -> Response:
    """Accept a delegation that was offered."""
    try:
        await visit.app.delegations.accept(visit.caller, id_of(visit, "delegation"))
    except SHOWN as error:
        return await _me(visit, error=error)
    return RedirectResponse("/me#delegations", _SEE_OTHER)


async def end(visit: Visit) -> Response:
    """End a delegation, given or taken."""
    try:
        await visit.app.delegations.end(visit.caller, id_of(visit, "delegation"), visit.text("reason"))
    except SHOWN as error:
        return await _me(visit, error=error)
    return RedirectResponse("/me#delegations", _SEE_OTHER)


async def lose(visit: Visit) -> Response:
    """Report the loss of one's own credential; every session ends, this one too."""
    try:
        await visit.app.losses.report(visit.caller, visit.caller.session.sub, visit.text("lost"))
    except SHOWN as error:
        return await _me(visit, error=error)
    response = RedirectResponse("/sign-in?why=out", _SEE_OTHER)
    response.delete_cookie(SESSION_COOKIE, path="/", secure=True, httponly=True, samesite="lax")
    return response


async def object_to(visit: Visit) -> Response:
    """Object to something that administrators asked for on one's own account."""
    try:
        await visit.app.two_person.refuse(visit.caller, id_of(visit, "request"), visit.text("reason"))
    except SHOWN as error:
        return await _me(visit, error=error)
    return RedirectResponse("/second-factor" if visit.caller.session.must_enrol else "/me", _SEE_OTHER)


async def seen(visit: Visit) -> Response:
    """Note that one has read what two administrators did on one's account."""
    await visit.app.two_person.acknowledge(visit.caller, id_of(visit, "request"))
    return RedirectResponse("/second-factor" if visit.caller.session.must_enrol else "/", _SEE_OTHER)


async def _me(visit: Visit, *, error: AppError | None = None) -> Response:
    app, caller = visit.app, visit.caller
    sub = caller.session.sub
    return render(
        visit,
        "me.html",
        status=error.status if error else 200,
        error=error,
        grants=[grant for grant in await app.grants.grants(caller, sub) if grant.live],
        trainings=await app.grants.trainings(caller, sub),
        enrolments=await app.enrolments.of(caller, sub),
        demanded=app.settings.signing.enrolment == "required",
        policy=await app.policies.current(),
        accepted_at=await app.policies.accepted_at(caller),
        delegations=await app.delegations.shown(caller),
        meanings=app.delegations.meanings(caller),
        colleagues=await _colleagues(visit),
        asked=await app.two_person.about(caller),
        given={name: visit.text(name) for name in ("receiver", "meaning", "reason", "until", "lost")},
    )


async def _colleagues(visit: Visit) -> list[Known]:
    """Return who could sign for the caller: people who have signed in and read; only for somebody who may hand something on."""
    if not visit.app.delegations.meanings(visit.caller):
        return []
    return await visit.app.delegations.colleagues(visit.caller)


async def _policy(visit: Visit, *, error: AppError | None = None) -> Response:
    return render(
        visit,
        "policy.html",
        status=error.status if error else 200,
        error=error,
        policy=await visit.app.policies.current(),
        accepted_at=await visit.app.policies.accepted_at(visit.caller),
    )


PAGES = [
    Page(method="GET", path="/me", needs=Access.SIGNED_IN, handler=me),
    Page(method="GET", path="/me/policy", needs=Access.SIGNED_IN, handler=policy),
    Page(method="POST", path="/me/policy", needs=Access.SIGNED_IN, handler=accept_policy),
    Page(method="POST", path="/me/delegations", needs=Right.VIEW, handler=offer),
    Page(method="POST", path="/me/delegations/{delegation}/accept", needs=Right.VIEW, handler=accept),
    Page(method="POST", path="/me/delegations/{delegation}/end", needs=Right.VIEW, handler=end),
    Page(method="POST", path="/me/loss", needs=Access.SIGNED_IN, handler=lose),
    Page(method="POST", path="/me/requests/{request}/object", needs=Access.ENROLLING, handler=object_to),
    Page(method="POST", path="/me/requests/{request}/seen", needs=Access.ENROLLING, handler=seen),
]
