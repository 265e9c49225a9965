"""The REST API, described by OpenAPI: the same services behind the same guard as the pages.

A program signs in through the page's form like a person does and sends the session's cookie; what changes something also carries
the session's form token in `X-CSRF-Token`, which `GET /api/v1/session` tells. Errors are problem+json.
"""

from typing import Any
from uuid import UUID

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from fastapi.responses import Response as FastResponse

from tenant_app.domain.access import Right
from tenant_app.errors import AppError
from tenant_app.factory import App
from tenant_app.web.api_parts import (
    WANTS,
    AnnotationIn,
    Annotator,
    Anyone,
    DocumentOut,
    SessionOut,
    VersionOut,
    Viewer,
    document_out,
    version_out,
)
from tenant_app.web.api_records import add_records
from tenant_app.web.guard import Access
from tenant_app.web.problems import on_app_error


def create_api(app: App) -> FastAPI:
    """Return the API. No documentation pages: theirs load scripts from elsewhere; `/openapi.json` is all there is."""
    api = FastAPI(
        title="Cloister tenant app",
        version=app.settings.system.version,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    api.state.cloister = app
    api.add_exception_handler(AppError, on_app_error)

    @api.get("/openapi.json", include_in_schema=False)
    async def openapi(_caller: Anyone) -> JSONResponse:
        return JSONResponse(api.openapi())

    @api.get("/session", openapi_extra={WANTS: Access.SIGNED_IN.value})
    async def session(caller: Anyone) -> SessionOut:
        """Tell who the caller is and the token for requests that change something."""
        rights = sorted(right.value for right in caller.session.rights)
        return SessionOut(name=caller.session.name, rights=rights, csrf_token=caller.session.csrf)

    _add_documents(api, app)
    add_records(api, app)
    return api


def _add_documents(api: FastAPI, app: App) -> None:
    @api.get("/documents", openapi_extra={WANTS: Right.VIEW.value})
    async def documents(caller: Viewer, q: str = "", before: int | None = None) -> list[DocumentOut]:
        """List up to 50 documents, newest first, or those that a search finds."""
        found = await app.search.find(caller, q[:200]) if q else await app.documents.page(caller, before=before)
        return [document_out(each) for each in found]

    @api.get("/documents/{document}", openapi_extra={WANTS: Right.VIEW.value})
    async def one(caller: Viewer, document: UUID) -> DocumentOut:
        """Tell one document."""
        found, _ = await app.documents.open(caller, document)
        return document_out(found)

    @api.get("/documents/{document}/versions", openapi_extra={WANTS: Right.VIEW.value})
    async def versions(caller: Viewer, document: UUID) -> list[VersionOut]:
        """List a document's versions, newest first."""
        _, found = await app.documents.open(caller, document)
        return [version_out(each) for each in found]

    @api.get("/documents/{document}/versions/{number}/content", openapi_extra={WANTS: Right.VIEW.value})
    async def content(caller: Viewer, document: UUID, number: int) -> FastResponse:
        """Answer a version's original bytes."""
        version, body = await app.documents.read(caller, document, number, download=True)
        return FastResponse(body, media_type=version.media_type, headers={"Content-Disposition": "attachment"})

    @api.get("/documents/{document}/trail", openapi_extra={WANTS: Right.VIEW.value})
    async def trail(caller: Viewer, document: UUID) -> list[dict[str, Any]]:
        """Tell everything that happened to a document, newest first."""
        return [
            {"seq": each.link.seq, "logIndex": each.link.log_index, "entry": each.body}
            for each in await app.documents.trail(caller, document)
        ]

    @api.post(
        "/documents/{document}/versions/{number}/annotations",
        status_code=201,
        openapi_extra={WANTS: Right.ANNOTATE.value},
    )
    async def annotate(caller: Annotator, document: UUID, number: int, remark: AnnotationIn) -> dict[str, UUID]:
        """Make a remark on a version."""
        return {"id": await app.annotations.add(caller, document, number, remark.text, remark.place)}
