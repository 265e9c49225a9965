"""Pages of documents: list, upload, one document, its versions, its trail."""

from urllib.parse import quote
from uuid import UUID

from starlette.responses import RedirectResponse, Response

from tenant_app.domain.access import Right
from tenant_app.domain.documents import Kind, Metadata, checked_metadata
from tenant_app.domain.fields import PREFIX, checked_fields
from tenant_app.domain.folders import checked_folder, crumbs
from tenant_app.domain.media import ACCEPTED, BY_NAME
from tenant_app.errors import Conflict, InvalidInput, NotFound
from tenant_app.services.documents import PAGE
from tenant_app.services.search import LIMIT
from tenant_app.web import trail_filter
from tenant_app.web.forms import whole_number
from tenant_app.web.guard import Page
from tenant_app.web.render import render
from tenant_app.web.visit import Visit

_SEE_OTHER = 303
# Entries that a trail page shows at once; the copies always have all of them.
SHOWN = 300
# What is uploaded never runs: no script, no fetch, and for all but PDF a sandbox. The browser's PDF viewer, which has its own
# sandbox, shows nothing under the stricter policy.
_CONTENT_CSP = "sandbox; default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'self'"
_PDF_CSP = "script-src 'none'; frame-ancestors 'self'"


async def list_page(visit: Visit) -> Response:
    """Show documents, newest first, or those that a search finds."""
    asked = visit.request.query_params
    query, folder = asked.get("q", "").strip()[:200], checked_folder(asked.get("folder", ""))
    before = whole_number(asked.get("before", ""))
    if query:
        found, more = await visit.app.search.find(visit.caller, query), None
    elif folder:
        found = await visit.app.search.in_folder(visit.caller, folder, before=before)
        more = found[-1].number if len(found) == LIMIT else None
    else:
        found = await visit.app.documents.page(visit.caller, before=before)
        more = found[-1].number if len(found) == PAGE else None
        await visit.app.search.refresh()
    return render(
        visit,
        "documents.html",
        documents=found,
        more=more,
        first=before is None,
        query=query,
        folder=folder,
        crumbs=crumbs(folder),
        below=[] if query else visit.app.search.tree.below(folder),
    )


async def upload_page(visit: Visit) -> Response:
    """Show the form for a new document."""
    return _upload_form(visit)


async def upload(visit: Visit) -> Response:
    """Store a new document and go to it."""
    try:
        metadata, folder = given_metadata(visit), checked_folder(visit.text("folder"))
        document = await visit.app.documents.create(visit.caller, metadata, await visit.upload("file"), folder=folder)
    except InvalidInput as error:
        return _upload_form(visit, error=error)
    return RedirectResponse(f"/documents/{document.id}", _SEE_OTHER)


async def document_page(visit: Visit) -> Response:
    """Show a document: the newest version, all versions, what happened lately."""
    return await _document_page(visit)


async def add_version(visit: Visit) -> Response:
    """Store a new version and show the document again."""
    document = document_id(visit)
    try:
        await visit.app.documents.add_version(
            visit.caller,
            document,
            await visit.upload("file"),
            visit.text("reason"),
            whole_number(visit.text("expected")) or 0,
        )
    except (InvalidInput, Conflict) as error:
        return await _document_page(visit, error=error)
    return RedirectResponse(f"/documents/{document}", _SEE_OTHER)


async def content(visit: Visit) -> Response:
    """Answer a version's original bytes, to be shown in the page or saved."""
    number = visit.request.path_params["number"]
    download = visit.request.query_params.get("download") == "1"
    version, body = await visit.app.documents.read(visit.caller, document_id(visit), number, download=download)
    known = BY_NAME.get(version.media_type)
    inline = bool(known and known.inline) and not download
    plain = version.media_type.startswith("text/")
    headers = {
        "Content-Disposition": f"{'inline' if inline else 'attachment'}; filename*=UTF-8''{quote(version.file_name)}",
        "Digest": f"sha-256={version.sha256}",
        "Cache-Control": "no-store",
        "Content-Security-Policy": _CONTENT_CSP if version.media_type != "application/pdf" else _PDF_CSP,
        "X-Frame-Options": "SAMEORIGIN",
    }
    media_type = f"{version.media_type}; charset=utf-8" if plain else version.media_type
    return Response(body, media_type=media_type, headers=headers)


async def picture(visit: Visit) -> Response:
    """Answer a page of a PDF as a picture: seen on every screen, and nothing of the file reaches the browser."""
    number, page = visit.request.path_params["number"], visit.request.path_params["page"]
    body = await visit.app.documents.picture(visit.caller, document_id(visit), number, page)
    return Response(body, media_type="image/png", headers={"Cache-Control": "no-store"})


async def trail_page(visit: Visit) -> Response:
    """Show everything that happened to a document, old and new side by side."""
    document = document_id(visit)
    entries = await visit.app.documents.trail(visit.caller, document)
    reviews = await visit.app.trail_review.of(visit.caller, document, entries)
    found, versions = await visit.app.documents.open(visit.caller, document)
    asked = trail_filter.read(visit.request.query_params)
    fitting = [entry for entry in entries if asked.fits(entry)]
    return render(
        visit,
        "trail.html",
        document=found,
        total=len(entries),
        fitting=len(fitting),
        entries=fitting if asked.everything else fitting[:SHOWN],
        asked=asked,
        people=sorted({entry.body["actor"]["name"] for entry in entries}, key=str.casefold),
        actions=sorted({entry.link.action for entry in entries}),
        crumbs=crumbs(found.folder),
        reviews=reviews,
        wrote=visit.caller.session.sub in {version.author for version in versions},
    )


async def _document_page(visit: Visit, *, error: InvalidInput | Conflict | None = None) -> Response:
    document, versions = await visit.app.documents.open(visit.caller, document_id(visit))
    standing = await visit.app.progress.standing(visit.caller, document.id, document.latest.number)
    return render(
        visit,
        "document.html",
        status=error.status if error else 200,
        document=document,
        versions=versions,
        standing=standing,
        crumbs=crumbs(document.folder),
        fields=visit.app.fields,
        pages=await visit.app.documents.pages(document.latest),
        remarks=await visit.app.annotations.of(visit.caller, document.id),
        error=error,
        accept=",".join(sorted(ACCEPTED)),
        preview=preview_of(document.latest.media_type),
        reason=visit.text("reason"),
    )


def preview_of(media_type: str) -> str:
    """Return how a type is shown in a page: as an image, in a frame, or (empty) not at all."""
    known = BY_NAME.get(media_type)
    if known is None or not known.inline:
        return ""
    return "image" if media_type.startswith("image/") else "frame"


def given_metadata(visit: Visit) -> Metadata:
    """Return the description that a form holds. Raises InvalidInput naming the field."""
    kind = visit.text("kind")
    return checked_metadata(
        title=visit.text("title"),
        kind=kind,
        project=visit.text("project"),
        reference=visit.text("reference"),
        fields=checked_fields(
            visit.app.fields, kind, {each.name: visit.text(PREFIX + each.name) for each in visit.app.fields}
        ),
    )


def _upload_form(visit: Visit, *, error: InvalidInput | None = None) -> Response:
    return render(
        visit,
        "upload.html",
        status=error.status if error else 200,
        error=error,
        kinds=[kind.value for kind in Kind],
        accept=",".join(sorted(ACCEPTED)),
        max_bytes=visit.app.documents.max_bytes,
        fields=visit.app.fields,
        folders=visit.app.search.tree.paths(),
        given={name: visit.text(name) for name in ("title", "kind", "project", "reference")}
        | {"folder": visit.text("folder") or visit.request.query_params.get("folder", "")}
        | {PREFIX + each.name: visit.text(PREFIX + each.name) for each in visit.app.fields},
    )


def document_id(visit: Visit) -> UUID:
    """Return the document's id from the path. Raises NotFound for what is no id."""
    try:
        return UUID(visit.request.path_params["document"])
    except ValueError as error:
        raise NotFound("There is no such document.") from error


PAGES = [
    Page(method="GET", path="/documents", needs=Right.VIEW, handler=list_page),
    Page(method="GET", path="/upload", needs=Right.AUTHOR, handler=upload_page),
    Page(method="POST", path="/upload", needs=Right.AUTHOR, handler=upload),
    Page(method="GET", path="/documents/{document}", needs=Right.VIEW, handler=document_page),
    Page(method="POST", path="/documents/{document}/versions", needs=Right.AUTHOR, handler=add_version),
    Page(method="GET", path="/documents/{document}/versions/{number:int}/content", needs=Right.VIEW, handler=content),
    Page(
        method="GET",
        path="/documents/{document}/versions/{number:int}/pages/{page:int}.png",
        needs=Right.VIEW,
        handler=picture,
    ),
    Page(method="GET", path="/documents/{document}/trail", needs=Right.VIEW, handler=trail_page),
]
