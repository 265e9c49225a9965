"""A person of acme-pharma keeps a document through the browser, and it is nowhere in the clear; the log says who did what."""

import hashlib
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from tests.e2e.support import browser, disk, trail
from tests.e2e.support.local import cloister, password, until

pytestmark = pytest.mark.e2e
TENANT = "acme-pharma"
ANA = "ana.ruiz"


@pytest.fixture
def marker() -> str:
    """Something that is nowhere in the world yet."""
    return f"marker-{uuid.uuid4().hex}"


@pytest.fixture
def file(tmp_path, marker):
    """A document with the marker in its content and in its name."""
    path = tmp_path / f"stability {marker}.txt"
    path.write_bytes(f"Stability notes, month 6\nBatch {marker}: nothing unusual, 25 °C.\n".encode() * 20)
    return path


@pytest.mark.timeout(240)
def test_a_document_is_sealed_on_disk_comes_back_identical_and_every_step_is_on_record(file, marker, tmp_path):
    began = datetime.now(UTC) - timedelta(seconds=5)
    title = f"Stability notes {marker}"
    with browser.chromium(TENANT) as chromium:
        page = browser.visit(chromium, TENANT)
        browser.shot(_opened(page), "e2e-1-sign-in")
        browser.sign_in(page, ANA, password())
        assert "/sign-in" not in page.url, f"{ANA} was not let in: {page.locator('main').inner_text()}"
        browser.shot(page, "e2e-2-home")
        document = _upload(page, file, title)
        browser.shot(page, "e2e-4-document")
        page.goto("/documents")
        browser.shot(page, "e2e-5-list")
        page.get_by_role("link", name=title).first.click()
        with page.expect_download() as download:
            page.get_by_role("link", name="Download").first.click()
        assert download.value.path().read_bytes() == file.read_bytes(), "the download is not what was uploaded"
        assert download.value.suggested_filename == file.name
        page.get_by_role("link", name="Audit trail").click()
        page.get_by_role("heading", level=1).wait_for()
        browser.shot(page, "e2e-6-trail")
        phone = browser.visit(chromium, TENANT, width=390, height=844)
        browser.sign_in(phone, ANA, password())
        phone.goto(document)
        browser.shot(phone, "e2e-7-phone")
        overflow = phone.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert overflow <= 0, f"a phone has to scroll sideways, by {overflow} pixels"
    _is_nowhere_in_the_clear(marker)
    _is_on_record(file, document.rsplit("/", 1)[-1], title, began, tmp_path)
    said = cloister("audit", "verify", TENANT).expect().out
    assert "all proven" in said, said


def _opened(page):
    page.goto("/documents")
    page.get_by_role("button", name="Sign in").wait_for()
    return page


def _upload(page, file, title) -> str:
    page.goto("/upload")
    page.locator("input[type=file]").set_input_files(file)
    page.get_by_label("Title").fill(title)
    page.get_by_label("Kind").select_option("Report")
    page.get_by_label("Project").fill("E2E")
    browser.shot(page, "e2e-3-upload")
    page.get_by_role("button", name="Store version 1").click()
    page.wait_for_url("**/documents/*-*")
    page.get_by_role("heading", name=title).wait_for()
    return page.url


def _is_nowhere_in_the_clear(marker: str) -> None:
    """The marker of the document is in no file; another one, put there in the clear in each form, is found by the same scan."""
    assert disk.seen_on_disk(TENANT, marker) == set(), "the document lies on the volume in the clear, in these forms"
    control = f"marker-{uuid.uuid4().hex}"
    with disk.written_in_the_clear(TENANT, control):
        missed = disk.forms(control).keys() - disk.seen_on_disk(TENANT, control)
    assert not missed, f"the scan would not have found what is in the clear as {sorted(missed)}"
    assert disk.scratch_databases(TENANT) == [], "a scratch database is left"


def _is_on_record(file, document, title, began, folder) -> None:
    """The sign-in, the upload and the reads are in the log, with who, when, what, and what became of it."""
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    wanted = {"app:session:login", "app:document:create", "app:document:list", "app:document:export"}

    def look():
        found = [
            entry
            for entry in trail.entries(TENANT, folder)
            if _after(entry, began) and entry["actor"].get("name") == "Ana Ruiz"
        ]
        return found if wanted <= {entry["action"] for entry in found} else None

    found = until(f"{', '.join(sorted(wanted))} by Ana Ruiz in the log of {TENANT}", look, 45, every=2)
    (created,) = [
        entry for entry in found if entry["action"] == "app:document:create" and entry["object"]["id"] == document
    ]
    assert created["object"]["sha256"] == sha256
    assert created["object"]["version"] == "1"
    assert title in created["values"].values(), created["values"]
    reads = [entry for entry in found if entry["object"]["id"] == document and entry["action"] == "app:document:export"]
    assert reads, "the download of the document is not on record"
    for entry in (created, *reads):
        assert entry["actor"]["type"] == "user"
        assert entry["actor"]["sub"], "nobody is named"
        assert entry.get("result", "ok") == "ok"
        assert entry["t"]["event"] <= entry["t"]["recv"], "recorded before it happened"
    (logins,) = {entry["actor"]["sub"] for entry in found if entry["action"] == "app:session:login"}
    assert logins == created["actor"]["sub"]


def _after(entry, began) -> bool:
    return datetime.fromisoformat(entry["t"]["event"]) >= began


@pytest.mark.timeout(120)
def test_a_wrong_password_and_a_person_of_another_tenant_are_refused_alike_and_recorded(tmp_path):
    began = datetime.now(UTC) - timedelta(seconds=5)
    stranger = f"nobody.{uuid.uuid4().hex[:8]}"  # a person of its own each time, so that no delay builds up
    said = {}
    with browser.chromium(TENANT) as chromium:
        for person, word in ((ANA, "not the password"), ("eva.lind", password()), (stranger, password())):
            page = browser.visit(chromium, TENANT)
            browser.sign_in(page, person, word)
            assert "/sign-in" in page.url, f"{person} was let in"
            said[person] = page.get_by_role("alert").inner_text()
            browser.shot(page, f"e2e-8-refused-{person.split('.')[0]}")
            page.goto("/documents")
            assert "/sign-in" in page.url, f"{person} got to the documents"
        page = browser.visit(chromium, TENANT)
        browser.sign_in(page, ANA, password())  # the right one is taken at once, and ends the count of wrong ones
        assert "/sign-in" not in page.url
    assert len({text for who, text in said.items() if who != "eva.lind"}) == 1, f"the message tells who exists: {said}"
    tried = {ANA, "eva.lind", stranger}

    def look():
        found = [
            entry
            for entry in trail.entries(TENANT, tmp_path)
            if entry["action"] == "app:session:failure" and _after(entry, began)
        ]
        return found if {entry["actor"]["name"] for entry in found} >= tried else None

    found = until(f"refused sign-ins of {sorted(tried)} in the log", look, 45, every=2)
    assert {entry["result"] for entry in found} == {"denied"}
