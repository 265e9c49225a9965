"""Attacks on requests: forged, replayed, misdirected, confused (11.10(d), 11.10(h)). Each walks the table of routes where it can."""

import re
import uuid

import pytest

from tenant_app.web.app import PAGES
from tenant_app.web.guard import Access
from tests.tenant_app.support import people
from tests.tenant_app.support.site import Browser, Site

UNSAFE = [page for page in PAGES if page.method != "GET"]
GETS = [page for page in PAGES if page.method == "GET"]


def concrete(path: str, document: str | None = None) -> str:
    known = path.replace("{document}", document or str(uuid.uuid4()))
    return re.sub(r"\{\w+\}", str(uuid.uuid4()), re.sub(r"\{\w+:int\}", "1", known))


async def entries(site: Site, audit) -> int:
    await site.app.relay.deliver_all()
    return len(audit.entries)


@pytest.mark.parametrize("uid", ["omar", "max"])
async def test_csrf_every_unsafe_route_refuses_a_request_without_its_own_token(site: Site, uid, audit):
    browser, other = await site.as_(uid), await site.as_("rita")
    document = await (await site.as_("alice")).uploaded()
    before = await entries(site, audit)
    wrong = []
    for page in UNSAFE:
        path = concrete(page.path, document)
        for how, answer in {
            "no token": await browser.http.post(path, data={}),
            "another person's": await browser.http.post(path, data={"csrf": other.token}),
            "in the address": await browser.http.post(f"{path}?csrf={browser.token}", data={}),
            "as a file": await browser.http.post(path, files={"csrf": ("csrf", browser.token)}),
            "as JSON": await browser.http.post(path, json={"csrf": browser.token}),
            "cross-site": await browser.post(path, headers={"sec-fetch-site": "cross-site"}),
            "same-site, another host": await browser.post(path, headers={"sec-fetch-site": "same-site"}),
            "another origin": await browser.post(path, headers={"origin": "https://evil.example"}),
        }.items():
            if answer.status_code != 403:
                wrong.append((page.path, how, answer.status_code))
    assert wrong == []
    await site.app.relay.deliver_all()
    told = {entry["action"] for entry in audit.entries[before:]}
    assert told <= {"app:access:deny"}
    assert (await browser.get("/")).status_code == 200


async def test_csrf_the_api_takes_its_token_from_the_header_only(site: Site):
    rosa = await site.as_("rosa")
    document = await (await site.as_("alice")).uploaded()
    path, remark = f"/api/v1/documents/{document}/versions/1/annotations", {"text": "Look"}
    for headers in ({}, {"x-csrf-token": "x"}, {"x-csrf-token": ""}):
        assert (await rosa.http.post(path, json={**remark, "csrf": rosa.token}, headers=headers)).status_code == 403
    good = {"x-csrf-token": rosa.token}
    cross = {**good, "origin": "https://evil.example"}
    assert (await rosa.http.post(path, json=remark, headers=cross)).status_code == 403
    assert (await rosa.http.post(path, json=remark, headers=good)).status_code == 201


async def test_session_fixation_a_planted_cookie_is_never_taken_up(site: Site):
    victim, attacker = site.browser(), await site.as_("rita")
    planted = attacker.http.cookies["__Host-cloister"]
    victim.http.cookies.set("__Host-cloister", planted, domain="localhost.local", path="/")
    await attacker.post("/sign-out")
    answer = await victim.sign_in("alice")
    assert answer.status_code == 303
    cookies = [line for line in answer.headers.get_list("set-cookie") if line.startswith("__Host-cloister=")]
    assert len(cookies) == 1
    assert planted not in cookies[0]
    assert (await attacker.get("/documents")).status_code == 303


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost@evil.example", "evil.example:443", "localhost.evil.example"]
)
async def test_host_header_no_answer_leads_to_a_host_that_the_request_named(site: Site, host):
    alice = await site.as_("alice")
    document = await alice.uploaded()
    paths = [
        "/",
        "/documents",
        "/documents/",
        "/nothing",
        "/sign-in/",
        f"/documents/{document}/",
        "/static",
        "/api/v1",
        "/api/v1/documents/",
    ]
    for browser in (alice, site.browser()):
        for path in paths:
            answer = await browser.http.get(path, headers={"host": host})
            assert "evil" not in answer.headers.get("location", ""), path
            assert "evil" not in answer.text, path


@pytest.mark.parametrize(
    "target",
    ["https:evil.example", "///evil.example", "\\\\evil.example", "/%0d%0aSet-Cookie:x=1", "/\tevil", "/\r\nX: y", "data:text/html,x",
     " //evil.example", "//evil.example/%2f..", "https://localhost@evil.example"],
)  # fmt: skip
async def test_open_redirect_and_response_splitting_sign_in_answers_a_path_of_this_site(site: Site, target):
    browser = site.browser()
    await browser.get("/sign-in", params={"next": target})
    data = {"account": "alice", "password": people.password("alice"), "next": target}
    answer = await browser.post("/sign-in", data)
    where = answer.headers["location"]
    assert where.startswith("/")
    assert not where.startswith(("//", "/\\"))
    assert not re.search(r"[\r\n\t]", where)
    assert "x=1" not in "".join(answer.headers.get_list("set-cookie"))


async def test_response_splitting_a_file_name_stays_inside_its_header(site: Site):
    alice = await site.as_("alice")
    document = await alice.uploaded(name='a\r\nSet-Cookie: x=1\r\n\r\n<b>"; filename=evil.exe;.txt')
    answer = await alice.get(f"/documents/{document}/versions/1/content?download=1")
    said = answer.headers["content-disposition"]
    assert said.startswith("attachment; filename*=UTF-8''")
    assert not re.search(r'[\r\n"<;]', said.removeprefix("attachment; "))
    assert "set-cookie" not in answer.headers


async def test_clickjacking_and_sniffing_every_answer_forbids_them(site: Site):
    omar, stranger = await site.as_("omar"), site.browser()
    document = await omar.uploaded()
    answers = [await browser.get(concrete(page.path, document)) for page in GETS for browser in (omar, stranger)]
    answers += [await omar.http.post(concrete(page.path, document), data={}) for page in UNSAFE]
    answers += [
        await stranger.get(path)
        for path in ("/healthz", "/static/app.js", "/static/nothing", "/nothing", "/api/v1/session")
    ]
    for answer in answers:
        policy, what = answer.headers["content-security-policy"], answer.request.url.path
        inside = what.endswith("/content") and answer.status_code == 200
        assert answer.headers["x-frame-options"] == ("SAMEORIGIN" if inside else "DENY"), what
        assert ("frame-ancestors 'self'" if inside else "frame-ancestors 'none'") in policy, what
        assert answer.headers["x-content-type-options"] == "nosniff", what
        assert "strict-transport-security" in answer.headers, what


async def test_a_defect_is_answered_as_strictly_as_everything_else_and_tells_nothing(site: Site, monkeypatch):
    alice = await site.as_("alice")

    async def broken(*_args, **_kwargs):
        raise RuntimeError("password=hunter2 at /srv/secret")

    monkeypatch.setattr(site.app.documents, "page", broken)
    for path in ("/documents", "/api/v1/documents"):
        answer = await alice.http.get(path)
        assert answer.status_code == 500
        assert "hunter2" not in answer.text
        assert "Traceback" not in answer.text
        assert answer.headers["x-frame-options"] == "DENY"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND"])
async def test_http_methods_that_a_route_does_not_declare_are_refused(site: Site, method):
    omar = await site.as_("omar")
    document = await omar.uploaded()
    for page in PAGES:
        answer = await omar.http.request(method, concrete(page.path, document), headers={"x-csrf-token": omar.token})
        assert answer.status_code == 405, page.path
    for header in ("x-http-method-override", "x-method-override", "x-http-method"):
        answer = await omar.http.get(f"/documents/{document}/delete", headers={header: "POST"})
        assert answer.status_code == 405


async def test_http_method_confusion_head_and_get_change_nothing(site: Site, server, fresh):
    omar = await site.as_("omar")
    document = await omar.uploaded()
    for page in UNSAFE:
        for method in ("GET", "HEAD"):
            answer = await omar.http.request(method, concrete(page.path, document), params={"csrf": omar.token})
            twin = any(other.path == page.path for other in GETS)
            assert twin or answer.status_code == 405, page.path
    with server.admin(fresh.database.name) as conn:
        assert conn.execute("SELECT count(*) FROM versions").fetchone()[0] == 1
        assert conn.execute("SELECT count(*) FROM sessions WHERE ended_at IS NULL").fetchone()[0] == 1


@pytest.mark.parametrize("path", ["/static/../app.py", "/static/%2e%2e/%2e%2e/settings.py", "/static/..%2f..%2fsettings.py",
                                  "/static//etc/passwd", "/static/%5c..%5capp.py", "/static/%00", "/%2e%2e/%2e%2e/etc/passwd"])  # fmt: skip
async def test_path_traversal_in_addresses_leads_nowhere(site: Site, path):
    for browser in (await site.as_("alice"), site.browser()):
        answer = await browser.http.get(path)
        assert answer.status_code in {303, 404}
        assert "root:" not in answer.text
        assert "import" not in answer.text


@pytest.mark.parametrize("number", ["²", "9" * 30, "9" * 5000, "-1", "٣", "1e9", "0x10", "1%00"])
async def test_numbers_that_are_none_or_too_long_are_answered_and_not_a_defect(site: Site, number):
    omar, manager = await site.as_("omar"), await site.as_("max")
    document = await omar.uploaded()
    for path, values in (("/documents", {"before": number}), ("/api/v1/documents", {"before": number})):
        assert (await omar.get(path, params=values)).status_code in {200, 422}, path
    answer = await omar.post(
        f"/documents/{document}/versions",
        {"expected": number, "reason": "Long enough"},
        files={"file": ("a.txt", b"x")},
    )
    assert answer.status_code in {409, 422}
    assert (await manager.post("/admin/holds", {"number": number, "reason": "Long enough"})).status_code in {404, 422}
    for path in (
        f"/documents/{document}/versions/{number}/content",
        f"/api/v1/documents/{document}/versions/{number}/content",
    ):
        assert (await omar.http.get(path)).status_code in {404, 414, 422}, path[:80]


def test_every_cookie_that_the_app_sets_is_host_bound_secure_and_out_of_reach_of_scripts(site_cookies):
    assert {line.partition("=")[0] for line in site_cookies} == {"__Host-cloister", "__Host-cloister-form"}
    for line in site_cookies:
        assert {"HttpOnly", "Secure", "Path=/"} <= {part.strip() for part in line.split(";")}, line
        assert "samesite=" in line.lower()
        assert "domain" not in line.lower()


@pytest.fixture
async def site_cookies(site: Site) -> list[str]:
    lines: list[str] = []
    browser: Browser = site.browser()
    browser.http.event_hooks["response"].append(_collect(lines))
    await browser.sign_in("alice")
    await browser.post("/sign-out")
    return lines


def _collect(lines: list[str]):
    async def collect(answer):
        lines.extend(answer.headers.get_list("set-cookie"))

    return collect


async def test_only_the_sign_in_pages_and_probes_answer_a_stranger(site: Site):
    stranger = site.browser()
    for page in GETS:
        answer = await stranger.get(concrete(page.path))
        if page.needs is not Access.PUBLIC:
            assert answer.headers["location"].startswith("/sign-in"), page.path
    assert (await stranger.get("/api/v1/openapi.json")).status_code == 401
