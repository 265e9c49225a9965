"""What the API's modules share: the shapes of answers, and the door."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from tenant_app.domain.access import Right
from tenant_app.domain.documents import Document, Version
from tenant_app.errors import ForgeryRefused
from tenant_app.factory import App
from tenant_app.services.caller import Caller
from tenant_app.services.sessions import same_token
from tenant_app.web.forms import TOKEN_HEADER, refuse_other_sites
from tenant_app.web.guard import Access, admit

WANTS = "x-right"


class Model(BaseModel):
    """Base of all answers: camelCase."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


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
Anyone = Annotated[Caller, Depends(needs(Access.SIGNED_IN))]


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
