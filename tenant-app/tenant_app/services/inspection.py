"""Opening what people upload, apart from the app and under hard limits: a hostile file ends a child process, not the app."""

import asyncio
import json
import logging
import shutil
import sys
from typing import Any

from tenant_app.adapters import children
from tenant_app.adapters.children import Ended
from tenant_app.adapters.pdfa import judge_of
from tenant_app.domain.media import PDF
from tenant_app.domain.pdfa import FLAVOURS
from tenant_app.errors import InvalidInput, NotFound
from tenant_app.services.words import words_of
from tenant_app.settings import UploadsSection

log = logging.getLogger(__name__)
SECONDS = 20.0
PAGES = 1000
# What a text may be at most, and how many of its different words are searched in.
MAX_TEXT = 4 * 1024 * 1024
MAX_WORDS = 20_000
# A page is drawn with its longer side of this many pixels, and its picture may have so many bytes.
PICTURE = 1400
MAX_PICTURE = 32 * 1024 * 1024
# The clock gives a child this many times its processor seconds: a busy machine is no reason to refuse a file.
_PATIENCE = 3
_AT_ONCE = 2


class Inspection:
    """Checks PDFs and reads the words of contents."""

    def __init__(self, section: UploadsSection) -> None:
        self._section = section
        self._judge = judge_of(section)
        self._turn = asyncio.Semaphore(_AT_ONCE)

    async def check(self, media_type: str, content: bytes, kind: str) -> int:
        """Return an upload's number of pages (0: no PDF) when it may be stored as this kind of document.

        Raises InvalidInput saying what is wrong with the file, and DependencyAway when the PDF/A judge does not answer.
        """
        if media_type != PDF:
            return 0
        found = await self._inspect(content)
        if found["problem"] is not None:
            raise InvalidInput(f"The file {found['problem']}, although its name ends in .pdf.", field="file")
        if kind in self._section.pdfa_for or "*" in self._section.pdfa_for:
            await self._check_pdfa(content, found, kind)
        return int(found["pages"])

    async def words(self, media_type: str, content: bytes) -> str:
        """Return the different words of a PDF or a text, in one string; empty when there are none or they cannot be read."""
        if media_type == PDF:
            text = await self._pdf_text(content)
        elif media_type.startswith("text/") or media_type in {"application/json", "application/xml"}:
            text = content[:MAX_TEXT].decode("utf-8", errors="ignore")
        else:
            return ""
        different = await asyncio.to_thread(lambda: dict.fromkeys(words_of(text)))
        return " ".join(list(different)[:MAX_WORDS])

    async def picture(self, content: bytes, page: int) -> bytes:
        """Return one page of a PDF as a PNG, drawn apart from the app. Raises NotFound when there is no such page."""
        program = shutil.which("pdftoppm")
        if program is None:
            raise NotFound("PDFs are not drawn here. Open the file itself.")
        number = str(page)
        command = [program, "-png", "-f", number, "-l", number, "-scale-to", str(PICTURE), "-"]
        ended = await self._run(command, content, most=MAX_PICTURE)
        if ended.code != 0 or not ended.output.startswith(b"\x89PNG"):
            raise NotFound("There is no such page, or it cannot be drawn. Open the file itself.")
        return ended.output

    async def _inspect(self, content: bytes) -> dict[str, Any]:
        ended = await self._run([sys.executable, "-B", "-m", "tenant_app.inspector"], content)
        if ended.code == 0:
            found: dict[str, Any] = json.loads(ended.output)
            return found
        log.warning("a PDF could not be inspected: the inspector ended with %s", ended.code)
        return {"problem": "takes more memory or time to open than any ordinary PDF"}

    async def _check_pdfa(self, content: bytes, found: dict[str, Any], kind: str) -> None:
        if found["pdfa"] is None:
            raise InvalidInput(
                f"A {kind.lower()} must be PDF/A here, and this PDF does not claim to be. Save it as PDF/A.",
                field="file",
            )
        if found["pdfa"] not in FLAVOURS:
            raise InvalidInput(
                f"The file claims to be PDF/A-{str(found['pdfa'])[:8]}, which does not exist. There are PDF/A-"
                f"{', '.join(FLAVOURS)}.",
                field="file",
            )
        if self._judge is None:
            if found["findings"]:
                raise InvalidInput(
                    f"The file claims to be PDF/A-{found['pdfa']} and is not: {'; '.join(found['findings'])}.",
                    field="file",
                )
            return
        # A validator decides alone: it knows the exceptions to each rule, and gives the clause.
        verdict = await self._judge.judge(content, found["pdfa"])
        if not verdict.compliant:
            raise InvalidInput(verdict.refusal(found["pdfa"]), field="file")

    async def _pdf_text(self, content: bytes) -> str:
        program = shutil.which("pdftotext")
        if program is None:
            log.info("pdftotext is not installed: the words of PDFs are not searched")
            return ""
        ended = await self._run([program, "-q", "-enc", "UTF-8", "-l", str(PAGES), "-", "-"], content)
        # What was read before a limit was met is worth finding too.
        return ended.output.decode("utf-8", errors="ignore")

    async def _run(
        self, command: list[str], content: bytes, *, seconds: float = 0, most: int = children.MAX_OUTPUT
    ) -> Ended:
        seconds = seconds or SECONDS
        async with self._turn:
            bounded = children.limited(command, seconds=seconds)
            return await children.run(bounded, content, clock=seconds * _PATIENCE, most=most)
