"""Small files that expand to large ones, made here."""

import io
import zipfile
import zlib

_PAGES = b"2 0 <</Type/Pages/Kids[3 0 R]/Count 1>>"


def deflated(mebibytes: int, first: bytes = b"") -> bytes:
    packer = zlib.compressobj(9)
    parts = [packer.compress(first)]
    parts += [packer.compress(b" " * (1 << 20)) for _ in range(mebibytes)]
    return b"".join([*parts, packer.flush()])


def pdf_with_object_stream(mebibytes: int, *, twice: bool = False) -> bytes:
    """A PDF whose page tree lies in an object stream of this size; `twice` compresses that stream again."""
    data, filters = deflated(mebibytes, _PAGES), b"/FlateDecode"
    if twice:
        data, filters = zlib.compress(data, 9), b"[" + b"/FlateDecode" * 2 + b"]"
    whole, at = b"%PDF-1.5\n", {}
    for number, body in (
        (1, b"<</Type/Catalog/Pages 2 0 R>>"),
        (3, b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>"),
        (5, b"<</Type/ObjStm/N 1/First 4/Filter %s/Length %d>>stream\n%s\nendstream" % (filters, len(data), data)),
    ):
        at[number] = len(whole)
        whole += b"%d 0 obj%s endobj\n" % (number, body)
    rows = [(0, 0, 255), (1, at[1], 0), (2, 5, 0), (1, at[3], 0), (0, 0, 0), (1, at[5], 0), (1, len(whole), 0)]
    table = b"".join(bytes([kind]) + where.to_bytes(4, "big") + bytes([index]) for kind, where, index in rows)
    head = b"6 0 obj<</Type/XRef/Size 7/W[1 4 1]/Root 1 0 R/Length %d>>stream\n" % len(table)
    return whole + head + table + b"\nendstream endobj\nstartxref\n%d\n%%%%EOF\n" % len(whole)


def office(mebibytes: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/document.xml", b" " * (mebibytes << 20))
    return out.getvalue()


def png_of(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is this large."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x06\x00\x00\x00"
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", deflated(1)) + chunk(b"IEND", b"")
