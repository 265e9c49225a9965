"""Pages of the second factor: one's own, and the list of everybody's for administrators."""

from datetime import UTC, datetime

import segno
from markupsafe import Markup
from starlette.responses import RedirectResponse, Response

from tenant_app.domain.access import Right
from tenant_app.domain.identity import is_federated
from tenant_app.errors import AppError, InvalidInput, SigningRefused
from tenant_app.services.components import Typed, proof_holds
from tenant_app.services.enrolment import RESET, Offer
from tenant_app.web.guard import Access, Page
from tenant_app.web.render import render
from tenant_app.web.visit import SESSION_COOKIE, Visit

_SEE_OTHER = 303


async def own(visit: Visit) -> Response:
    """Show a person their second factor."""
    return await _own(visit)


async def begin(visit: Visit) -> Response:
    """Make a new device and show its picture."""
    typed = Typed(account=visit.text("account"), password=visit.text("password"), code=visit.text("code"))
    try:
        offer = await visit.app.enrolment.begin(visit.caller, visit.client, typed)
    except (SigningRefused, InvalidInput) as error:
        return await _own(visit, error=error)
    return _offer(visit, offer)


async def confirm(visit: Visit) -> Response:
    """Put the device in force by its first code and show the recovery codes, once."""
    try:
        codes = await visit.app.enrolment.confirm(visit.caller, visit.text("code"))
    except InvalidInput as error:
        offer = await visit.app.enrolment.offered(visit.caller)
        return _offer(visit, offer, error=error) if offer else await _own(visit, error=error)
    visit.maybe = None  # every session of the person has ended with this
    response = render(visit, "second_factor_codes.html", codes=codes)
    response.delete_cookie(SESSION_COOKIE, path="/", secure=True, httponly=True, samesite="lax")
    return response


async def test(visit: Visit) -> Response:
    """Test the device."""
    try:
        await visit.app.enrolment.test(visit.caller, visit.text("code"))
    except SigningRefused as error:
        return await _own(visit, error=error)
    return RedirectResponse("/second-factor?done=tested", _SEE_OTHER)


async def devices(visit: Visit) -> Response:
    """Show administrators who has a device, and where its reset is asked for."""
    app = visit.app
    members = [member.known for member in await app.administration.members(visit.caller)]
    found = {member.sub: await app.factor.device(member.sub) for member in members}
    asked = [each for each in await app.two_person.recent(visit.caller) if each.kind == RESET and not each.done_at]
    return render(
        visit,
        "second_factors.html",
        members=[member for member in members if found[member.sub].enrolled],
        devices=found,
        asked={each.sub for each in asked},
        kind=RESET,
        policy=app.factor.rules.policy.value,
    )


async def _own(visit: Visit, *, error: AppError | None = None) -> Response:
    return render(
        visit,
        "second_factor.html",
        status=error.status if error else 200,
        error=error,
        policy=visit.app.factor.rules.policy.value,
        retest_days=visit.app.factor.rules.retest_after.days,
        device=await visit.app.factor.device(visit.caller.session.sub),
        federated=is_federated(visit.caller.session.sub),
        proved=proof_holds(visit.caller, datetime.now(UTC)),
        asked=await visit.app.two_person.about(visit.caller),
        done=visit.request.query_params.get("done") == "tested",
    )


def _offer(visit: Visit, offer: Offer, *, error: AppError | None = None) -> Response:
    return render(
        visit,
        "second_factor_offer.html",
        status=error.status if error else 200,
        error=error,
        picture=_picture(offer.address),
        secret=" ".join(offer.secret[start : start + 4] for start in range(0, len(offer.secret), 4)),
    )


def _picture(address: str) -> Markup:
    # Drawn into the page: an image address would need a looser policy, and would put the secret into a request.
    svg = segno.make(address, error="m").svg_inline(scale=5, border=4, dark="#000", light="#fff", omitsize=True)
    return Markup(svg)  # noqa: S704  # made by the library from squares; nothing that was typed is in it


PAGES = [
    Page(method="GET", path="/second-factor", needs=Access.ENROLLING, handler=own),
    Page(method="POST", path="/second-factor/begin", needs=Access.ENROLLING, handler=begin),
    Page(method="POST", path="/second-factor/confirm", needs=Access.ENROLLING, handler=confirm),
    Page(method="POST", path="/second-factor/test", needs=Access.ENROLLING, handler=test),
    Page(method="GET", path="/admin/second-factors", needs=Right.ADMINISTER, handler=devices),
]
