"""Signing for having reviewed a document's audit trail."""

from starlette.responses import RedirectResponse, Response

from tenant_app.domain.access import Right
from tenant_app.errors import AppError, InvalidInput, SigningRefused
from tenant_app.services.components import Typed
from tenant_app.services.trail_review import Request
from tenant_app.web.forms import whole_number
from tenant_app.web.guard import Page
from tenant_app.web.pages_documents import document_id
from tenant_app.web.render import render
from tenant_app.web.visit import Visit

_SEE_OTHER = 303


async def review_page(visit: Visit) -> Response:
    """Show exactly which entries would be signed for, with a fresh challenge."""
    return await _dialog(visit)


async def review(visit: Visit) -> Response:
    """Sign the review and go back to the trail; what was wrong is shown in a fresh dialog."""
    document = document_id(visit)
    request = Request(
        document=document,
        number=visit.request.path_params["number"],
        nonce=visit.text("nonce"),
        last=whole_number(visit.text("last")) or 0,
        typed=Typed(account=visit.text("account"), password=visit.text("password"), code=visit.text("code")),
        remarks=visit.text("remarks"),
    )
    try:
        await visit.app.trail_review.sign(visit.caller, visit.client, request)
    except (SigningRefused, InvalidInput) as error:
        return await _dialog(visit, error=error)
    return RedirectResponse(f"/documents/{document}/trail#reviews", _SEE_OTHER)


async def _dialog(visit: Visit, *, error: AppError | None = None) -> Response:
    document, number = document_id(visit), visit.request.path_params["number"]
    dialog = await visit.app.trail_review.challenge(visit.caller, visit.client, document, number)
    # After the challenge: this look is an entry of its own, and not one that the dialog shows.
    found, versions = await visit.app.documents.open(visit.caller, document)
    return render(
        visit,
        "trail_review.html",
        status=error.status if error else 200,
        document=found,
        version=next(each for each in versions if each.number == number),
        dialog=dialog,
        error=error,
        remarks=visit.text("remarks"),
    )


_REVIEW = "/documents/{document}/versions/{number:int}/trail-review"
PAGES = [
    # Who reads the trail may sign for it; that its authors may not is decided inside the transaction.
    Page(method="GET", path=_REVIEW, needs=Right.VIEW, handler=review_page),
    Page(method="POST", path=_REVIEW, needs=Right.VIEW, handler=review),
]
