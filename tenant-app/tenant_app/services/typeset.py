"""Setting records as pages: fonts, signatures and entries, the same in every PDF that leaves (11.50(b), AT-28, AT-54, AT-58)."""

import io
from datetime import UTC, datetime
from typing import Any
from xml.sax.saxutils import escape
from zoneinfo import ZoneInfo

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle, getSampleStyleSheet
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFError, TTFont
from reportlab.platypus import Flowable, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from tenant_app.domain.delegation import signed_by
from tenant_app.services.progress import Signature
from tenant_app.services.recorder import Recorded

_DEJAVU = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"
_STYLE = getSampleStyleSheet()
_GREEN, _MARK = colors.HexColor("#17564d"), colors.HexColor("#fdf1cf")
MARGIN = 18 * mm


class Typesetter:
    """Makes flowables in one look. Times are UTC, with the tenant's own zone beside them where it has another."""

    def __init__(self, zone: str) -> None:
        font = _font()
        self.body = ParagraphStyle(
            "body", parent=_STYLE["Normal"], fontName=font, fontSize=9, leading=12, splitLongWords=1
        )
        self.small = ParagraphStyle(
            "small", parent=self.body, fontSize=7, leading=9, textColor=colors.HexColor("#444444")
        )
        self._zone = ZoneInfo(zone)
        self._named = zone

    def time(self, moment: datetime) -> str:
        """Return a time to the second with its zone, never ambiguous (AT-58)."""
        utc = moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        if self._named == "UTC":
            return utc
        return f"{utc} ({moment.astimezone(self._zone):%Y-%m-%d %H:%M:%S %z} {self._named})"

    def zones(self) -> str:
        """Return the words that say how times are printed."""
        return "all times in UTC" if self._named == "UTC" else f"all times in UTC and in {self._named}"

    def heading(self, words: str, size: int = 16) -> Flowable:
        """Return a heading."""
        style = ParagraphStyle(f"heading{size}", parent=self.body, fontSize=size, leading=size + 4, spaceAfter=4)
        return Paragraph(text(words), style)

    def line(self, words: str) -> Flowable:
        """Return a line of ordinary text."""
        return Paragraph(text(words), self.body)

    def fine(self, words: str) -> Flowable:
        """Return a line of small text."""
        return Paragraph(text(words), self.small)

    def facts(self, rows: list[tuple[str, str]]) -> Flowable:
        """Return names and values in two columns."""
        table = Table([[self.fine(name), self.line(value)] for name, value in rows], colWidths=[38 * mm, 134 * mm])
        table.setStyle(TableStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), ("BOTTOMPADDING", (0, 0), (-1, -1), 2)]))
        return table

    def signature(self, each: Signature) -> list[Flowable]:
        """Return a signature with everything that 11.50(a) asks for, and how the person was proven."""
        payload = each.payload
        signer, meaning = payload["signer"], payload["meaning"]
        revoked = " (REVOKED by a later signed record)" if each.revoked else ""
        lines = [
            Paragraph(f"<b>{text(signed_by(payload))}</b>", self.body),
            *([self.line(signer["title"])] if signer.get("title") else []),
            self.line(self.time(_moment(payload["time"]["utc"]))),
            self.line(f"Meaning: {meaning['code']}{revoked}, version {each.version}"),
            self.line(f"“{meaning['statement']}”"),
            *([self.line(f"Reason: {payload['reason']}")] if payload["reason"] else []),
            *self._covers(payload.get("trail_review")),
            self.fine(f"Components: {', '.join(payload['auth']['components'])} · signature {payload['sig_id']}"),
            self.fine(f"Content SHA-256 {payload['record']['content_sha256']}"),
        ]
        table = Table([[lines]], colWidths=["100%"])
        table.setStyle(TableStyle([("BOX", (0, 0), (-1, -1), 0.6, _GREEN), ("PADDING", (0, 0), (-1, -1), 6)]))
        return [table, Spacer(0, 3 * mm)]

    def _covers(self, trail: dict[str, Any] | None) -> list[Flowable]:
        if trail is None:
            return []
        words = f"Reviewed: {trail['entries']} entries, #{trail['first']} to #{trail['last']}"
        return [
            self.line(words),
            self.fine(f"Trail SHA-256 {trail['sha256']} · chain at the last entry {trail['hash']}"),
        ]

    def entry(self, entry: Recorded) -> list[Flowable]:
        """Return an entry; a value that was another before is marked, so that a change is seen in print (AT-54)."""
        found = entry.body
        version = found["object"].get("version")
        head = f"<b>{text(found['actor']['name'])}</b> · {text(found['action'])}{f' · version {version}' if version else ''}"
        proof = "waits for the log" if entry.link.log_index is None else f"log entry {entry.link.log_index}"
        parts: list[Flowable] = [
            Paragraph(head, self.body),
            self.fine(f"{self.time(entry.link.at)} · #{entry.link.seq} · {found['result']} · {proof}"),
        ]
        if (reason := found.get("reason")) and reason.get("text"):
            parts.append(Paragraph(f"<i>{text(reason['text'])}</i>", self.body))
        if found["change"]:
            parts.append(self._changes(found["change"]))
        return [*parts, Spacer(0, 3 * mm)]

    def _changes(self, changes: list[dict[str, Any]]) -> Flowable:
        rows = [[self.fine(word) for word in ("what", "old", "new", "")]]
        style: list[tuple[Any, ...]] = [
            ("LINEBELOW", (0, 0), (-1, -1), 0.3, colors.grey),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ]
        for change in changes:
            changed = "old" in change and change.get("old") != change.get("new")
            values = [str(change.get(side, "—")) for side in ("path", "old", "new")]
            rows.append([self.fine(value) for value in (*values, "▲ changed" if changed else "")])
            if changed:
                style.append(("BACKGROUND", (0, len(rows) - 1), (-1, len(rows) - 1), _MARK))
        table = Table(rows, colWidths=[32 * mm, 58 * mm, 62 * mm, 20 * mm])
        table.setStyle(TableStyle(style))
        return table

    def pages(self, parts: list[Flowable], *, title: str, author: str, foot: str) -> bytes:
        """Return a PDF of the parts, each page with its number, what it belongs to, and when it was made."""
        out = io.BytesIO()
        made = self.time(datetime.now(UTC))
        template = SimpleDocTemplate(
            out, pagesize=A4, title=title, author=author, leftMargin=MARGIN, rightMargin=MARGIN, bottomMargin=MARGIN
        )

        def footer(canvas: Any, page: Any) -> None:  # reportlab's own types are untyped
            canvas.saveState()
            canvas.setFont(self.body.fontName, 7)
            canvas.drawString(MARGIN, 10 * mm, f"{foot} · made {made} · page {page.page}")
            canvas.restoreState()

        template.build(parts, onFirstPage=footer, onLaterPages=footer)
        return out.getvalue()


def text(value: str) -> str:
    """Return words as reportlab's markup shows them."""
    return escape(value)


def _moment(stamp: str) -> datetime:
    return datetime.fromisoformat(stamp)


def _font() -> str:
    # An embedded font shows every name as it is written; without the file only Latin-1 can be shown.
    try:
        pdfmetrics.registerFont(TTFont("DejaVuSans", _DEJAVU))
    except (TTFError, OSError):
        return "Helvetica"
    # Bold and italic by markup fall back to the regular face.
    pdfmetrics.registerFontFamily("DejaVuSans", "DejaVuSans", "DejaVuSans", "DejaVuSans", "DejaVuSans")
    return "DejaVuSans"
