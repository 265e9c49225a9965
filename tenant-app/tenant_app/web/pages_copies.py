"""Copies that leave the system, and the request to delete: the trail as JSON and PDF (11.10(b), 11.10(c))."""

import asyncio
from dataclasses import dataclass

from starlette.responses import JSONResponse, RedirectResponse, Response

from tenant_app.domain.access import Right
from tenant_app.domain.documents import Document
from tenant_app.services import renditions
from tenant_app.services.progress import Signature
from tenant_app.services.recorder import Recorded
from tenant_app.web.guard import Access, Page
from tenant_app.web.pages_documents import document_id
from tenant_app.web.visit import Visit

_SEE_OTHER = 303


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """What a copy of a document's history holds."""

    document: Document
    entries: list[Recorded]
    signatures: list[Signature]


async def trail_json(visit: Visit) -> Response:
    """Answer a document's trail and signatures for programs."""
    copy = await _copy(visit, "json")
    return JSONResponse(
        renditions.trail_json(copy.document, copy.entries, copy.signatures), headers=_save(copy.document.label, "json")
    )


async def trail_pdf(visit: Visit) -> Response:
    """Answer the same for people, as a PDF."""
    copy = await _copy(visit, "pdf")
    # Setting pages is work for the processor: others are served meanwhile.
    content = await asyncio.to_thread(
        renditions.trail_pdf,
        copy.document,
        copy.entries,
        copy.signatures,
        tenant=visit.app.settings.tenant.display_name,
    )
    return Response(content, media_type="application/pdf", headers=_save(copy.document.label, "pdf"))


async def delete(visit: Visit) -> Response:
    """Destroy a document that nothing keeps any more; everything else is refused and recorded."""
    await visit.app.retention.delete(visit.caller, document_id(visit), visit.text("reason"))
    return RedirectResponse(f"/documents/{document_id(visit)}", _SEE_OTHER)


async def _copy(visit: Visit, form: str) -> Copy:
    document = document_id(visit)
    entries = await visit.app.documents.copy_trail(visit.caller, document, form)
    found, _ = await visit.app.documents.open(visit.caller, document)
    standing = await visit.app.progress.standing(visit.caller, document, found.latest.number)
    return Copy(document=found, entries=entries, signatures=standing.signatures)


def _save(label: str, ending: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{label}-trail.{ending}"'}


PAGES = [
    Page(method="GET", path="/documents/{document}/trail.json", needs=Right.VIEW, handler=trail_json),
    Page(method="GET", path="/documents/{document}/trail.pdf", needs=Right.VIEW, handler=trail_pdf),
    # Open to every role, so that the refusal is told and recorded for every role (AT-06).
    Page(method="POST", path="/documents/{document}/delete", needs=Access.SIGNED_IN, handler=delete),
]
