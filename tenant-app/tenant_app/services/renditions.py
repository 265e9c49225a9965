"""Copies for people and programs: the trail and the signatures of a document as PDF and JSON (11.10(b), 11.50(b), AT-28)."""

import io
from datetime import UTC, datetime
from typing import Any
from xml.sax.saxutils import escape

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle, getSampleStyleSheet
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFError, TTFont
from reportlab.platypus import Flowable, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from tenant_app.domain.delegation import signed_by
from tenant_app.domain.documents import Document
from tenant_app.services.progress import Signature
from tenant_app.services.recorder import Recorded

_DEJAVU = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"
_STYLE = getSampleStyleSheet()


def trail_json(document: Document, entries: list[Recorded], signatures: list[Signature]) -> dict[str, Any]:
    """Return a document's trail and signatures as JSON values, oldest first, each with its place in the log."""
    return {
        "document": {"id": str(document.id), "number": document.label, "metadata": document.metadata.as_json()},
        "exportedAt": datetime.now(UTC).isoformat(timespec="seconds"),
        "entries": [
            {
                "seq": entry.link.seq,
                "chainHash": bytes(entry.link.hash).hex(),
                "logIndex": entry.link.log_index,
                "leafHash": entry.link.leaf_hash,
                "entry": entry.body,
            }
            for entry in reversed(entries)
        ],
        "signatures": [
            {"id": str(each.id), "version": each.version, "revoked": each.revoked, "envelope": each.envelope}
            for each in signatures
        ],
    }


def trail_pdf(document: Document, entries: list[Recorded], signatures: list[Signature], *, tenant: str) -> bytes:
    """Return the same for reading: signatures first, then every entry with old and new values."""
    body, small = _styles()
    parts: list[Flowable] = [
        Paragraph(_text(document.metadata.title), _heading(body)),
        Paragraph(_text(f"{tenant} · {document.label} · signatures and audit trail · all times UTC"), small),
        Spacer(0, 6 * mm),
    ]
    parts += [block for each in signatures for block in _signature(each, body, small)]
    for entry in reversed(entries):
        parts += _entry(entry, body, small)
    out = io.BytesIO()
    made = f"Made {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
    template = SimpleDocTemplate(
        out,
        pagesize=A4,
        title=f"Audit trail of {document.label}",
        author=tenant,
        leftMargin=18 * mm,
        rightMargin=18 * mm,
    )

    def footer(canvas: Any, page: Any) -> None:  # reportlab's own types are untyped
        canvas.saveState()
        canvas.setFont(body.fontName, 7)
        canvas.drawString(18 * mm, 10 * mm, f"{document.label} · {made} · page {page.page}")
        canvas.restoreState()

    template.build(parts, onFirstPage=footer, onLaterPages=footer)
    return out.getvalue()


def _signature(each: Signature, body: ParagraphStyle, small: ParagraphStyle) -> list[Flowable]:
    payload = each.payload
    void = " (revoked)" if each.revoked else ""
    lines = [
        f"<b>{_text(signed_by(payload))}</b>, {_text(payload['meaning']['code'])}{void}, version {each.version}",
        f"{_text(payload['meaning']['statement'])}",
    ]
    if payload["reason"]:
        lines.append(f"Reason: {_text(payload['reason'])}")
    proof = (
        f"{payload['time']['utc']} UTC · components: {', '.join(payload['auth']['components'])} · content SHA-256"
        f" {payload['record']['content_sha256']}"
    )
    table = Table([[[Paragraph(line, body) for line in lines] + [Paragraph(_text(proof), small)]]], colWidths=["100%"])
    table.setStyle(
        TableStyle([("BOX", (0, 0), (-1, -1), 0.6, colors.HexColor("#17564d")), ("PADDING", (0, 0), (-1, -1), 6)])
    )
    return [table, Spacer(0, 3 * mm)]


def _entry(entry: Recorded, body: ParagraphStyle, small: ParagraphStyle) -> list[Flowable]:
    found = entry.body
    version = found["object"].get("version")
    head = (
        f"<b>{_text(found['actor']['name'])}</b> · {_text(found['action'])}{f' · version {version}' if version else ''}"
    )
    proof = "waits for the log" if entry.link.log_index is None else f"log entry {entry.link.log_index}"
    parts: list[Flowable] = [
        Paragraph(head, body),
        Paragraph(_text(f"{found['event']} · #{entry.link.seq} · {found['result']} · {proof}"), small),
    ]
    if (reason := found.get("reason")) and reason.get("text"):
        parts.append(Paragraph(f"<i>{_text(reason['text'])}</i>", body))
    rows = [
        [Paragraph(_text(str(change.get(side, "—"))), small) for side in ("path", "old", "new")]
        for change in found["change"]
    ]
    if rows:
        table = Table(
            [[Paragraph(word, small) for word in ("what", "old", "new")], *rows], colWidths=[35 * mm, 65 * mm, 72 * mm]
        )
        table.setStyle(
            TableStyle([("LINEBELOW", (0, 0), (-1, -1), 0.3, colors.grey), ("VALIGN", (0, 0), (-1, -1), "TOP")])
        )
        parts.append(table)
    return [*parts, Spacer(0, 3 * mm)]


def _styles() -> tuple[ParagraphStyle, ParagraphStyle]:
    font = _font()
    body = ParagraphStyle("body", parent=_STYLE["Normal"], fontName=font, fontSize=9, leading=12, splitLongWords=1)
    return body, ParagraphStyle("small", parent=body, fontSize=7, leading=9, textColor=colors.HexColor("#444444"))


def _heading(body: ParagraphStyle) -> ParagraphStyle:
    return ParagraphStyle("heading", parent=body, fontSize=16, leading=20)


def _font() -> str:
    # An embedded font shows every name as it is written; without the file only Latin-1 can be shown.
    try:
        pdfmetrics.registerFont(TTFont("DejaVuSans", _DEJAVU))
    except (TTFError, OSError):
        return "Helvetica"
    # Bold and italic by markup fall back to the regular face.
    pdfmetrics.registerFontFamily("DejaVuSans", "DejaVuSans", "DejaVuSans", "DejaVuSans", "DejaVuSans")
    return "DejaVuSans"


def _text(value: str) -> str:
    return escape(value)
