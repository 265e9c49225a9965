"""A document's whole life in Chromium: upload, remark, reject, new version, review, approve, publish, as four people."""

import re

import pytest

from tenant_app import factory
from tenant_app.adapters.directory import LdapDirectory
from tests.tenant_app.support import people
from tests.tenant_app.support.chromium import chromium, new_page, sign_in
from tests.tenant_app.support.documents import sample_pdf
from tests.tenant_app.support.live import served, shots


@pytest.fixture
def address(fresh, keys, audit):
    ports = factory.Ports(keys=keys, directory=LdapDirectory(fresh.ldap), audit=audit)
    with served(fresh, ports) as found:
        yield found


def sign(page, uid, step, *, name=True, reason="", shot=None):
    page.get_by_role("link", name=step, exact=True).click()
    if name:
        page.get_by_label("Your name").fill(uid)
    page.get_by_label("Password").fill(people.password(uid))
    if reason:
        page.get_by_label("Reason").fill(reason)
    if shot:
        drawn(page)
        page.screenshot(path=shot, full_page=True)
    page.get_by_role("button", name=step).click()
    page.wait_for_url(re.compile(r"/documents/[0-9a-f-]{36}$"))


def drawn(page):
    """Wait until the document's first page is drawn."""
    sheets = page.locator(".sheet")
    sheets.first.scroll_into_view_if_needed()
    for _ in range(200):  # the page's own policy forbids what `wait_for_function` evaluates
        if sheets.evaluate_all("all => all.every(each => each.complete && each.naturalWidth)"):
            return
        page.wait_for_timeout(100)
    raise AssertionError("the document was not drawn")


def test_a_document_walks_from_upload_to_published_as_four_people(address, tmp_path):
    out = shots(keep=True)
    path = tmp_path / "validation report.pdf"
    path.write_bytes(sample_pdf("Validation report VR-12", ["Recovery 98.7 %", "Conclusion: fit for purpose"]))
    with chromium() as browser:
        alice = new_page(browser, address)
        sign_in(alice, "alice")
        alice.goto("/upload")
        alice.locator("input[type=file]").set_input_files(path)
        alice.get_by_label("Title").fill("Validation report VR-12")
        alice.get_by_label("Kind").select_option("Report")
        alice.get_by_label("Folder").fill("Validation/Methods")
        alice.get_by_role("button", name="Store version 1").click()
        alice.wait_for_url("**/documents/*")
        document = alice.url
        drawn(alice)
        alice.screenshot(path=out / "19-draft.png", full_page=True)
        alice.get_by_role("link", name="Send to review").click()
        alice.get_by_label("Rosa Reviewer").check()
        alice.get_by_label("Your name").fill("alice")
        alice.get_by_label("Password").fill("wrong")
        alice.get_by_role("button", name="Send to review").click()
        alice.get_by_role("alert").wait_for()
        alice.get_by_label("Your name").fill("alice")
        alice.get_by_label("Password").fill(people.password("alice"))
        drawn(alice)
        alice.screenshot(path=out / "20-submit.png", full_page=True)
        alice.get_by_role("button", name="Send to review").click()
        alice.wait_for_url(document)
        rosa = new_page(browser, address)
        sign_in(rosa, "rosa")
        rosa.screenshot(path=out / "21-home-reviewer.png")
        rosa.get_by_role("link", name="Validation report VR-12").first.click()
        rosa.get_by_label("Your remark").fill("Recovery must be given with its confidence interval.")
        rosa.get_by_label("Where").fill("page 1")
        rosa.get_by_role("button", name="Add remark").click()
        rosa.wait_for_load_state()
        sign(rosa, "rosa", "Reject", reason="Confidence interval is missing", shot=out / "22-reject.png")
        alice.goto(document)
        path.write_bytes(sample_pdf("Validation report VR-12", ["Recovery 98.7 % (97.9 to 99.5)", "Fit for purpose"]))
        alice.locator("input[type=file]").set_input_files(path)
        alice.get_by_label("Reason for the change").fill("Confidence interval added after review")
        alice.get_by_role("button", name="Store version 2").click()
        alice.get_by_role("link", name="Send to review").click()
        alice.get_by_label("Rosa Reviewer").check()
        assert alice.get_by_label("Your name").count() == 0
        alice.get_by_label("Password").fill(people.password("alice"))
        alice.get_by_role("button", name="Send to review").click()
        alice.wait_for_url(document)
        rosa.goto(document)
        sign(rosa, "rosa", "Sign review", name=False)
        ana = new_page(browser, address, dark=True)
        sign_in(ana, "ana")
        ana.goto(document)
        ana.get_by_role("link", name="open the audit trail").click()
        ana.screenshot(path=out / "26-trail-dark.png")
        ana.get_by_role("link", name="Sign a review").click()
        ana.get_by_label("What you found").fill("One rejection, answered by version 2. Nothing open.")
        ana.get_by_label("Your name").fill("ana")
        ana.get_by_label("Password").fill(people.password("ana"))
        ana.screenshot(path=out / "29-trail-review-dark.png", full_page=True)
        ana.get_by_role("button", name="Sign the review").click()
        ana.wait_for_url("**/trail#reviews")
        ana.goto(document)
        sign(ana, "ana", "Approve", name=False, shot=out / "23-approve-dark.png")
        pia = new_page(browser, address)
        sign_in(pia, "pia")
        pia.goto(document)
        sign(pia, "pia", "Publish")
        drawn(pia)
        pia.screenshot(path=out / "24-published.png", full_page=True)
        phone = new_page(browser, address, phone=True)
        sign_in(phone, "rita")
        phone.goto(document)
        drawn(phone)
        phone.screenshot(path=out / "25-published-phone.png", full_page=True)
        assert "Published" in pia.locator(".steps [aria-current]").inner_text()
        pia.goto(f"{document}/trail")
        assert "since then" in pia.locator("#reviews").inner_text()
        pia.screenshot(path=out / "30-trail-reviewed.png")
        pia.goto("/documents?folder=Validation%2FMethods")
        pia.screenshot(path=out / "27-folder.png")
        alice.goto(f"{document}/describe")
        alice.screenshot(path=out / "28-describe.png", full_page=True)
        assert phone.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert [text for text in pia.problems if "403" not in text] == []
