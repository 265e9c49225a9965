"""Pages that change what is said of a document and where it lies."""

from urllib.parse import urlencode

from starlette.responses import RedirectResponse, Response

from tenant_app.domain.access import Right
from tenant_app.domain.documents import Kind
from tenant_app.domain.fields import PREFIX
from tenant_app.domain.folders import checked_folder
from tenant_app.errors import Conflict, InvalidInput
from tenant_app.web.guard import Page
from tenant_app.web.pages_documents import document_id, given_metadata
from tenant_app.web.render import render
from tenant_app.web.visit import Visit

_SEE_OTHER = 303


async def describe_page(visit: Visit) -> Response:
    """Show the forms for a document's description and folder."""
    return await _form(visit)


async def describe(visit: Visit) -> Response:
    """Store a new description and go back to the document."""
    document = document_id(visit)
    try:
        await visit.app.filing.describe(visit.caller, document, given_metadata(visit), visit.text("reason"))
    except (InvalidInput, Conflict) as error:
        return await _form(visit, error=error)
    return RedirectResponse(f"/documents/{document}", _SEE_OTHER)


async def move(visit: Visit) -> Response:
    """Put a document into a folder and go back to it."""
    document = document_id(visit)
    try:
        await visit.app.filing.move(visit.caller, document, visit.text("folder"), visit.text("reason"))
    except (InvalidInput, Conflict) as error:
        return await _form(visit, error=error)
    return RedirectResponse(f"/documents/{document}", _SEE_OTHER)


async def rename(visit: Visit) -> Response:
    """Rename a folder and show it under its new path."""
    target = checked_folder(visit.text("new"))
    await visit.app.filing.rename(visit.caller, visit.text("old"), target, visit.text("reason"))
    return RedirectResponse(f"/documents?{urlencode({'folder': target})}", _SEE_OTHER)


async def _form(visit: Visit, *, error: InvalidInput | Conflict | None = None) -> Response:
    document, _ = await visit.app.documents.open(visit.caller, document_id(visit))
    await visit.app.search.refresh()
    stored = {**document.metadata.as_json(), "folder": document.folder}
    stored |= {PREFIX + each.name: document.metadata.fields.get(each.name, "") for each in visit.app.fields}
    return render(
        visit,
        "describe.html",
        status=error.status if error else 200,
        document=document,
        error=error,
        kinds=[kind.value for kind in Kind],
        fields=visit.app.fields,
        folders=visit.app.search.tree.paths(),
        given=stored | {name: visit.text(name) for name in stored if name in visit.form},
    )


PAGES = [
    Page(method="GET", path="/documents/{document}/describe", needs=Right.AUTHOR, handler=describe_page),
    Page(method="POST", path="/documents/{document}/describe", needs=Right.AUTHOR, handler=describe),
    Page(method="POST", path="/documents/{document}/move", needs=Right.AUTHOR, handler=move),
    Page(method="POST", path="/folders/rename", needs=Right.AUTHOR, handler=rename),
]
