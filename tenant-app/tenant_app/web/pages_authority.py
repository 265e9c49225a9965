"""Administration of policies, delegations and access reviews."""

from starlette.responses import RedirectResponse, Response

from tenant_app.domain.access import Right
from tenant_app.domain.access_review import OUTCOMES, STATEMENT
from tenant_app.errors import AppError, NotReadyToSign, SigningRefused
from tenant_app.services.access_review import Outcome
from tenant_app.services.components import Typed
from tenant_app.web.guard import Page
from tenant_app.web.pages_admin import SHOWN, id_of
from tenant_app.web.render import render
from tenant_app.web.visit import Visit

_SEE_OTHER = 303


async def policies(visit: Visit) -> Response:
    """Show the policy's versions and the form for the next one."""
    return await _policies(visit)


async def publish(visit: Visit) -> Response:
    """Publish the next version of the policy."""
    try:
        await visit.app.policies.publish(visit.caller, visit.text("title"), visit.text("text"), visit.text("reason"))
    except SHOWN as error:
        return await _policies(visit, error=error)
    return RedirectResponse("/admin/policies", _SEE_OTHER)


async def delegations(visit: Visit) -> Response:
    """Show everybody's delegations."""
    return await _delegations(visit)


async def end_delegation(visit: Visit) -> Response:
    """End somebody's delegation."""
    try:
        await visit.app.delegations.end(visit.caller, id_of(visit, "delegation"), visit.text("reason"))
    except SHOWN as error:
        return await _delegations(visit, error=error)
    return RedirectResponse("/admin/delegations", _SEE_OTHER)


async def reviews(visit: Visit) -> Response:
    """Show who has which right through what, and the reviews so far."""
    return await _reviews(visit)


async def sign_review(visit: Visit) -> Response:
    """Sign the review of the list as it was shown."""
    given = Outcome(
        nonce=visit.text("nonce"),
        sha256=visit.text("sha256"),
        outcome=visit.text("outcome"),
        remarks=visit.text("remarks"),
        typed=Typed(account=visit.text("account"), password=visit.text("password"), code=visit.text("code")),
    )
    try:
        await visit.app.access_review.sign_off(visit.caller, visit.client, given)
    except NotReadyToSign:
        raise
    except (*SHOWN, SigningRefused) as error:
        return await _reviews(visit, error=error)
    return RedirectResponse("/admin/reviews", _SEE_OTHER)


async def _policies(visit: Visit, *, error: AppError | None = None) -> Response:
    every = await visit.app.policies.every(visit.caller)
    newest = every[0] if every else None
    return render(
        visit,
        "admin_policies.html",
        status=error.status if error else 200,
        error=error,
        policies=every,
        title=visit.text("title") or (newest.title if newest else ""),
        text=visit.text("text") or (newest.text if newest else ""),
        reason=visit.text("reason"),
    )


async def _delegations(visit: Visit, *, error: AppError | None = None) -> Response:
    shown = await visit.app.delegations.shown(visit.caller, everybody=True)
    return render(
        visit, "admin_delegations.html", status=error.status if error else 200, error=error, delegations=shown
    )


async def _reviews(visit: Visit, *, error: AppError | None = None) -> Response:
    app = visit.app
    listing = await app.access_review.listing(visit.caller)
    missing: SigningRefused | None = None
    nonce, asked = "", None
    try:
        nonce, asked = await app.access_review.challenge(visit.caller, visit.client, listing)
    except SigningRefused as found:
        missing = found
    return render(
        visit,
        "admin_reviews.html",
        status=error.status if error else 200,
        error=error,
        missing=missing,
        listing=listing,
        nonce=nonce,
        asked=asked,
        statement=STATEMENT,
        outcomes=OUTCOMES,
        outcome=visit.text("outcome"),
        remarks=visit.text("remarks"),
        reviews=await app.access_review.reviews(visit.caller),
        due=await app.access_review.due(),
    )


PAGES = [
    Page(method="GET", path="/admin/policies", needs=Right.ADMINISTER, handler=policies),
    Page(method="POST", path="/admin/policies", needs=Right.ADMINISTER, handler=publish),
    Page(method="GET", path="/admin/delegations", needs=Right.ADMINISTER, handler=delegations),
    Page(method="POST", path="/admin/delegations/{delegation}/end", needs=Right.ADMINISTER, handler=end_delegation),
    Page(method="GET", path="/admin/reviews", needs=Right.ADMINISTER, handler=reviews),
    Page(method="POST", path="/admin/reviews", needs=Right.ADMINISTER, handler=sign_review),
]
