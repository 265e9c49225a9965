"""The REST API, described by OpenAPI: the same services behind the same guard as the pages.

A program signs in through the page's form like a person does and sends the session's cookie; what changes something also carries
the session's form token in `X-CSRF-Token`, which `GET /api/v1/session` tells. Errors are problem+json.
"""

from typing import Any
from uuid import UUID

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.responses import Response as FastResponse
from starlette.exceptions import HTTPException

from tenant_app.domain.access import Right
from tenant_app.domain.media import BY_NAME
from tenant_app.errors import AppError, InvalidInput
from tenant_app.factory import App
from tenant_app.web.api_authority import add_authority
from tenant_app.web.api_parts import (
    PROBLEMS,
    WANTS,
    AnnotationIn,
    Annotator,
    Anyone,
    Before,
    DocumentOut,
    Number,
    SessionOut,
    VersionOut,
    Viewer,
    document_out,
    version_out,
)
from tenant_app.web.api_records import add_records
from tenant_app.web.api_signing import add_signing
from tenant_app.web.guard import Access
from tenant_app.web.problems import on_app_error, on_http_error

_CONTENTS = {name: {"schema": {"type": "string", "format": "binary"}} for name in sorted(BY_NAME)}


def create_api(app: App) -> FastAPI:
    """Return the API. No documentation pages: theirs load scripts from elsewhere; `/openapi.json` is all there is."""
    api = FastAPI(
        title="Cloister tenant app",
        version=app.settings.system.version,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        responses=PROBLEMS,
    )
    api.state.cloister = app
    api.add_exception_handler(AppError, on_app_error)
    api.add_exception_handler(HTTPException, on_http_error)
    api.add_exception_handler(RequestValidationError, _on_invalid)

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
    add_authority(api, app)
    add_signing(api, app)
    return api


async def _on_invalid(request: Request, error: Exception) -> FastResponse:
    """Answer what breaks the API's own description: where and why, never the value, which may be a secret."""
    if not isinstance(error, RequestValidationError):
        raise error
    words = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
    return await on_app_error(request, InvalidInput(words[:1000]))


def _add_documents(api: FastAPI, app: App) -> None:
    @api.get("/documents", openapi_extra={WANTS: Right.VIEW.value})
    async def documents(caller: Viewer, q: str = "", before: Before = None) -> list[DocumentOut]:
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

    @api.get(
        "/documents/{document}/versions/{number}/content",
        response_class=FastResponse,
        responses={200: {"description": "The bytes, as they were uploaded.", "content": _CONTENTS}},
        openapi_extra={WANTS: Right.VIEW.value},
    )
    async def content(caller: Viewer, document: UUID, number: Number) -> FastResponse:
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
    async def annotate(caller: Annotator, document: UUID, number: Number, remark: AnnotationIn) -> dict[str, UUID]:
        """Make a remark on a version."""
        return {"id": await app.annotations.add(caller, document, number, remark.text, remark.place)}
