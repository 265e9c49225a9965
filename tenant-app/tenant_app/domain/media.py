"""What a file really is. The name's ending declares a type; the bytes must agree (11.10(h), AT-21)."""

import io
import re
import unicodedata
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

from tenant_app.errors import InvalidInput

PDF = "application/pdf"
MAX_NAME = 180
MAX_ZIP_MEMBERS = 20_000
MAX_ZIP_RATIO = 200
MAX_ZIP_TOTAL = 2 * 1024**3
_UNSAFE = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]+')


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaType:
    """A type that the platform accepts. `inline` types may be shown in the browser; none of them can run scripts there."""

    name: str
    label: str
    check: Callable[[bytes], str | None]
    inline: bool = False


def _starts(magic: bytes, label: str) -> Callable[[bytes], str | None]:
    def check(content: bytes) -> str | None:
        return None if content.startswith(magic) else f"does not begin like {label}"

    return check


def _check_pdf(content: bytes) -> str | None:
    # Whether it opens is found out by a process of its own (`services/inspection.py`): a parser is no place for trust.
    return None if b"%PDF-" in content[:1024] else "does not begin like a PDF"


def _check_text(content: bytes) -> str | None:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return "is not UTF-8 text"
    return "holds bytes that are not text" if "\x00" in text else None


def _check_office(content: bytes) -> str | None:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return "cannot be opened as an Office document"
    if "[Content_Types].xml" not in {member.filename for member in members}:
        return "is an archive, not an Office document"
    total = sum(member.file_size for member in members)
    # Only the directory is read, never the members, so a bomb costs nothing here and is turned away for whoever opens it.
    if len(members) > MAX_ZIP_MEMBERS or total > MAX_ZIP_TOTAL or total > MAX_ZIP_RATIO * max(len(content), 1):
        return "expands to far more than its size"
    return None


_OFFICE = "application/vnd.openxmlformats-officedocument."
ACCEPTED = {
    ".pdf": MediaType(name=PDF, label="PDF", check=_check_pdf, inline=True),
    ".png": MediaType(name="image/png", label="PNG image", check=_starts(b"\x89PNG\r\n\x1a\n", "a PNG"), inline=True),
    ".jpg": MediaType(name="image/jpeg", label="JPEG image", check=_starts(b"\xff\xd8\xff", "a JPEG"), inline=True),
    ".txt": MediaType(name="text/plain", label="Text", check=_check_text, inline=True),
    ".csv": MediaType(name="text/csv", label="CSV table", check=_check_text),
    ".xml": MediaType(name="application/xml", label="XML", check=_check_text),
    ".json": MediaType(name="application/json", label="JSON", check=_check_text),
    ".docx": MediaType(name=_OFFICE + "wordprocessingml.document", label="Word document", check=_check_office),
    ".xlsx": MediaType(name=_OFFICE + "spreadsheetml.sheet", label="Excel workbook", check=_check_office),
    ".pptx": MediaType(name=_OFFICE + "presentationml.presentation", label="PowerPoint", check=_check_office),
}
ACCEPTED[".jpeg"] = ACCEPTED[".jpg"]
BY_NAME = {media.name: media for media in ACCEPTED.values()}


def recognise(file_name: str, content: bytes) -> MediaType:
    """Return the type of an upload.

    Raises InvalidInput when it is empty, of no accepted type, or not what its name says.
    """
    if not content:
        raise InvalidInput("The file is empty.", field="file")
    ending = PurePosixPath(file_name.lower()).suffix
    media = ACCEPTED.get(ending)
    if media is None:
        kinds = ", ".join(sorted(ACCEPTED))
        raise InvalidInput(f"Files of this type are not accepted. Accepted: {kinds}.", field="file")
    problem = media.check(content)
    if problem is not None:
        raise InvalidInput(f"The file {problem}, although its name ends in {ending}.", field="file")
    return media


def safe_file_name(given: str) -> str:
    """Return the last part of a name that a browser sent, fit for every file system and header.

    Raises InvalidInput when nothing usable is left.
    """
    name = unicodedata.normalize("NFC", given).replace("\\", "/").rsplit("/", 1)[-1]
    name = "".join(
        char for char in _UNSAFE.sub("_", name) if unicodedata.category(char) not in {"Cf", "Cs", "Co", "Cc"}
    )
    name = name.strip(" .")
    stem, dot, ending = name.rpartition(".")
    if not dot or not stem.strip(" ._"):
        raise InvalidInput("The file needs a name and an ending, such as protocol.pdf.", field="file")
    while len(name.encode()) > MAX_NAME:
        stem = stem[:-1]
        name = f"{stem}.{ending}"
    return name
