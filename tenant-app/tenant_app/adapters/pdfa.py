"""PDF/A validators: a program beside the app, or one that answers HTTPS in a pod of its own (docs/adr/0011)."""

import asyncio
import logging
import ssl
from collections.abc import Sequence

import httpx

from tenant_app.adapters import children
from tenant_app.adapters.ports import PdfaJudge
from tenant_app.domain.media import PDF
from tenant_app.domain.pdfa import Verdict
from tenant_app.errors import DependencyAway
from tenant_app.settings import UploadsSection

log = logging.getLogger(__name__)
COMPLIANT, NOT_COMPLIANT, NOT_PARSED = 0, 1, 7
"""veraPDF's exit codes that are verdicts (its `ExitCodes`); every other says that there is none."""
FLAVOUR = "{flavour}"
_AWAY = "The PDF/A validator does not answer, so the file was not stored. Try again later."


def judge_of(section: UploadsSection) -> PdfaJudge | None:
    """Return the validator that the configuration names, or None."""
    if section.pdfa_judge_url:
        return ServiceJudge(section)
    if section.pdfa_judge:
        return CommandJudge(section.pdfa_judge, seconds=section.pdfa_judge_seconds)
    return None


class CommandJudge:
    """Runs veraPDF's command line, or a program that ends like it, once a file (port `PdfaJudge`).

    The program reads the PDF from standard input; `{flavour}` in its arguments becomes the claimed one. Its address space is
    not bounded here, because a Java virtual machine reserves more than it uses; its own options bound it, and the clock.
    """

    def __init__(self, command: Sequence[str], *, seconds: float, at_once: int = 1) -> None:
        self._command = command
        self._seconds = seconds
        self._turn = asyncio.Semaphore(at_once)

    async def judge(self, content: bytes, flavour: str) -> Verdict:
        """See `PdfaJudge.judge`. The seconds count the wait for a turn too."""
        command = [word.replace(FLAVOUR, flavour) for word in self._command]
        try:
            async with asyncio.timeout(self._seconds), self._turn:
                ended = await children.run(command, content, clock=self._seconds)
        except TimeoutError as error:
            log.warning("the PDF/A validator took longer than %.0f s", self._seconds)
            raise DependencyAway(_AWAY) from error
        return _verdict(ended)


def _verdict(ended: children.Ended) -> Verdict:
    if ended.code == NOT_PARSED:
        return Verdict(compliant=False, readable=False)
    if ended.code not in {COMPLIANT, NOT_COMPLIANT}:
        log.warning("the PDF/A validator ended with %s, which is no verdict", ended.code)
        raise DependencyAway(_AWAY)
    said = Verdict(compliant=ended.code == COMPLIANT)
    if not ended.output.strip():
        return said
    try:
        found = Verdict.of_report(ended.output)
    except ValueError as error:
        log.warning("the PDF/A validator's report cannot be read: %s", error)
        raise DependencyAway(_AWAY) from error
    if found.compliant != said.compliant:
        log.warning("the PDF/A validator's report and its exit code %s contradict each other", ended.code)
        raise DependencyAway(_AWAY)
    return found


class ServiceJudge:
    """Asks the validator's own service, `tenant_app.judge` (port `PdfaJudge`)."""

    def __init__(self, section: UploadsSection) -> None:
        self._section = section

    async def judge(self, content: bytes, flavour: str) -> Verdict:
        """See `PdfaJudge.judge`."""
        section = self._section
        try:
            context = ssl.create_default_context(cafile=section.pdfa_judge_ca_file)
            async with (
                asyncio.timeout(section.pdfa_judge_seconds),
                httpx.AsyncClient(timeout=section.pdfa_judge_seconds, verify=context, trust_env=False) as http,
            ):
                answer = await http.post(
                    section.pdfa_judge_url,
                    params={"flavour": flavour},
                    content=content,
                    headers={"Content-Type": PDF},
                )
            if answer.status_code == httpx.codes.OK:
                return Verdict.of_json(answer.content)
        except (httpx.HTTPError, OSError, TimeoutError, ValueError) as error:
            log.warning("the PDF/A validator's service does not answer: %s", type(error).__name__)
            raise DependencyAway(_AWAY) from error
        log.warning("the PDF/A validator's service answered %s", answer.status_code)
        raise DependencyAway(_AWAY)
