"""Administration pages."""

from starlette.responses import RedirectResponse, Response

from tenant_app.domain.access import Right
from tenant_app.errors import Conflict, InvalidInput, NotFound
from tenant_app.web.forms import whole_number
from tenant_app.web.guard import Page
from tenant_app.web.render import render
from tenant_app.web.visit import Visit

_SEE_OTHER = 303


async def admin(visit: Visit) -> Response:
    """Show people, their roles as the directory gives them, and their sessions."""
    return await _page(visit)


async def end_sessions(visit: Visit) -> Response:
    """End a person's sessions at once."""
    try:
        await visit.app.administration.end_sessions(
            visit.caller, visit.request.path_params["sub"], visit.text("reason")
        )
    except InvalidInput as error:
        return await _page(visit, error=error)
    return RedirectResponse("/admin", _SEE_OTHER)


async def hold(visit: Visit) -> Response:
    """Place or release a legal hold by a document's number; its content stays out of sight."""
    number = whole_number(visit.text("number").upper().removeprefix("DOC-"))
    try:
        if number is None:
            raise InvalidInput("A document's number looks like DOC-000042.", field="number")  # noqa: TRY301
        act = visit.app.retention.release if visit.text("act") == "release" else visit.app.retention.hold
        await act(visit.caller, number, visit.text("reason"))
    except (InvalidInput, NotFound, Conflict) as error:
        return await _page(visit, error=error)
    return RedirectResponse("/admin", _SEE_OTHER)


async def _page(visit: Visit, *, error: InvalidInput | NotFound | Conflict | None = None) -> Response:
    members = await visit.app.administration.members(visit.caller)
    parts = await visit.app.health.look()
    return render(visit, "admin.html", status=error.status if error else 200, members=members, error=error, parts=parts)


PAGES = [
    Page(method="GET", path="/admin", needs=Right.ADMINISTER, handler=admin),
    Page(method="POST", path="/admin/people/{sub}/end-sessions", needs=Right.ADMINISTER, handler=end_sessions),
    Page(method="POST", path="/admin/holds", needs=Right.ADMINISTER, handler=hold),
]
