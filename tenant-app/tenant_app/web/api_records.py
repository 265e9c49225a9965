"""The API's acts on records: a new version, a new description, a folder. The same services, the same refusals as the pages."""

from typing import Annotated
from urllib.parse import unquote
from uuid import UUID

from fastapi import FastAPI, Header, Request
from pydantic import ConfigDict, Field

from tenant_app.domain.access import Right
from tenant_app.domain.documents import checked_metadata
from tenant_app.domain.fields import checked_fields
from tenant_app.errors import TooLarge
from tenant_app.factory import App
from tenant_app.services.documents import Upload
from tenant_app.web.api_parts import WANTS, Author, DocumentOut, Model, Number, document_out

# The one body that is no JSON: it is read while it comes (`limits.py` leaves it to this operation), up to the largest file.
_FILE = {"required": True, "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}


class DescriptionIn(Model):
    """A document's new description, whole, and why it changes."""

    model_config = ConfigDict(extra="forbid")

    title: str
    kind: str
    project: str = ""
    reference: str = ""
    fields: dict[str, str] = Field(default_factory=dict)
    reason: str = ""


class FolderIn(Model):
    """Where a document goes, and why."""

    model_config = ConfigDict(extra="forbid")

    folder: str
    reason: str = ""


def add_records(api: FastAPI, app: App) -> None:
    """Add the routes."""

    @api.put(
        "/documents/{document}/versions/{number}",
        status_code=201,
        openapi_extra={WANTS: Right.AUTHOR.value, "requestBody": _FILE},
    )
    async def put_version(
        caller: Author,
        document: UUID,
        number: Number,
        request: Request,
        x_file_name: Annotated[str, Header()] = "",
        x_reason: Annotated[str, Header()] = "",
    ) -> DocumentOut:
        """Store the body as the next version; a number that is there already, or not the next one, is a conflict (AT-50).

        `X-File-Name` and `X-Reason` are percent-encoded UTF-8.
        """
        content = await _body(request, app.documents.max_bytes)
        upload = Upload(file_name=unquote(x_file_name), content=content)
        found = await app.documents.add_version(caller, document, upload, unquote(x_reason), number - 1)
        return document_out(found)

    @api.put("/documents/{document}/description", openapi_extra={WANTS: Right.AUTHOR.value})
    async def describe(caller: Author, document: UUID, description: DescriptionIn) -> DocumentOut:
        """Change a document's description; without a reason it is refused (AT-52)."""
        metadata = checked_metadata(
            title=description.title,
            kind=description.kind,
            project=description.project,
            reference=description.reference,
            fields=checked_fields(app.fields, description.kind, description.fields),
        )
        await app.filing.describe(caller, document, metadata, description.reason)
        found, _ = await app.documents.open(caller, document)
        return document_out(found)

    @api.put("/documents/{document}/folder", openapi_extra={WANTS: Right.AUTHOR.value})
    async def move(caller: Author, document: UUID, target: FolderIn) -> DocumentOut:
        """Put a document into a folder; without a reason it is refused (AT-52)."""
        await app.filing.move(caller, document, target.folder, target.reason)
        found, _ = await app.documents.open(caller, document)
        return document_out(found)


async def _body(request: Request, most: int) -> bytes:
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > most:
            raise TooLarge(f"The file is over the limit of {most // (1024 * 1024)} MiB.", field="file")
    return bytes(content)
