"""A program that opens one PDF from its standard input and tells, as JSON, what it found: `python -m tenant_app.inspector`.

It runs apart from the app and under limits (`services/inspection.py`), so that a hostile file can at most end this process.
The PDF/A findings are what can be told without a full validator: the claim in the XMP, and the causes of most refusals.
"""

import io
import json
import sys
from typing import Any

import pikepdf

from tenant_app.pdf_limits import limit_qpdf

limit_qpdf()
# Names whose presence PDF/A forbids in every part.
_ACTIVE = frozenset({"/JavaScript", "/Launch", "/Movie", "/Sound", "/ImportData", "/ResetForm"})
_MAX_FINDINGS = 8


def inspect(content: bytes) -> dict[str, Any]:
    """Return `problem` (None when the file is good), `pages`, the PDF/A claim and what contradicts it."""
    try:
        with pikepdf.open(io.BytesIO(content)) as pdf:
            if pdf.is_encrypted:
                return {"problem": "is encrypted, so it could not be read back years from now"}
            if not len(pdf.pages):
                return {"problem": "has no pages"}
            return {"problem": None, "pages": len(pdf.pages), "pdfa": _claim(pdf), "findings": _findings(pdf)}
    except pikepdf.PasswordError:
        return {"problem": "is encrypted with a password, so it could not be read back years from now"}
    except (pikepdf.PdfError, ValueError, RuntimeError, TypeError, KeyError, AttributeError):
        # The words of a parser may quote the file, and say little to people.
        return {"problem": "cannot be opened as a PDF"}


def _claim(pdf: pikepdf.Pdf) -> str | None:
    try:
        with pdf.open_metadata(set_pikepdf_as_editor=False, update_docinfo=False) as found:
            part, level = found.get("pdfaid:part"), found.get("pdfaid:conformance", "")
    except Exception:
        # lxml raises many kinds of errors over a broken XMP packet; each means that there is no readable claim.
        return None
    return f"{part}{str(level).lower()}" if part else None


def _findings(pdf: pikepdf.Pdf) -> list[str]:
    root = pdf.Root
    found = []
    if "/OutputIntents" not in root:
        found.append("it names no output intent")
    if "/ID" not in pdf.trailer:
        found.append("its trailer has no file identifier")
    if "/AcroForm" in root and "/XFA" in root.AcroForm:
        found.append("it holds an XFA form")
    for thing in pdf.objects:
        if isinstance(thing, pikepdf.Dictionary):
            finding = _of_dictionary(thing)
            if finding is not None and finding not in found:
                found.append(finding)
        if len(found) >= _MAX_FINDINGS:
            break
    return found


def _of_dictionary(thing: pikepdf.Dictionary) -> str | None:
    if str(thing.get("/S", "")) in _ACTIVE or "/JS" in thing:
        return "it holds an action that runs something"
    if str(thing.get("/Type", "")) == "/FontDescriptor" and not any(
        name in thing for name in ("/FontFile", "/FontFile2", "/FontFile3")
    ):
        return f"the font {str(thing.get('/FontName', '?'))[1:60]} is not embedded"
    # The standard fonts have no descriptor at all; PDF/A wants every font inside the file.
    if (
        str(thing.get("/Type", "")) == "/Font"
        and str(thing.get("/Subtype", "")) in {"/Type1", "/TrueType"}
        and "/FontDescriptor" not in thing
    ):
        return f"the font {str(thing.get('/BaseFont', '?'))[1:60]} is not embedded"
    return None


if __name__ == "__main__":
    json.dump(inspect(sys.stdin.buffer.read()), sys.stdout)
