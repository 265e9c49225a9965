"""Copies that leave the system, and the request to delete: the trail as JSON and PDF (11.10(b), 11.10(c))."""

from urllib.parse import quote
from uuid import UUID

from starlette.responses import JSONResponse, RedirectResponse, Response

from tenant_app.domain.access import Right
from tenant_app.errors import NotFound
from tenant_app.web.guard import Access, Page
from tenant_app.web.pages_documents import document_id
from tenant_app.web.visit import Visit

_SEE_OTHER = 303
_PDF = "application/pdf"
_ZIP = "application/zip"


async def trail_json(visit: Visit) -> Response:
    """Answer a document's trail and signatures for programs."""
    document, body = await visit.app.printing.trail_json(visit.caller, document_id(visit))
    return JSONResponse(body, headers=_save(f"{document.label}-trail.json"))


async def trail_pdf(visit: Visit) -> Response:
    """Answer the same for people, as a sealed PDF."""
    document, content = await visit.app.printing.trail_pdf(visit.caller, document_id(visit))
    return Response(content, media_type=_PDF, headers=_save(f"{document.label}-trail.pdf"))


async def rendition(visit: Visit) -> Response:
    """Answer a version with its signature page and trail as a sealed PDF."""
    number = visit.request.path_params["number"]
    document, content = await visit.app.printing.rendition(visit.caller, document_id(visit), number)
    return Response(content, media_type=_PDF, headers=_save(f"{document.label}-v{number}.pdf"))


async def seal_certificate(visit: Visit) -> Response:
    """Answer the certificate by which the seals of this tenant's PDFs are trusted."""
    return Response(
        await visit.app.printing.seal.issuer(), media_type="application/pkix-cert", headers=_save("pdf-seal-issuer.cer")
    )


async def signature_evidence(visit: Visit) -> Response:
    """Answer everything that proves one signature alone."""
    signature = _uuid(visit, "signature")
    name, content = await visit.app.evidence.of_signature(visit.caller, document_id(visit), signature)
    return Response(content, media_type=_ZIP, headers=_save(name))


async def entry_proof(visit: Visit) -> Response:
    """Answer what proves one entry of the trail offline."""
    seq = visit.request.path_params["seq"]
    name, content = await visit.app.evidence.of_entry(visit.caller, document_id(visit), seq)
    return Response(content, media_type=_ZIP, headers=_save(name))


async def delete(visit: Visit) -> Response:
    """Destroy a document that nothing keeps any more; everything else is refused and recorded."""
    await visit.app.retention.delete(visit.caller, document_id(visit), visit.text("reason"))
    return RedirectResponse(f"/documents/{document_id(visit)}", _SEE_OTHER)


def _uuid(visit: Visit, name: str) -> UUID:
    try:
        return UUID(visit.request.path_params[name])
    except ValueError as error:
        raise NotFound("There is no such signature.") from error


def _save(name: str) -> dict[str, str]:
    return {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}", "Cache-Control": "no-store"}


PAGES = [
    Page(method="GET", path="/documents/{document}/trail.json", needs=Right.VIEW, handler=trail_json),
    Page(method="GET", path="/documents/{document}/trail.pdf", needs=Right.VIEW, handler=trail_pdf),
    Page(
        method="GET",
        path="/documents/{document}/versions/{number:int}/rendition.pdf",
        needs=Right.VIEW,
        handler=rendition,
    ),
    Page(
        method="GET",
        path="/documents/{document}/signatures/{signature}/evidence.zip",
        needs=Right.VIEW,
        handler=signature_evidence,
    ),
    Page(method="GET", path="/documents/{document}/trail/{seq:int}/proof.zip", needs=Right.VIEW, handler=entry_proof),
    Page(method="GET", path="/pdf-seal-issuer.cer", needs=Access.SIGNED_IN, handler=seal_certificate),
    # Open to every role, so that the refusal is told and recorded for every role (AT-06).
    Page(method="POST", path="/documents/{document}/delete", needs=Access.SIGNED_IN, handler=delete),
]
