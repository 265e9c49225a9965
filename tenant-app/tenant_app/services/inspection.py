"""Opening what people upload, apart from the app and under hard limits: a hostile file ends a child process, not the app.

Files go in by a pipe and nothing of them touches a disk. `prlimit` bounds memory and processor time and lets no file be written;
the clock bounds the rest.
"""

import asyncio
import json
import logging
import shutil
import sys
from dataclasses import dataclass
from typing import Any

from tenant_app.domain.media import PDF
from tenant_app.errors import DependencyAway, InvalidInput, NotFound
from tenant_app.services.words import words_of
from tenant_app.settings import UploadsSection

log = logging.getLogger(__name__)
SECONDS = 20.0
MEMORY = 1024**3
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
_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a child ended. `code` is None when it was stopped for taking too long."""

    code: int | None
    output: bytes


class Inspection:
    """Checks PDFs and reads the words of contents."""

    def __init__(self, section: UploadsSection) -> None:
        self._section = section
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
        if found["findings"]:
            raise InvalidInput(
                f"The file claims to be PDF/A-{found['pdfa']} and is not: {'; '.join(found['findings'])}.", field="file"
            )
        if not self._section.pdfa_judge:
            return
        ended = await self._run(
            list(self._section.pdfa_judge), content, seconds=self._section.pdfa_judge_seconds, limited=False
        )
        if ended.code == 1:
            raise InvalidInput(
                f"The PDF/A validator refuses the file, which claims PDF/A-{found['pdfa']}.", field="file"
            )
        if ended.code != 0:
            raise DependencyAway("The PDF/A validator does not answer, so the file was not stored. Try again later.")

    async def _pdf_text(self, content: bytes) -> str:
        program = shutil.which("pdftotext")
        if program is None:
            log.info("pdftotext is not installed: the words of PDFs are not searched")
            return ""
        ended = await self._run([program, "-q", "-enc", "UTF-8", "-l", str(PAGES), "-", "-"], content)
        # What was read before a limit was met is worth finding too.
        return ended.output.decode("utf-8", errors="ignore")

    async def _run(
        self, command: list[str], content: bytes, *, seconds: float = 0, limited: bool = True, most: int = MAX_TEXT
    ) -> Ended:
        seconds = seconds or SECONDS
        # A validator such as veraPDF brings a virtual machine that reserves address space: only its time is bounded here.
        bounds = (
            ["prlimit", f"--as={MEMORY}", f"--cpu={max(1, int(seconds))}", "--core=0", "--fsize=0", "--"]
            if limited
            else []
        )
        async with self._turn:
            try:
                child = await asyncio.create_subprocess_exec(
                    *bounds,
                    *command,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.DEVNULL,
                )
            except OSError as error:
                raise DependencyAway("A program that checks files cannot be started. Nothing was stored.") from error
            try:
                async with asyncio.timeout(seconds * _PATIENCE):
                    _, output = await asyncio.gather(_feed(child, content), _drain(child, most))
                    return Ended(code=await child.wait(), output=output)
            except TimeoutError:
                return Ended(code=None, output=b"")
            finally:
                if child.returncode is None:
                    child.kill()
                    await child.wait()


async def _feed(child: asyncio.subprocess.Process, content: bytes) -> None:
    if child.stdin is None:
        return
    try:
        child.stdin.write(content)
        await child.stdin.drain()
        child.stdin.close()
        await child.stdin.wait_closed()
    except (BrokenPipeError, ConnectionResetError):
        # It ended without reading to the end; its exit code says why.
        return


async def _drain(child: asyncio.subprocess.Process, most: int) -> bytes:
    output = bytearray()
    while child.stdout is not None and (chunk := await child.stdout.read(_CHUNK)):
        # Read to the end, so that the child does not block, and keep no more than is used.
        if len(output) < most:
            output += chunk
    return bytes(output[:most])
