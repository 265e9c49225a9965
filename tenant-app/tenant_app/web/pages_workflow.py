"""Pages of the workflow: what waits for me, the signing dialog, remarks."""

from typing import Any
from uuid import UUID

from starlette.responses import RedirectResponse, Response

from tenant_app.domain.access import Right
from tenant_app.errors import AppError, InvalidInput, NotFound, SigningRefused
from tenant_app.services.components import Typed
from tenant_app.services.signing import Request
from tenant_app.web.guard import Access, Page
from tenant_app.web.pages_documents import document_id, preview_of
from tenant_app.web.render import render
from tenant_app.web.visit import Visit

_SEE_OTHER = 303


async def home(visit: Visit) -> Response:
    """Show what waits for the person; an administrator without content rights sees only that."""
    if not visit.may(Right.VIEW):
        return render(visit, "home_no_content.html", **await _notices(visit))
    tasks = await visit.app.progress.tasks(visit.caller)
    recent = await visit.app.documents.page(visit.caller)
    return render(visit, "home.html", tasks=tasks, recent=recent[:5], **await _notices(visit))


async def _notices(visit: Visit) -> dict[str, Any]:
    """Return what a person has to know after signing in: what was asked for on their account, a policy, an offer."""
    app, caller = visit.app, visit.caller
    policy = await app.policies.current()
    pending = policy is not None and await app.policies.accepted_at(caller) is None
    offers = [
        each
        for each in await app.delegations.shown(caller)
        if each.state == "offered" and each.delegation.receiver == caller.session.sub
    ]
    return {"asked": await app.two_person.about(caller), "pending": pending, "offers": offers}


async def sign_page(visit: Visit) -> Response:
    """Show exactly what would be signed, with a fresh challenge."""
    return await _dialog(visit)


async def sign(visit: Visit) -> Response:
    """Sign and go back to the document; what was wrong is shown in a fresh dialog."""
    document = document_id(visit)
    request = Request(
        document=document,
        number=visit.request.path_params["number"],
        transition=visit.request.path_params["step"],
        nonce=visit.text("nonce"),
        typed=Typed(account=visit.text("account"), password=visit.text("password"), code=visit.text("code")),
        reason=visit.text("reason"),
        delegation=_delegation(visit.text("delegation")),
        reviewers=frozenset(str(value) for value in visit.form.getlist("reviewers") if isinstance(value, str)),
    )
    try:
        await visit.app.signing.sign(visit.caller, visit.client, request)
    except (SigningRefused, InvalidInput) as error:
        return await _dialog(visit, error=error)
    return RedirectResponse(f"/documents/{document}", _SEE_OTHER)


async def annotate(visit: Visit) -> Response:
    """Store a remark."""
    document, number = document_id(visit), visit.request.path_params["number"]
    await visit.app.annotations.add(visit.caller, document, number, visit.text("text"), visit.text("place"))
    return RedirectResponse(f"/documents/{document}#remarks", _SEE_OTHER)


async def resolve(visit: Visit) -> Response:
    """Settle a remark."""
    document = document_id(visit)
    try:
        annotation = UUID(visit.request.path_params["annotation"])
    except ValueError as error:
        raise NotFound("There is no such open remark.") from error
    await visit.app.annotations.resolve(visit.caller, document, annotation)
    return RedirectResponse(f"/documents/{document}#remarks", _SEE_OTHER)


async def _dialog(visit: Visit, *, error: AppError | None = None) -> Response:
    document, step = document_id(visit), visit.request.path_params["step"]
    number = visit.request.path_params["number"]
    delegation = _delegation(visit.text("delegation") or visit.request.query_params.get("for", ""))
    challenge = await visit.app.signing.challenge(visit.caller, visit.client, document, number, step, delegation)
    found, _ = await visit.app.documents.open(visit.caller, document)
    reviewers = await visit.app.candidates.who_may(Right.REVIEW) if step == "submit" else []
    return render(
        visit,
        "sign.html",
        status=error.status if error else 200,
        document=found,
        challenge=challenge,
        pages=await visit.app.documents.pages(challenge.version),
        preview=preview_of(challenge.version.media_type),
        error=error,
        reviewers=[person for person in reviewers if person.sub != visit.caller.session.sub],
        chosen=visit.form.getlist("reviewers"),
        reason=visit.text("reason"),
    )


def _delegation(text: str) -> UUID | None:
    if not text:
        return None
    try:
        return UUID(text)
    except ValueError as error:
        raise NotFound("There is no such delegation to you.") from error


_VERSION = "/documents/{document}/versions/{number:int}"
PAGES = [
    Page(method="GET", path="/", needs=Access.SIGNED_IN, handler=home),
    # Which right a step needs is the workflow's to say: the one guard decides it again inside the transaction.
    Page(method="GET", path=_VERSION + "/sign/{step}", needs=Right.VIEW, handler=sign_page),
    Page(method="POST", path=_VERSION + "/sign/{step}", needs=Right.VIEW, handler=sign),
    Page(method="POST", path=_VERSION + "/annotations", needs=Right.ANNOTATE, handler=annotate),
    Page(
        method="POST",
        path="/documents/{document}/annotations/{annotation}/resolve",
        needs=Right.ANNOTATE,
        handler=resolve,
    ),
]
