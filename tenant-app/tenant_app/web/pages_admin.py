"""Administration: the overview of people, legal holds, letters, and acts that need two administrators."""

from uuid import UUID

from starlette.responses import RedirectResponse, Response

from tenant_app.domain.access import Right
from tenant_app.errors import AppError, Conflict, Forbidden, InvalidInput, NotFound
from tenant_app.web.forms import whole_number
from tenant_app.web.guard import Page
from tenant_app.web.render import render
from tenant_app.web.visit import Visit

_SEE_OTHER = 303
SHOWN = (InvalidInput, NotFound, Conflict, Forbidden)


async def admin(visit: Visit) -> Response:
    """Show everybody who has signed in and what they may do."""
    return await _people(visit)


async def system(visit: Visit) -> Response:
    """Show holds, letters and the parts that the app depends on."""
    return await _system(visit)


async def hold(visit: Visit) -> Response:
    """Place or release a legal hold by a document's number; its content stays out of sight."""
    number = whole_number(visit.text("number").upper().removeprefix("DOC-"))
    try:
        if number is None:
            raise InvalidInput("A document's number looks like DOC-000042.", field="number")
        act = visit.app.retention.release if visit.text("act") == "release" else visit.app.retention.hold
        await act(visit.caller, number, visit.text("reason"))
    except SHOWN as error:
        return await _system(visit, error=error)
    return RedirectResponse("/admin/records", _SEE_OTHER)


async def letter(visit: Visit) -> Response:
    """Record a letter of 11.100(c)."""
    try:
        await visit.app.enrolments.record_letter(visit.caller, visit.text("reference"), visit.text("sent_on"))
    except SHOWN as error:
        return await _system(visit, error=error)
    return RedirectResponse("/admin/records", _SEE_OTHER)


async def requests(visit: Visit) -> Response:
    """Show what was asked for and waits for a second administrator or for its cool-off."""
    return await _requests(visit)


async def confirm(visit: Visit) -> Response:
    """Confirm what another administrator asked for."""
    try:
        await visit.app.two_person.confirm(visit.caller, id_of(visit, "request"))
    except SHOWN as error:
        return await _requests(visit, error=error)
    return RedirectResponse("/admin/requests", _SEE_OTHER)


async def refuse(visit: Visit) -> Response:
    """End a request before it takes effect."""
    try:
        await visit.app.two_person.refuse(visit.caller, id_of(visit, "request"), visit.text("reason"))
    except SHOWN as error:
        return await _requests(visit, error=error)
    return RedirectResponse("/admin/requests", _SEE_OTHER)


def id_of(visit: Visit, name: str) -> UUID:
    """Return an id from the path. Raises NotFound for what is no id."""
    try:
        return UUID(visit.request.path_params[name])
    except ValueError as error:
        raise NotFound("There is no such thing.") from error


async def _people(visit: Visit) -> Response:
    members = await visit.app.administration.members(visit.caller)
    waiting = [asked for asked in await visit.app.two_person.recent(visit.caller) if asked.done_at is None]
    return render(
        visit,
        "admin.html",
        members=members,
        waiting=waiting,
        letters=await visit.app.enrolments.letters(visit.caller),
        due=await visit.app.access_review.due(),
        policy=await visit.app.policies.current(),
    )


async def _system(visit: Visit, *, error: AppError | None = None) -> Response:
    return render(
        visit,
        "admin_records.html",
        status=error.status if error else 200,
        error=error,
        parts=await visit.app.health.look(),
        letters=await visit.app.enrolments.letters(visit.caller),
        given={name: visit.text(name) for name in ("number", "reference", "sent_on")},
    )


async def _requests(visit: Visit, *, error: AppError | None = None) -> Response:
    return render(
        visit,
        "admin_requests.html",
        status=error.status if error else 200,
        error=error,
        asked=await visit.app.two_person.recent(visit.caller),
    )


PAGES = [
    Page(method="GET", path="/admin", needs=Right.ADMINISTER, handler=admin),
    Page(method="GET", path="/admin/records", needs=Right.ADMINISTER, handler=system),
    Page(method="POST", path="/admin/holds", needs=Right.ADMINISTER, handler=hold),
    Page(method="POST", path="/admin/letters", needs=Right.ADMINISTER, handler=letter),
    Page(method="GET", path="/admin/requests", needs=Right.ADMINISTER, handler=requests),
    Page(method="POST", path="/admin/requests/{request}/confirm", needs=Right.ADMINISTER, handler=confirm),
    Page(method="POST", path="/admin/requests/{request}/refuse", needs=Right.ADMINISTER, handler=refuse),
]
