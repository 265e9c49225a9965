"""Copies for people and programs, made of a document's history (11.10(b), 11.50(b), AT-28). Pure but for setting pages.

A rendition of a version is its own pages, then the signature page, then the trail. The original bytes stay what they are: the
rendition names their digest and replaces nothing.
"""

import io
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pikepdf
from reportlab.lib.units import mm
from reportlab.lib.utils import ImageReader
from reportlab.platypus import Flowable, Image, PageBreak, Preformatted, Spacer

from tenant_app.domain.documents import Document, Version
from tenant_app.domain.media import PDF
from tenant_app.pdf_limits import limit_qpdf
from tenant_app.services.progress import Signature
from tenant_app.services.recorder import Recorded
from tenant_app.services.typeset import Typesetter

# The original pages are opened here too, though the inspector has let them in.
limit_qpdf()
_ACTIVE = frozenset({"/JavaScript", "/Launch", "/ImportData", "/SubmitForm"})
_WIDTH, _HEIGHT = 172 * mm, 230 * mm
# Longer texts are set up to here; the original has the rest, and the page says so.
_MOST_TEXT = 400_000
_COLUMNS = 105


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What a copy of a document holds: entries newest first, signatures oldest first."""

    document: Document
    entries: list[Recorded]
    signatures: list[Signature]


def trail_json(history: History) -> dict[str, Any]:
    """Return a document's trail and signatures as JSON values, oldest first, each with its place in the log."""
    document = history.document
    return {
        "document": {
            "id": str(document.id),
            "number": document.label,
            "metadata": document.metadata.as_json(),
            "folder": document.folder,
        },
        "exportedAt": datetime.now(UTC).isoformat(timespec="seconds"),
        "entries": [
            {**entry.as_line(), "logIndex": entry.link.log_index, "leafHash": entry.link.leaf_hash}
            for entry in reversed(history.entries)
        ],
        "signatures": [
            {"id": str(each.id), "version": each.version, "revoked": each.revoked, "envelope": each.envelope}
            for each in history.signatures
        ],
    }


def trail_pdf(history: History, setter: Typesetter, *, tenant: str) -> bytes:
    """Return the same for reading: signatures first, then every entry with old and new values."""
    document = history.document
    parts: list[Flowable] = [
        setter.heading(document.metadata.title),
        setter.fine(f"{tenant} · {document.label} · signatures and audit trail · {setter.zones()}"),
        Spacer(0, 6 * mm),
    ]
    parts += [block for each in history.signatures for block in setter.signature(each)]
    parts += [block for entry in reversed(history.entries) for block in setter.entry(entry)]
    return setter.pages(parts, title=f"Audit trail of {document.label}", author=tenant, foot=document.label)


def rendition(version: Version, content: bytes, history: History, setter: Typesetter, *, tenant: str) -> bytes:
    """Return a version with its signature page and trail as one PDF, not yet sealed."""
    document = history.document
    title = f"{document.label} version {version.number}: {document.metadata.title}"
    parts = _own_pages(version, content, setter) + _signature_page(version, history, setter, tenant)
    parts += [PageBreak(), setter.heading("Audit trail", 13), setter.fine(setter.zones()), Spacer(0, 4 * mm)]
    parts += [block for entry in reversed(history.entries) for block in setter.entry(entry)]
    set_pages = setter.pages(parts, title=title, author=tenant, foot=f"{document.label} version {version.number}")
    return _joined(content if version.media_type == PDF else None, set_pages)


def _own_pages(version: Version, content: bytes, setter: Typesetter) -> list[Flowable]:
    if version.media_type == PDF:
        return []
    head: list[Flowable] = [setter.heading(version.file_name, 13)]
    if version.media_type.startswith("image/"):
        return [*head, _image(content), PageBreak()]
    if version.media_type.startswith("text/") or version.media_type in {"application/json", "application/xml"}:
        words = content.decode("utf-8", errors="replace")
        style = setter.small.clone("content", fontSize=8, leading=10)
        cut = [setter.line("The rest is in the original file.")] if len(words) > _MOST_TEXT else []
        shown = words[:_MOST_TEXT].expandtabs(4)
        return [*head, Preformatted(shown, style, maxLineLength=_COLUMNS, newLineChars=""), *cut, PageBreak()]
    return [
        *head,
        setter.line(
            f"The content is a file of the type {version.media_type}, which is not turned into pages here: the original file is"
            " the record. It is the one with the SHA-256 on the next page."
        ),
        PageBreak(),
    ]


def _image(content: bytes) -> Flowable:
    width, height = ImageReader(io.BytesIO(content)).getSize()
    scale = min(_WIDTH / width, _HEIGHT / height, 1.0)
    return Image(io.BytesIO(content), width=width * scale, height=height * scale)


def _signature_page(version: Version, history: History, setter: Typesetter, tenant: str) -> list[Flowable]:
    document = history.document
    mine = [each for each in history.signatures if each.version == version.number]
    parts: list[Flowable] = [
        setter.heading("Signatures"),
        setter.facts(
            [
                ("Document", f"{document.metadata.title} ({document.label})"),
                ("Version", f"{version.number}, {version.state.value.replace('_', ' ')}, {version.file_name}"),
                ("Author", version.author_name),
                ("Stored", setter.time(version.created_at)),
                ("SHA-256 of the original", version.sha256),
                ("Held by", tenant),
            ]
        ),
        Spacer(0, 4 * mm),
    ]
    parts += [block for each in mine for block in setter.signature(each)]
    if not mine:
        parts.append(setter.line("This version is not signed."))
    others = len(history.signatures) - len(mine)
    if others:
        parts.append(setter.fine(f"{others} signatures on other versions of this document are in its audit trail."))
    parts.append(
        setter.fine(
            "Each signature is a record of its own, sealed by the tenant's signing key and verified when this page was made. The"
            " seal of this PDF shows that this copy is unchanged since; it is no person's signature."
        )
    )
    return parts


def _joined(original: bytes | None, set_pages: bytes) -> bytes:
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(set_pages)) as result:
        if original is not None:
            with pikepdf.open(io.BytesIO(original)) as source:
                for place, page in enumerate(source.pages):
                    _disarm(page)
                    result.pages.insert(place, page)
                result.save(out)
        else:
            result.save(out)
    return out.getvalue()


def _disarm(page: pikepdf.Page) -> None:
    """Take what would run out of a page that is copied; what is seen stays."""
    if "/AA" in page.obj:
        del page.obj["/AA"]
    for note in page.obj.get("/Annots", []):
        if not isinstance(note, pikepdf.Dictionary):
            continue
        if "/AA" in note:
            del note["/AA"]
        action = note.get("/A")
        if isinstance(action, pikepdf.Dictionary) and str(action.get("/S", "")) in _ACTIVE:
            del note["/A"]
