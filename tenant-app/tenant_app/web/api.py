"""The REST API, described by OpenAPI: the same services behind the same guard as the pages.

A program signs in through the page's form like a person does and sends the session's cookie; what changes something also carries
the session's form token in `X-CSRF-Token`, which `GET /api/v1/session` tells. Errors are problem+json.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, FastAPI, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.responses import Response as FastResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from tenant_app.domain.access import Right
from tenant_app.domain.documents import Document, Version
from tenant_app.domain.media import BY_NAME
from tenant_app.errors import AppError, ForgeryRefused, InvalidInput
from tenant_app.factory import App
from tenant_app.services.caller import Caller
from tenant_app.services.sessions import same_token
from tenant_app.web.api_authority import add_authority
from tenant_app.web.api_model import WANTS, Model
from tenant_app.web.forms import TOKEN_HEADER, refuse_other_sites
from tenant_app.web.guard import Access, admit
from tenant_app.web.problems import on_app_error, on_http_error


class ProblemOut(BaseModel):
    """An error, as RFC 9457 describes it."""

    type: str
    title: str
    status: int
    detail: str
    request: str


class SessionOut(Model):
    """The session of the caller."""

    name: str
    rights: list[str]
    csrf_token: str


class VersionOut(Model):
    """One version."""

    number: int
    sha256: str
    size: int
    media_type: str
    file_name: str
    state: str
    reason: str
    author: str
    created_at: datetime


class DocumentOut(Model):
    """One document with its newest version."""

    id: UUID
    number: str
    title: str
    kind: str
    project: str
    reference: str
    latest: VersionOut
    retain_until: datetime
    held: bool


class AnnotationIn(Model):
    """A remark to be made."""

    text: str
    place: str = ""


def needs(right: Right | Access) -> Callable[[Request], Awaitable[Caller]]:
    """Return the dependency that lets in who has `right`, and checks the token of what changes something."""

    async def dependency(request: Request) -> Caller:
        app: App = request.app.state.cloister
        caller = await admit(request, app, right)
        if request.method not in {"GET", "HEAD"}:
            refuse_other_sites(request, app.settings.hostname)
            if not same_token(request.headers.get(TOKEN_HEADER, ""), caller.session.csrf):
                raise ForgeryRefused("The X-CSRF-Token header is missing or is not this session's.")
        return caller

    return dependency


Viewer = Annotated[Caller, Depends(needs(Right.VIEW))]
Annotator = Annotated[Caller, Depends(needs(Right.ANNOTATE))]
Anyone = Annotated[Caller, Depends(needs(Access.SIGNED_IN))]
Number = Annotated[int, Path(ge=1, le=2**31 - 1)]
Before = Annotated[int | None, Query(ge=1, le=2**63 - 1)]
_CONTENTS = {name: {"schema": {"type": "string", "format": "binary"}} for name in sorted(BY_NAME)}
_KIND = "application/problem+json"
# What any operation may answer beside its own; each is one of `errors.py`.
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": words, "content": {_KIND: {"schema": ProblemOut.model_json_schema()}}}
    for status, words in {
        400: "Not even JSON.",
        401: "No live session.",
        403: "The person has not the right, or the token is missing.",
        404: "No such thing.",
        409: "It does not fit the current state.",
        413: "Too large.",
        422: "It breaks a rule; nothing was changed.",
        500: "A defect, or a record that failed its integrity check.",
        503: "A part of the system does not answer; trying again helps.",
    }.items()
}


def create_api(app: App) -> FastAPI:
    """Return the API. No documentation pages: theirs load scripts from elsewhere; `/openapi.json` is all there is."""
    api = FastAPI(
        title="Cloister tenant app",
        version=app.settings.system.version,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        responses=_PROBLEMS,
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
    add_authority(api, app, needs)
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
        return [_document(each) for each in found]

    @api.get("/documents/{document}", openapi_extra={WANTS: Right.VIEW.value})
    async def one(caller: Viewer, document: UUID) -> DocumentOut:
        """Tell one document."""
        found, _ = await app.documents.open(caller, document)
        return _document(found)

    @api.get("/documents/{document}/versions", openapi_extra={WANTS: Right.VIEW.value})
    async def versions(caller: Viewer, document: UUID) -> list[VersionOut]:
        """List a document's versions, newest first."""
        _, found = await app.documents.open(caller, document)
        return [_version(each) for each in found]

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


def _version(version: Version) -> VersionOut:
    return VersionOut(
        number=version.number,
        sha256=version.sha256,
        size=version.size,
        media_type=version.media_type,
        file_name=version.file_name,
        state=version.state.value,
        reason=version.reason,
        author=version.author_name,
        created_at=version.created_at,
    )


def _document(document: Document) -> DocumentOut:
    return DocumentOut(
        id=document.id,
        number=document.label,
        title=document.metadata.title,
        kind=document.metadata.kind.value,
        project=document.metadata.project,
        reference=document.metadata.reference,
        latest=_version(document.latest),
        retain_until=document.retain_until,
        held=document.held,
    )
