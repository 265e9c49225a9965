"""What the API's modules share: the shapes of answers, and the door."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Path, Query, Request
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from tenant_app.domain.access import Right
from tenant_app.domain.documents import Document, Version
from tenant_app.domain.ids import same_token
from tenant_app.errors import ForgeryRefused
from tenant_app.factory import App
from tenant_app.services.caller import Caller
from tenant_app.web.forms import TOKEN_HEADER, refuse_other_sites
from tenant_app.web.guard import Access, admit

# The member of an operation in the OpenAPI document that names the right it needs.
WANTS = "x-right"


class Model(BaseModel):
    """Base of all bodies: camelCase."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


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
    folder: str
    fields: dict[str, str]
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
Author = Annotated[Caller, Depends(needs(Right.AUTHOR))]
Annotator = Annotated[Caller, Depends(needs(Right.ANNOTATE))]
Administrator = Annotated[Caller, Depends(needs(Right.ADMINISTER))]
Anyone = Annotated[Caller, Depends(needs(Access.SIGNED_IN))]
Number = Annotated[int, Path(ge=1, le=2**31 - 1)]
Before = Annotated[int | None, Query(ge=1, le=2**63 - 1)]
_KIND = "application/problem+json"
# What any operation may answer beside its own; each is one of `errors.py`.
PROBLEMS: dict[int | str, dict[str, Any]] = {
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


def version_out(version: Version) -> VersionOut:
    """Return a version as the API tells it."""
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


def document_out(document: Document) -> DocumentOut:
    """Return a document as the API tells it."""
    return DocumentOut(
        id=document.id,
        number=document.label,
        title=document.metadata.title,
        kind=document.metadata.kind.value,
        project=document.metadata.project,
        reference=document.metadata.reference,
        folder=document.folder,
        fields=document.metadata.fields,
        latest=version_out(document.latest),
        retain_until=document.retain_until,
        held=document.held,
    )
