"""axe-core on every page, light and dark, desktop and phone: nothing serious (from the npm registry, kept in the cache)."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tenant_app import factory
from tenant_app.adapters.directory import LdapDirectory
from tests.tenant_app.support.chromium import chromium, new_page, sign_in
from tests.tenant_app.support.live import served, shots

CACHE = Path.home() / ".cache" / "cloister" / "axe"
FILE = CACHE / "node_modules" / "axe-core" / "axe.min.js"
RUN = "async () => (await axe.run(document, {resultTypes: ['violations']})).violations.map(v => [v.impact, v.id, v.nodes[0].html])"


@pytest.fixture(scope="module")
def axe() -> str:
    if not FILE.exists():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("axe-core comes from the npm registry, and there is no npm here")
        CACHE.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [npm, "install", "--silent", "--prefix", str(CACHE), "axe-core@4"], check=True, capture_output=True
        )
    return FILE.read_text()


@pytest.fixture
def address(fresh, keys, audit):
    ports = factory.Ports(keys=keys, directory=LdapDirectory(fresh.ldap), audit=audit)
    with served(fresh, ports) as found:
        yield found


def test_axe_finds_nothing_serious_on_any_page(address, axe, tmp_path):
    (tmp_path / "note.txt").write_text("A note.\n")
    found = []
    with chromium() as browser:

        def check(page, path):
            page.goto(path)
            page.evaluate(axe)
            found.extend((path, *each) for each in page.evaluate(RUN) if each[0] in {"serious", "critical"})

        first = new_page(browser, address)
        check(first, "/sign-in")
        sign_in(first, "alice")
        first.goto("/upload")
        first.locator("input[type=file]").set_input_files(tmp_path / "note.txt")
        first.get_by_label("Kind").select_option("Report")
        first.get_by_label("Folder").fill("A/B")
        first.get_by_role("button", name="Store version 1").click()
        first.wait_for_url("**/documents/*")
        document = first.url.removeprefix(address)
        first.get_by_label("Your remark").fill("Look here")
        first.get_by_role("button", name="Add remark").click()
        paths = ["/", "/documents", "/documents?q=nothing", "/upload", document, f"{document}/describe", "/documents?folder=A%2FB", f"{document}/trail?show=changes&who=nobody", f"{document}/trail",
                 f"{document}/versions/1/sign/submit", "/nothing-here"]  # fmt: skip
        for dark, phone in ((False, False), (True, True)):
            page = new_page(browser, address, dark=dark, phone=phone)
            sign_in(page, "alice")
            for path in paths:
                check(page, path)
        manager = new_page(browser, address)
        sign_in(manager, "max")
        for path in ("/", "/admin", document):
            check(manager, path)
        manager.goto("/admin")
        manager.screenshot(path=shots() / "30-admin.png", full_page=True)
        first.goto("/documents?q=note")
        first.screenshot(path=shots() / "31-search.png")
        first.goto("/")
        first.screenshot(path=shots() / "32-home.png")
    assert found == []
