"""The inspector's pages in a real Chromium, over TLS: as an inspector uses them, and as axe-core and a small screen see them."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from audit_contract import zipapp
from audit_contract.entry import Actor, Change, ObjectRef, Reason
from audit_contract.verify import verify_bundle
from tests.audit_service.live import Live, served
from tests.audit_service.service import TENANT_LOG, Service, draft
from tests.support.browser import axe_source, chromium

AXE_RUN = "async () => (await axe.run(document, {resultTypes: ['violations']})).violations.map(v => [v.impact, v.id, v.nodes[0].html])"
AUDITOR = "system:serviceaccount:tenant-acme-pharma:auditor"
PLATFORM_AUDITOR = "system:serviceaccount:cloister-audit:platform-auditor"
ANA = Actor(
    type="user",
    sub="5d1c7e8a-ana",
    name="Ana Ruiz",
    auth={"components": ["id", "password"], "method": "ldap-simple-bind", "mfa": False},
)
EVA = Actor(type="user", sub="1f0b22c4-eva", name="Eva Lind")
OPERATOR_ACTOR = Actor(type="service", sub="cloister-operator")
DOCUMENT = ObjectRef(
    type="Document", id="DOC-2026-0017", name="Stability protocol ABC-123", version="2", sha256="ab" * 32
)
EVIL = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"


def shots() -> Path:
    folder = Path("/tmp/cloister-inspector-shots")  # outside the repository, to be looked at
    folder.mkdir(exist_ok=True)
    return folder


async def fill(service: Service) -> None:
    """A log as a tenant's is: what the operator did, a document's life, an erasure, a refusal, and someone hostile."""
    app = "system:serviceaccount:tenant-acme-pharma:app"
    async with service.client() as operator, service.client(app, kind="app") as client, service.http() as http:
        log = await service.tenant_log(operator)
        for name in ("app-config", "database-tls", "app"):
            intent = draft(actor=OPERATOR_ACTOR, object=ObjectRef(type="ConfigMap", id=f"tenant-acme-pharma/{name}"),
                           reason=Reason(code="Desired", text=f"{name} is not there yet"))  # fmt: skip
            await operator.append(log, [intent])
            await operator.append(
                log,
                [intent.model_copy(update={"id": draft().id, "phase": "outcome", "intent": intent.id, "result": "ok"})],
            )
        first = DOCUMENT.model_copy(update={"version": "1"})

        def app_entry(action: str, **more: object):
            return draft(
                **{"action": action, "phase": "single", "result": "ok", "object": DOCUMENT, "actor": ANA, **more}
            )

        await client.append(log, [
            app_entry("app:session:login", object=ObjectRef(type="Session", id="s-1")),
            app_entry("app:document:create", object=first, change=[
                Change(path="/title", new="Stability protocol"), Change(path="/kind", new="Protocol"), Change(path="/author", new="Ana Ruiz of Sevilla")]),
            app_entry("app:document:update", reason=Reason(code="Correction", text="Temperature corrected after deviation DEV-17"), change=[
                Change(path="/title", old="Stability protocol", new="Stability protocol ABC-123"),
                Change(path="/storage", old={"temperature": "25 °C", "months": [0, 3, 6]}, new={"temperature": "30 °C", "months": [0, 3, 6, 12]}),
                Change(path="/project", new="ABC-123")]),
            app_entry("app:signature:failure", actor=EVA, result="denied", reason=Reason(code="WrongPassword")),
            app_entry("app:signature:create", actor=EVA, request="7f0c2a", system={"image": "sha256:" + "0d" * 32},
                      reason=Reason(code="Approval", text="I have reviewed this version and approve it.")),
            app_entry("app:document:read", actor=Actor(type="user", sub=EVIL, name=EVIL), object=ObjectRef(type="Document", id=EVIL)),
        ])  # fmt: skip
        wanted = {"index": 8, "field": "change.2.new", "actor": {"type": "user", "sub": "dpo-1", "name": "Data Protection Office"},
                  "reason": {"code": "ErasureRequest", "text": "Art. 17 request, ticket 4711"}}  # fmt: skip
        assert (await http.post(f"/v1/logs/{log}/erasures", json=wanted)).status_code == 200
        await operator.append(
            log,
            [draft(object=ObjectRef(type="Pod", id=f"pod-{number:03d}"), actor=OPERATOR_ACTOR) for number in range(60)],
        )
        await service.signed(log, 74)


@pytest.fixture
def live(settings, postgres, tmp_path) -> Iterator[Live]:
    with served(settings, postgres, tmp_path) as found:
        found.do(fill)
        yield found


def new_page(browser: Browser, live: Live, *, dark: bool = False, phone: bool = False) -> Page:
    size = {"width": 390, "height": 844} if phone else {"width": 1280, "height": 860}
    context = browser.new_context(
        base_url=live.address, ignore_https_errors=True, viewport=size, color_scheme="dark" if dark else "light"
    )
    page = context.new_page()
    page.problems = []
    page.on("console", lambda message: page.problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    return page


def sign_in(page: Page, live: Live, subject: str = AUDITOR) -> None:
    page.goto("/inspect")
    page.get_by_label("Token", exact=False).first.fill(live.service.cluster.token(subject, pod="", jti="token-1"))
    page.get_by_role("button", name="Open the log").click()
    page.wait_for_url(lambda url: "/inspect/" in url or subject == PLATFORM_AUDITOR)


def taken(page: Page, link: Locator) -> tuple[str, bytes]:
    """What a link downloads, with the page's own session: the file's name and content."""
    assert link.get_attribute("download") is not None
    answer = page.context.request.get(link.get_attribute("href"))
    assert answer.ok
    name = re.fullmatch(r'attachment; filename="([\w.-]+)"', answer.headers["content-disposition"])[1]
    return name, answer.body()


def test_an_inspector_filters_follows_an_object_reads_a_proof_and_checks_it_offline(live: Live, tmp_path: Path) -> None:
    out = shots()
    with chromium() as browser:
        page = new_page(browser, live)
        page.goto("/")
        page.screenshot(path=out / "01-sign-in.png", full_page=True)
        page.get_by_label("Token", exact=False).first.fill("nonsense")
        page.get_by_role("button", name="Open the log").click()
        assert "does not open a log" in page.get_by_role("alert").inner_text()
        sign_in(page, live)
        assert page.evaluate("document.cookie") == ""
        page.screenshot(path=out / "02-log.png", full_page=True)
        expect(page.locator("ol.entries > li")).to_have_count(50)
        page.get_by_role("link", name="Older").click()
        page.screenshot(path=out / "03-log-older.png", full_page=True)
        expect(page.get_by_text("first entry is reached.")).to_be_visible()
        assert page.title() != "owned"

        page.get_by_label("What was done").select_option("app:document:update")
        page.get_by_role("button", name="Show").click()
        expect(page.locator("ol.entries > li")).to_have_count(1)
        page.get_by_role("link", name="Ana Ruiz").click()
        expect(page.locator("ol.entries > li")).to_have_count(3)
        page.get_by_label("From (UTC)").fill("2100-01-01T00:00:00")
        page.get_by_role("button", name="Show").click()
        expect(page.get_by_text("No entry fits")).to_be_visible()
        page.screenshot(path=out / "04-none.png")
        page.get_by_role("link", name="Show everything").click()
        page.get_by_role("link", name="Older").click()
        page.get_by_role("link", name="Stability protocol ABC-123").first.click()
        page.screenshot(path=out / "05-history.png", full_page=True)
        expect(page.locator(".change:not(.head)").first).to_be_visible()
        rows = [row.inner_text() for row in page.locator(".change:not(.head)").all()]
        assert any(
            "/title" in row and "Stability protocol\n" in row and "Stability protocol ABC-123" in row for row in rows
        )
        assert any("Erased" in row and "Data Protection Office" in row and "ticket 4711" in row for row in rows)
        assert "Ana Ruiz of Sevilla" not in page.content()

        page.get_by_role("link", name="document update").click()
        expect(page.get_by_text("Every step below holds")).to_be_visible()
        page.get_by_text("steps to the root").click()
        page.screenshot(path=out / "06-entry.png", full_page=True)
        files = {}
        for name in ("Entry", "Proof", "Keys", "Verifier"):
            link = page.locator(".steps").get_by_role("link", name=name, exact=True)
            files[name] = tmp_path / taken(page, link)[0]
            files[name].write_bytes(taken(page, link)[1])
        command = page.get_by_label("Commands that check this entry").inner_text()
        assert zipapp.program().sha256 in command
        asked = command.partition("python3 ")[2].replace("\\\n", " ").split()
        checked = subprocess.run(
            [sys.executable, *asked], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
        )
        assert (checked.returncode, checked.stderr) == (0, ""), checked.stdout
        files["Entry"].write_bytes(files["Entry"].read_bytes().replace(b"Ana Ruiz", b"Eva Ruiz"))
        assert (
            subprocess.run(
                [sys.executable, *asked], cwd=tmp_path, capture_output=True, check=False, timeout=60
            ).returncode
            == 1
        )

        page.goto(f"/inspect/{TENANT_LOG}")
        report = verify_bundle(taken(page, page.get_by_role("link", name="Whole log"))[1])
        assert (report.code, report.erased) == (0, 1)
        page.get_by_role("button", name="Sign out").click()
        page.goto(f"/inspect/{TENANT_LOG}/entries/3")
        assert page.get_by_label("Token", exact=False).first.is_visible()
        assert [text for text in page.problems if "401" not in text] == []


def test_on_a_phone_in_the_dark_and_with_the_keyboard_alone(live: Live) -> None:
    out = shots()
    with chromium() as browser:
        for dark, phone, name in ((True, False, "dark"), (False, True, "phone"), (True, True, "phone-dark")):
            page = new_page(browser, live, dark=dark, phone=phone)
            page.goto("/inspect")
            page.screenshot(path=out / f"10-sign-in-{name}.png", full_page=True)
            sign_in(page, live)
            for path, shot in (
                ("", "11-log"),
                ("/entries/9", "12-entry"),
                ("/history?type=Document&id=DOC-2026-0017", "13-history"),
                ("/entries/9999", "14-none"),
            ):
                page.goto(f"/inspect/{TENANT_LOG}{path}")
                page.screenshot(path=out / f"{shot}-{name}.png", full_page=True)
                assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), (path, name)
        page = new_page(browser, live)
        sign_in(page, live)
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to content"
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        assert "Whole log" in page.evaluate("document.activeElement.textContent")
        page.get_by_label("Object", exact=True).focus()
        page.keyboard.type("DOC-2026-0017")
        page.keyboard.press("Enter")
        page.wait_for_url("**object=DOC-2026-0017**")
        page.locator("a.row-link").first.focus()
        page.keyboard.press("Enter")
        page.wait_for_url("**/entries/*")


@pytest.fixture(scope="module")
def axe() -> str:
    return axe_source()


def test_axe_finds_nothing_to_object_to_on_any_page(live: Live, axe: str) -> None:
    found = []
    with chromium() as browser:
        for dark, phone in ((False, False), (True, True)):
            page = new_page(browser, live, dark=dark, phone=phone)
            page.context.set_extra_http_headers({})
            for subject in (None, AUDITOR, PLATFORM_AUDITOR):
                if subject is not None:
                    page.context.clear_cookies()
                    sign_in(page, live, subject)
                base = f"/inspect/{TENANT_LOG}"
                paths = ["/inspect"]
                if subject == AUDITOR:
                    paths = [base, f"{base}?object=none", f"{base}?from=x", f"{base}/entries/0", f"{base}/entries/8", f"{base}/entries/10",
                             f"{base}/history?type=Document&id=DOC-2026-0017", "/inspect/nothing", f"{base}/entries/9999"]  # fmt: skip
                for path in paths:
                    page.goto(path)
                    for each in page.locator("details").all():
                        each.evaluate("each => each.open = true")
                    page.evaluate(axe)
                    found.extend((path, *each) for each in page.evaluate(AXE_RUN))
            if not phone:
                page.screenshot(path=shots() / "20-logs.png")
    assert found == [], "\n".join(map(str, found))
