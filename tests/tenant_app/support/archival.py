"""PDF/A files made here, as a word processor would: text in an embedded font, a colour profile, metadata."""

import io

import pikepdf
from PIL.ImageCms import ImageCmsProfile, createProfile
from reportlab.lib.pagesizes import A4
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

DEJAVU = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"


def archival(*, cmyk: bool = False, part: str = "2") -> bytes:
    """Return a PDF/A-2b, whatever `part` it claims to be of; with `cmyk`, one that only says so.

    Its text is then in DeviceCMYK under an RGB output intent, which ISO 19005-2, 6.2.4.3 forbids: nothing that can be seen in
    the objects, only in what the page draws.
    """
    pdfmetrics.registerFont(TTFont("DejaVuSans", DEJAVU))
    drawn = io.BytesIO()
    canvas = Canvas(drawn, pagesize=A4, invariant=True, initialFontName="DejaVuSans")
    canvas.setTitle("Stability of zolpidem")
    if cmyk:
        canvas.setFillColorCMYK(0.9, 0.1, 0.1, 0.2)
    else:
        canvas.setFillColorRGB(0.1, 0.1, 0.3)
    canvas.drawString(72, 760, "Stability of zolpidem over 36 months")
    canvas.save()
    out = io.BytesIO()
    with pikepdf.open(drawn) as pdf:
        profile = pdf.make_stream(ImageCmsProfile(createProfile("sRGB")).tobytes(), N=3)
        intent = pikepdf.Dictionary(
            Type=pikepdf.Name.OutputIntent,
            S=pikepdf.Name.GTS_PDFA1,
            OutputConditionIdentifier=pikepdf.String("sRGB"),
            DestOutputProfile=profile,
        )
        pdf.Root.OutputIntents = pikepdf.Array([pdf.make_indirect(intent)])
        del pdf.docinfo
        with pdf.open_metadata(set_pikepdf_as_editor=False, update_docinfo=False) as metadata:
            metadata["dc:title"] = "Stability of zolpidem"
            metadata["pdfaid:part"] = part
            metadata["pdfaid:conformance"] = "B"
        pdf.save(out, deterministic_id=True)
    return out.getvalue()
