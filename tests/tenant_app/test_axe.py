"""axe-core on every page, light and dark, desktop and phone: nothing serious (from the npm registry, kept in the cache)."""

import re
from datetime import UTC, datetime, timedelta

import pyotp
import pytest

from tenant_app import factory, settings
from tenant_app.adapters.directory import LdapDirectory
from tests.support.browser import axe_source
from tests.tenant_app.support import people
from tests.tenant_app.support.chromium import chromium, new_page, sign_in
from tests.tenant_app.support.live import served, shots

RUN = "async () => (await axe.run(document, {resultTypes: ['violations']})).violations.map(v => [v.impact, v.id, v.nodes[0].html])"


@pytest.fixture(scope="module")
def axe() -> str:
    return axe_source()


@pytest.fixture
def address(fresh, keys, audit):
    fresh = fresh.model_copy(update={"second_factor": settings.SecondFactorSection(policy="optional")})
    ports = factory.Ports(keys=keys, directory=LdapDirectory(fresh.ldap), audit=audit)
    with served(fresh, ports) as found:
        yield found


def day(ahead: int) -> str:
    return (datetime.now(UTC) + timedelta(days=ahead)).strftime("%Y-%m-%d")


def test_axe_finds_nothing_serious_on_the_pages_of_authority_and_they_work_by_hand(address, axe):
    found = []
    with chromium() as browser:
        ana, pia, olga, manager = (new_page(browser, address) for _ in range(4))
        for page, uid in ((ana, "ana"), (pia, "pia"), (olga, "olga"), (manager, "max")):
            sign_in(page, uid)
        manager.goto("/admin/policies")
        manager.get_by_label("Title").fill("Accountability for electronic signatures")
        manager.get_by_label("Text").fill(
            "My electronic signature binds me as my handwritten one does.\nI keep my password to myself."
        )
        manager.get_by_label("Reason for the change").fill("First version")
        manager.get_by_role("button", name="Publish version 1").click()
        manager.get_by_text("accepted by 0").wait_for()
        manager.goto("/admin")
        manager.get_by_role("link", name="Pia Publisher").click()
        manager.get_by_text("Give a role or right").click()
        form = manager.locator("form[action$='/grants']")
        form.get_by_label("Role or right").select_option("review")
        form.get_by_label("Until").fill(day(30))
        form.get_by_label("Reason").fill("Stands in for Rosa during the audit")
        form.get_by_role("button", name="Give").click()
        manager.get_by_text("Stands in for Rosa").wait_for()
        manager.get_by_text("Record a training").click()
        form = manager.locator("form[action$='/training']")
        form.get_by_label("Role or right").select_option("review")
        form.get_by_label("Valid until").fill(day(300))
        form.get_by_label("What it was").fill("SOP-12 course, passed")
        form.get_by_role("button", name="Record").click()
        manager.get_by_text("SOP-12 course, passed").wait_for()
        person = manager.url.removeprefix(address)
        ana.goto("/me")
        ana.get_by_text("Let somebody sign on your behalf").click()
        form = ana.locator("form[action='/me/delegations']")
        form.get_by_label("Who").select_option(label="Pia Publisher")
        form.get_by_label("Which signature").select_option("approval")
        form.get_by_label("Until").fill(day(10))
        form.get_by_label("Reason").fill("On leave until Monday")
        form.get_by_role("button", name="Offer").click()
        ana.get_by_text("On leave until Monday").wait_for()
        pia.goto("/")
        pia.screenshot(path=shots() / "40-home-offer.png", full_page=True)
        pia.goto("/me/policy")
        pia.get_by_label("I have read this").check()
        pia.get_by_role("button", name="Accept version 1").click()
        pia.get_by_text("You accepted this version").wait_for()
        pia.goto("/me")
        pia.get_by_role("button", name="Accept").click()
        pia.get_by_text("In force").wait_for()
        ana.goto("/me")
        ana.get_by_text("Report a loss").click()
        ana.get_by_label("What was lost").fill("My phone was stolen")
        ana.get_by_role("button", name="Report and sign me out").click()
        ana.wait_for_url("**/sign-in*")
        manager.goto("/admin")
        manager.get_by_role("link", name="Ana Approver").click()
        manager.get_by_text("Restore the access after a loss").click()
        form = manager.locator("form[action$='/requests']")
        form.get_by_label("Reason").fill("New password handed over in person")
        form.get_by_role("button", name="Ask for it").click()
        manager.get_by_text("asked for").wait_for()
        olga.goto("/admin/requests")
        olga.screenshot(path=shots() / "41-admin-requests.png", full_page=True)
        olga.get_by_role("button", name="Confirm").click()
        olga.get_by_text("Confirmed", exact=True).wait_for()
        admin = [
            "/admin",
            person,
            f"{person}/history",
            "/admin/requests",
            "/admin/reviews",
            "/admin/delegations",
            "/admin/policies",
            "/admin/second-factors",
            "/admin/records",
        ]
        for dark, phone in ((False, False), (True, True)):
            for uid, paths in (("max", [*admin, "/me/policy", "/"]), ("pia", ["/", "/me", "/me/policy"])):
                page = new_page(browser, address, dark=dark, phone=phone)
                sign_in(page, uid)
                for path in paths:
                    page.goto(path)
                    page.evaluate(axe)
                    found.extend((path, *each) for each in page.evaluate(RUN) if each[0] in {"serious", "critical"})
                    if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
                        found.append((path, "wider than the window", phone))
                    name = re.sub(r"-[0-9a-f]{8}-[0-9a-f-]{27}", "", path.strip("/").replace("/", "-")) or "home"
                    look = f"{'dark' if dark else 'light'}{'-phone' if phone else ''}"
                    page.screenshot(path=shots() / f"5-{uid}-{name}-{look}.png", full_page=True)
                assert page.problems == []
    assert found == []


def sign_trail_review(page, document, refused):
    """Sign for a document's trail, with a wrong password first; `refused` looks at the dialog that tells it."""
    page.goto(f"{document}/trail")
    page.get_by_role("link", name="Sign a review").click()
    page.get_by_label("What you found").fill("In order")
    for password in ("wrong", people.password("rita")):
        page.get_by_label("Your name").fill("rita")
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Sign the review").click()
        if password == "wrong":
            page.get_by_role("alert").wait_for()
            refused()
    page.wait_for_url("**/trail#reviews")


def test_axe_finds_nothing_serious_on_any_page(address, axe, tmp_path):
    (tmp_path / "note.txt").write_text("A note.\n")
    found = []
    with chromium() as browser:

        def check(page, path):
            page.goto(path)
            examine(page, path)

        def examine(page, path):
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
        rita = new_page(browser, address)
        sign_in(rita, "rita")
        sign_trail_review(rita, document, lambda: examine(rita, "a trail review that was refused"))
        for dark, phone in ((False, False), (True, True)):
            page = new_page(browser, address, dark=dark, phone=phone)
            sign_in(page, "rita")
            for path in (f"{document}/trail", f"{document}/versions/1/trail-review"):
                check(page, path)
                assert not page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
                name = f"33-{path.rsplit('/', 1)[-1]}{'-dark-phone' if phone else ''}.png"
                page.screenshot(path=shots() / name, full_page=True)
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
        second = new_page(browser, address)
        sign_in(second, "andre")
        check(second, "/second-factor")
        second.screenshot(path=shots() / "40-second-factor.png", full_page=True)
        second.get_by_label("Your name").fill("andre")
        second.get_by_label("Password").fill(people.password("andre"))
        second.get_by_role("button", name="Set up").click()
        for name, size, scheme in (("41-offer", (1280, 860), "light"), ("42-offer-phone", (390, 844), "dark")):
            second.set_viewport_size({"width": size[0], "height": size[1]})
            second.emulate_media(color_scheme=scheme)
            examine(second, "/second-factor/begin")
            second.screenshot(path=shots() / f"{name}.png", full_page=True)
        second.get_by_text("Type it instead").click()
        secret = second.locator(".wrap").inner_text().replace(" ", "")
        second.locator("input[name=code]").fill(pyotp.TOTP(secret).now())
        second.get_by_role("button", name="Confirm").click()
        examine(second, "/second-factor/confirm")
        second.screenshot(path=shots() / "43-codes-phone.png", full_page=True)
        for name, size, scheme in (
            ("44-second-factors", (1280, 860), "light"),
            ("45-second-factors-phone", (390, 844), "dark"),
        ):
            manager.set_viewport_size({"width": size[0], "height": size[1]})
            manager.emulate_media(color_scheme=scheme)
            check(manager, "/admin/second-factors")
            manager.screenshot(path=shots() / f"{name}.png", full_page=True)
        assert second.problems == []
    assert found == []
