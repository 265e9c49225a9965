"""The pages in a real Chromium, over TLS, as people use them."""

import pytest

from tenant_app import factory
from tenant_app.adapters.directory import LdapDirectory
from tests.tenant_app.support.chromium import chromium, new_page, sign_in
from tests.tenant_app.support.documents import sample_pdf
from tests.tenant_app.support.live import served, shots


@pytest.fixture
def address(fresh, keys, audit):
    ports = factory.Ports(keys=keys, directory=LdapDirectory(fresh.ldap), audit=audit)
    with served(fresh, ports) as found:
        yield found


def test_a_person_signs_in_uploads_and_reads_back_in_chromium(address, audit, tmp_path):
    pdf = sample_pdf("Stability protocol ABC-123", ["Batch 7 is kept at 25 °C.", "Samples at 0, 3, 6 and 12 months."])
    (tmp_path / "stability protocol.pdf").write_bytes(pdf)
    (tmp_path / "notes.txt").write_text("Observations at month 3.\nNothing unusual.\n")
    out = shots()
    with chromium() as browser:
        page = new_page(browser, address)
        page.goto("/documents")
        page.screenshot(path=out / "01-sign-in.png")
        sign_in(page, "alice")
        page.screenshot(path=out / "02-home-empty.png")
        for name, title, kind, project in (
            ("notes.txt", "Stability notes, month 3", "Report", "ABC-123"),
            ("stability protocol.pdf", "Stability protocol for ABC-123 tablets", "Protocol", "ABC-123"),
        ):
            page.goto("/upload")
            page.locator("input[type=file]").set_input_files(tmp_path / name)
            page.get_by_label("Title").fill(title)
            page.get_by_label("Kind").select_option(kind)
            page.get_by_label("Project").fill(project)
            if name.endswith("pdf"):
                page.screenshot(path=out / "03-upload.png")
            page.get_by_role("button", name="Store version 1").click()
            page.wait_for_url("**/documents/*")
        page.wait_for_timeout(800)
        page.screenshot(path=out / "04-document.png", full_page=True)
        document = page.url
        page.locator("input[type=file]").set_input_files(tmp_path / "stability protocol.pdf")
        page.get_by_label("Reason for the change").fill("Same file by mistake")
        page.get_by_role("button", name="Store version 2").click()
        page.get_by_role("alert").wait_for()
        assert "nothing to add" in page.get_by_role("alert").inner_text()
        page.screenshot(path=out / "05-same-bytes.png")
        (tmp_path / "stability protocol.pdf").write_bytes(sample_pdf("Stability protocol ABC-123", ["Kept at 30 °C."]))
        page.locator("input[type=file]").set_input_files(tmp_path / "stability protocol.pdf")
        page.get_by_label("Reason for the change").fill("Temperature corrected after deviation DEV-17")
        page.get_by_role("button", name="Store version 2").click()
        page.wait_for_load_state()
        with page.expect_download() as download:
            page.get_by_role("link", name="Download").first.click()
        assert download.value.path().read_bytes() == (tmp_path / "stability protocol.pdf").read_bytes()
        page.get_by_role("link", name="Audit trail").click()
        page.screenshot(path=out / "06-trail.png", full_page=True)
        page.goto("/documents")
        page.screenshot(path=out / "07-list.png")
        page.goto("/documents/nothing")
        page.screenshot(path=out / "08-not-found.png")
        for dark, phone, name in ((True, False, "dark"), (False, True, "phone")):
            other = new_page(browser, address, dark=dark, phone=phone)
            sign_in(other, "rita")
            other.goto("/documents")
            other.screenshot(path=out / f"09-list-{name}.png")
            other.goto(document)
            other.wait_for_timeout(300)
            other.screenshot(path=out / f"10-document-{name}.png")
            assert other.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        page.goto("/documents")
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url("**/sign-in**")
        page.goto("/documents")
        assert "/sign-in" in page.url
        assert [text for text in page.problems if "404" not in text and "409" not in text] == []
    assert "app:document:create" in audit.actions()
