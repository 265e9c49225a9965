"""A claim of PDF/A is decided by the real veraPDF, beside the app and as a service of its own (11.10(b), docs/adr/0011)."""

import contextlib
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tenant_app.domain.media import PDF
from tenant_app.domain.pdfa import Verdict
from tenant_app.errors import DependencyAway, InvalidInput
from tenant_app.inspector import inspect
from tenant_app.services.inspection import Inspection
from tenant_app.settings import Settings, UploadsSection
from tests.support.verapdf import verapdf
from tests.tenant_app.support.archival import archival
from tests.tenant_app.support.processes import free_port, running
from tests.tenant_app.support.site import Site
from tests.tenant_app.test_serve import ENVIRONMENT

# A Java virtual machine starts in a second; on a busy machine in many.
SECONDS = 300
RULE = "ISO 19005-2:2011, clause 6.2.4.3, test 3: DeviceCMYK shall only be used if"


@pytest.fixture(scope="session")
def command() -> tuple[str, ...]:
    return ("sh", str(verapdf()), "{flavour}")


@contextlib.contextmanager
def served(folder: Path, authority, command, *, seconds: float = SECONDS, max_bytes: int = 1024**2) -> Iterator[str]:
    """Serve the validator as its pod does; give the address."""
    pair, port = authority.issue("pdfa-judge"), free_port()
    arguments = ["--cert-file", str(pair.cert), "--key-file", str(pair.key), "--port", str(port)]
    bounds = ["--seconds", str(seconds), "--max-bytes", str(max_bytes)]
    program = [sys.executable, "-m", "tenant_app.judge", *arguments, *bounds, "--", *command]
    with running(program, folder / f"judge-{port}.log", port, seconds=120, env=ENVIRONMENT):
        yield f"https://localhost:{port}/"


@pytest.fixture(scope="session")
def judge(ground, authority, command) -> Iterator[str]:
    with served(ground, authority, command) as address:
        yield address


def asks(authority, address: str, *, seconds: float = SECONDS) -> UploadsSection:
    return UploadsSection(
        pdfa_for=("Report",), pdfa_judge_url=address, pdfa_judge_ca_file=authority.ca, pdfa_judge_seconds=seconds
    )


@pytest.fixture
def fresh(fresh: Settings, authority, judge) -> Settings:
    return fresh.model_copy(update={"uploads": asks(authority, judge)})


def stored(server, fresh: Settings) -> int:
    with server.admin(fresh.database.name) as conn:
        return conn.execute("SELECT (SELECT count(*) FROM documents) + (SELECT count(*) FROM versions)").fetchone()[0]


async def test_at05_a_genuine_pdfa_is_stored_and_a_false_one_is_refused_with_verapdfs_own_rule(
    site: Site, server, fresh
):
    alice = await site.as_("alice")
    false = archival(cmyk=True)
    # What the library in the app's process looks at is the same in both: only a validator tells them apart.
    assert inspect(false)["findings"] == inspect(archival())["findings"] == []
    refused = await alice.upload(false, "stability.pdf", "Stability")
    assert refused.status_code == 422
    assert "claims to be PDF/A-2b, and the PDF/A validator finds that it is not" in refused.text
    assert RULE in refused.text
    assert stored(server, fresh) == 0
    await alice.uploaded(archival(), "stability.pdf", "Stability")
    assert stored(server, fresh) == 2


async def test_without_a_verdict_in_time_nothing_is_stored(site: Site, server, fresh, ground, authority, command):
    alice = await site.as_("alice")
    with served(ground, authority, command, seconds=0.1) as slow:
        for section in (asks(authority, slow), asks(authority, fresh.uploads.pdfa_judge_url, seconds=0.1)):
            site.app.documents._inspection = Inspection(section)
            answer = await alice.upload(archival(), "stability.pdf", "Stability")
            assert answer.status_code == 503
            assert "The PDF/A validator does not answer, so the file was not stored" in answer.text
    assert stored(server, fresh) == 0


async def test_a_validator_that_cannot_be_asked_or_is_another_lets_nothing_through(authority, judge, tmp_path):
    from tests.tenant_app.support.certificates import Authority

    stranger = Authority(tmp_path / "pki")
    for section in (asks(authority, f"https://localhost:{free_port()}/"), asks(stranger, judge)):
        with pytest.raises(DependencyAway):
            await Inspection(section).check(PDF, archival(), "Report")


async def test_beside_the_app_verapdf_gives_the_same_verdicts(command):
    beside = Inspection(UploadsSection(pdfa_for=("*",), pdfa_judge=command, pdfa_judge_seconds=SECONDS))
    assert await beside.check(PDF, archival(), "Report") == 1
    with pytest.raises(InvalidInput, match=RULE):
        await beside.check(PDF, archival(cmyk=True), "Report")
    hurried = Inspection(UploadsSection(pdfa_for=("*",), pdfa_judge=command, pdfa_judge_seconds=0.1))
    with pytest.raises(DependencyAway):
        await hurried.check(PDF, archival(), "Report")


def test_the_service_answers_garbage_and_wrong_questions_in_words(authority, ground, judge, command):
    with httpx.Client(verify=ssl.create_default_context(cafile=authority.ca), timeout=SECONDS) as http:
        garbage = http.post(judge, params={"flavour": "2b"}, content=b"garbage")
        assert (garbage.status_code, Verdict.of_json(garbage.content)) == (
            200,
            Verdict(compliant=False, readable=False),
        )
        # The same file under another part of the standard: the flavour is the caller's, not the file's.
        other = Verdict.of_json(http.post(judge, params={"flavour": "1b"}, content=archival()).content)
        assert not other.compliant
        assert {rule.specification for rule in other.rules} == {"ISO 19005-1:2005"}
        assert http.post(judge, params={"flavour": "2b; id"}, content=archival()).status_code == 400
        assert http.get(judge + "healthz").text == "ok\n"
        with served(ground, authority, command, max_bytes=100) as small:
            assert http.post(small, params={"flavour": "2b"}, content=archival()).status_code == 413


@pytest.mark.parametrize(
    "script",
    [
        # Killed for its memory; two verdicts that contradict each other; no report of one file.
        "kill -9 $$",
        """echo '{"report":{"jobs":[{"validationResult":[{"compliant":true,"details":{"ruleSummaries":[]}}]}]}}'; exit 1""",
        """echo '{"report":{"jobs":[]}}'; exit 0""",
    ],
)
async def test_what_is_no_verdict_is_none(script):
    judged = Inspection(UploadsSection(pdfa_for=("*",), pdfa_judge=("sh", "-c", f"cat >/dev/null; {script}")))
    with pytest.raises(DependencyAway):
        await judged.check(PDF, archival(), "Report")


async def test_a_flavour_that_does_not_exist_reaches_no_command_line(tmp_path):
    told = tmp_path / "told"
    command = ("sh", "-c", f"cat >/dev/null; echo x > {told}")
    odd = archival(part="9")
    assert inspect(odd)["pdfa"] == "9b"
    with pytest.raises(InvalidInput, match="claims to be PDF/A-9b, which does not exist"):
        await Inspection(UploadsSection(pdfa_for=("*",), pdfa_judge=command)).check(PDF, odd, "Report")
    assert not told.exists()


def test_a_refusal_is_bounded_however_many_rules_are_broken(command):
    from tests.tenant_app.support.documents import sample_pdf

    # No claim, no profile, no fonts.
    plain = sample_pdf("x", ["y"])
    done = subprocess.run([*command[:2], "1b"], input=plain, capture_output=True, check=False, timeout=SECONDS)
    verdict = Verdict.of_report(done.stdout)
    clauses = [rule.clause for rule in verdict.rules]
    assert len(clauses) > 4
    assert clauses == sorted(clauses, key=lambda clause: [int(part) for part in clause.split(".")])
    words = verdict.refusal("1b")
    assert len(words) < 1200
    assert words.endswith(f"{len(clauses) - 3} more rules broken.")


def test_both_ways_to_a_validator_at_once_are_refused():
    with pytest.raises(ValueError, match="pdfaJudge or pdfaJudgeUrl, not both"):
        UploadsSection(pdfa_judge=("verapdf",), pdfa_judge_url="https://judge.example")
    with pytest.raises(ValueError, match="should match pattern"):
        UploadsSection(pdfa_judge_url="http://judge.example")
