"""The inspector's pages over HTTP: who gets in, what is escaped, what is recorded, what no foreign site can do."""

import re
import time
from dataclasses import replace

import httpx
import pytest

from audit_contract.actions import Action
from audit_contract.entry import Actor, Change, ObjectRef, Reason
from audit_service.http.identity import Caller
from audit_service.pages import words
from audit_service.pages.sessions import COOKIE, MAX_SECONDS, Sessions
from tests.audit_service.service import OPERATOR, PLATFORM_AUDITOR, TENANT_LOG, Service, draft

AUDITOR = "system:serviceaccount:tenant-acme-pharma:auditor"
OTHER_AUDITOR = "system:serviceaccount:tenant-globex-bio:auditor"
EXPORT = "system:serviceaccount:tenant-acme-pharma:export"
APP = "system:serviceaccount:tenant-acme-pharma:app"
OTHER_LOG = "tenant-7a1c2b3d-0000-4000-8000-0d8a4c4f3a22"
SITE = "https://audit"


def browser(service: Service) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=SITE, transport=service.transport, headers={"Origin": SITE})


async def sign_in(service: Service, http: httpx.AsyncClient, subject: str = AUDITOR, **more: object) -> httpx.Response:
    token = service.cluster.token(subject, pod="", **{"jti": "token-1", **more})
    return await http.post("/inspect/sign-in", data={"token": token, "next": ""})


async def two_logs(service: Service) -> None:
    async with service.client() as client:
        await service.tenant_log(client)
        await service.tenant_log(client, OTHER_LOG, "globex-bio")
        await service.signed(TENANT_LOG, 1)
        await service.signed(OTHER_LOG, 1)


async def test_a_tenants_auditor_sees_their_own_log_and_no_other_not_even_that_it_is_there(service: Service) -> None:
    await two_logs(service)
    async with browser(service) as http:
        assert (await sign_in(service, http)).headers["location"] == "/inspect"
        home = await http.get("/inspect")
        assert (home.status_code, home.headers["location"]) == (303, f"/inspect/{TENANT_LOG}")
        assert "acme-pharma" in (await http.get(f"/inspect/{TENANT_LOG}")).text
        for path in (
            "",
            "/entries/0",
            "/entries/0/leaf",
            "/entries/0/proof",
            "/history?type=Log&id=x",
            "/keys",
            "/bundle",
        ):
            refused = await http.get(f"/inspect/{OTHER_LOG}{path}")
            absent = await http.get(f"/inspect/tenant-of-nobody{path}")
            assert (refused.status_code, absent.status_code) == (404, 404)
            assert refused.text == absent.text
        assert (await http.get("/inspect/platform")).status_code == 404


async def test_the_platforms_auditor_sees_every_log(service: Service) -> None:
    await two_logs(service)
    async with browser(service) as http:
        await sign_in(service, http, PLATFORM_AUDITOR)
        page = (await http.get("/inspect")).text
        assert all(name in page for name in ("The platform", "acme-pharma", "globex-bio"))
        for log in ("platform", TENANT_LOG, OTHER_LOG):
            assert (await http.get(f"/inspect/{log}")).status_code == 200


@pytest.mark.parametrize(("subject", "status"), [(APP, 403), (OPERATOR, 403), ("system:serviceaccount:default:x", 403)])
async def test_who_is_no_auditor_gets_no_session(service: Service, subject: str, status: int) -> None:
    await two_logs(service)
    async with browser(service) as http:
        answer = await sign_in(service, http, subject)
        assert (answer.status_code, "set-cookie" in answer.headers) == (status, False)
        assert "is not an auditor" in answer.text


@pytest.mark.parametrize("claims", [{"aud": ["vault"]}, {"exp": 1}, {"iss": "https://elsewhere"}])
async def test_a_token_that_is_not_believed_gets_no_session_and_is_not_shown_again(
    service: Service, claims: dict
) -> None:
    await two_logs(service)
    async with browser(service) as http:
        answer = await sign_in(service, http, **claims)
        assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)
        assert not re.search(r"eyJ[\w-]+\.", answer.text)
        assert (await http.get(f"/inspect/{TENANT_LOG}")).status_code == 303


async def test_the_cookie_is_the_hosts_own_hidden_from_scripts_and_gone_with_its_token(service: Service) -> None:
    await two_logs(service)
    async with browser(service) as http:
        answer = await sign_in(service, http, exp=int(time.time()) + 90)
        cookie = answer.headers["set-cookie"]
        name, _, rest = cookie.partition("=")
        assert name == COOKIE
        assert name.startswith("__Host-")
        facts = {part.strip().lower() for part in rest.split(";")[1:]}
        assert {"httponly", "secure", "samesite=strict", "path=/"} <= facts
        assert not any(fact.startswith("domain") for fact in facts)
        age = next(int(fact.partition("=")[2]) for fact in facts if fact.startswith("max-age"))
        assert 60 < age <= 90
        assert (await http.get(f"/inspect/{TENANT_LOG}")).status_code == 200
        service.state.sessions._clock = lambda: time.time() + 91
        assert (await http.get(f"/inspect/{TENANT_LOG}")).status_code == 303


def test_a_session_ends_with_its_token_after_an_hour_at_most_and_when_it_is_ended() -> None:
    at = [1000.0]
    sessions = Sessions(lambda: at[0])
    secret, short = sessions.start(Caller("s", "n", "a", "", expires=1100.0))
    assert (short.expires, sessions.find(secret)) == (1100.0, short)
    other, long = sessions.start(Caller("s", "n", "a", "", expires=1e9))
    assert long.expires == 1000.0 + MAX_SECONDS
    sessions.end(other)
    assert (sessions.find(other), sessions.find(secret), sessions.find(None), sessions.find("x")) == (
        None,
        short,
        None,
        None,
    )
    at[0] = 1100.0
    assert sessions.find(secret) is None
    assert secret.encode() not in repr(vars(sessions)).encode()


async def test_no_foreign_sites_form_signs_anybody_in_or_out(service: Service) -> None:
    await two_logs(service)
    token = service.cluster.token(AUDITOR, pod="")
    async with browser(service) as http:
        for headers in (
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": "http://audit"},
            {"Origin": "https://audit.evil.example"},
            {"Origin": "https://audit:444"},
            {"Origin": ""},
            {"Origin": SITE, "Sec-Fetch-Site": "cross-site"},
            {"Origin": SITE, "Sec-Fetch-Site": "same-site"},
        ):
            answer = await http.post("/inspect/sign-in", data={"token": token}, headers=headers)
            assert (answer.status_code, "set-cookie" in answer.headers) == (400, False), headers
        await sign_in(service, http)
        answer = await http.post("/inspect/sign-out", headers={"Origin": "https://evil.example"})
        assert answer.status_code == 400
        assert (await http.get(f"/inspect/{TENANT_LOG}")).status_code == 200
        assert (await http.get("/inspect/sign-out")).status_code == 404  # signing out is no link
        secret = http.cookies[COOKIE]
        assert (await http.post("/inspect/sign-out")).status_code == 303
        assert COOKIE not in http.cookies
        assert (await http.get(f"/inspect/{TENANT_LOG}", headers={"Cookie": f"{COOKIE}={secret}"})).status_code == 303


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "/inspect/\\..\\x",
        "javascript:alert(1)",
        "/v1/logs",
        "/inspect/\r\nX: y",
    ],
)
async def test_signing_in_leads_nobody_elsewhere(service: Service, wanted: str) -> None:
    await two_logs(service)
    async with browser(service) as http:
        token = service.cluster.token(AUDITOR, pod="")
        answer = await http.post("/inspect/sign-in", data={"token": token, "next": wanted})
        assert answer.headers["location"] == "/inspect"


async def test_signing_in_leads_back_to_where_one_wanted_to_go(service: Service) -> None:
    await two_logs(service)
    async with browser(service) as http:
        wanted = f"/inspect/{TENANT_LOG}/history?type=Log&id=a%26b"
        asked = await http.get(wanted)
        form = (await http.get(asked.headers["location"])).text
        token = service.cluster.token(AUDITOR, pod="")
        kept = re.search(r'name="next" value="([^"]*)"', form)[1].replace("&amp;", "&")
        answer = await http.post("/inspect/sign-in", data={"token": token, "next": kept})
        assert answer.headers["location"] == wanted


HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>'\"><svg/onload=alert(3)>{{65537*99991}}"


async def test_what_sources_send_is_shown_as_text_wherever_it_is_shown(service: Service) -> None:
    async with service.client() as client, browser(service) as http:
        log = await service.tenant_log(client)
        sent = draft(
            actor=Actor(type="user", sub=HOSTILE, name=HOSTILE, auth={"login": HOSTILE, "components": [HOSTILE]}),
            object=ObjectRef(type="Document", id=HOSTILE, name=HOSTILE, version=HOSTILE),
            change=[Change(path=HOSTILE, old=HOSTILE, new={HOSTILE: [HOSTILE]})],
            reason=Reason(code="X", text=HOSTILE),
            request=HOSTILE,
            system={"image": HOSTILE},
        )
        await client.append(log, [sent])
        await service.signed(log, 2)
        await sign_in(service, http)
        history = httpx.URL(f"/inspect/{log}/history", params={"type": "Document", "id": HOSTILE})
        filtered = httpx.URL(f"/inspect/{log}", params={"actor": HOSTILE, "type": HOSTILE, "object": HOSTILE})
        for path in (f"/inspect/{log}", f"/inspect/{log}/entries/1", history, filtered):
            text = (await http.get(path)).text
            assert "alert(1)" in text
            assert "<script" not in text
            assert "<img" not in text
            assert "onload=alert(3)>" not in text
            assert "{{65537*99991}}" in text
            assert str(65537 * 99991) not in text  # too long to be in a digest by chance
        assert "nothing" not in (await http.get(history)).text.lower().split("<main", 1)[1].split("old")[0]


async def test_every_page_keeps_the_browser_strict_and_leaves_nothing_behind(service: Service) -> None:
    await two_logs(service)
    async with browser(service) as http:
        await sign_in(service, http)
        for path in ("/inspect", f"/inspect/{TENANT_LOG}", f"/inspect/{TENANT_LOG}/entries/0", "/inspect/nobody", f"/inspect/{TENANT_LOG}/bundle",
                     f"/inspect/{TENANT_LOG}/keys", f"/inspect/{TENANT_LOG}/history?type=Log&id=x", f"/inspect/{TENANT_LOG}?from=x"):  # fmt: skip
            answer = await http.get(path)
            assert answer.headers["cache-control"] == "no-store", path
            assert "default-src 'none'" in answer.headers["content-security-policy"]
            assert "script" not in answer.headers["content-security-policy"]
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["x-frame-options"] == "DENY"
            if answer.headers.get("content-type", "").startswith("text/html"):
                assert not re.search(r"<script|\son\w+=|style=|javascript:", answer.text)
        style = re.search(
            r'href="(/inspect/static/inspector\.css\?v=\w+)"', (await http.get(f"/inspect/{TENANT_LOG}")).text
        )[1]
        assert "immutable" in (await http.get(style)).headers["cache-control"]
        assert (await http.get("/inspect/static/render.py")).status_code == 404
        assert (await http.get("/inspect/static/..%2frender.py")).status_code == 404


async def test_reading_is_recorded_once_a_token_and_log_and_every_download_of_the_whole(service: Service) -> None:
    await two_logs(service)
    async with browser(service) as http, service.client() as client:
        await sign_in(service, http)
        for path in ("", "", "/entries/0", "?actor=x"):
            assert (await http.get(f"/inspect/{TENANT_LOG}{path}")).status_code == 200
        await http.get(f"/inspect/{TENANT_LOG}/bundle")
        await http.get(f"/inspect/{TENANT_LOG}/bundle")
        await http.get(f"/inspect/{OTHER_LOG}")  # refused, so nothing was read
        async with service.http(AUDITOR, pod="", jti="token-2") as api:
            for _ in range(2):
                assert (await api.get(f"/v1/logs/{TENANT_LOG}/entries")).status_code == 200
        await service.signed(TENANT_LOG, 5)
        rows = await client.entries(TENANT_LOG, action="audit:log:read")
        assert [row["entry"]["system"]["how"] for row in rows] == ["page", "export", "export", "entries"]
        assert {row["entry"]["actor"]["sub"] for row in rows} == {AUDITOR}
        assert [row["entry"]["actor"]["auth"]["token"] for row in rows] == ["token-1"] * 3 + ["token-2"]
        assert await client.entries(OTHER_LOG, action="audit:log:read") == []


async def test_a_log_that_cannot_be_written_can_still_be_read(service: Service) -> None:
    await two_logs(service)
    async with browser(service) as http:
        await sign_in(service, http)
        desk, service.state.writer._desk = service.state.writer._desk, None
        try:
            assert (await http.get(f"/inspect/{TENANT_LOG}")).status_code == 200
        finally:
            service.state.writer._desk = desk
        assert (await http.get(f"/inspect/{TENANT_LOG}")).status_code == 200
        await service.signed(TENANT_LOG, 2)  # recorded as soon as it could be


async def test_an_erased_value_is_shown_as_erased_by_whom_and_why_and_a_vanished_one_as_missing(
    service: Service,
) -> None:
    async with service.client() as client, service.http() as operator, browser(service) as http:
        log = await service.tenant_log(client)
        await client.append(log, [draft(change=[Change(path="/name", old="Ana Ruiz of Sevilla", new="Eva")])])
        wanted = {
            "index": 1, "field": "change.0.old", "actor": {"type": "user", "sub": "dpo-1", "name": "Data Protection"},
            "reason": {"code": "ErasureRequest", "text": "ticket 17"},
        }  # fmt: skip
        assert (await operator.post(f"/v1/logs/{log}/erasures", json=wanted)).status_code == 200
        await service.signed(log, 3)
        await sign_in(service, http)
        for path in ("/entries/1", "/history?type=ConfigMap&id=app-config"):
            text = " ".join((await http.get(f"/inspect/{log}{path}")).text.split())
            assert "Ana Ruiz of Sevilla" not in text
            assert "<strong>Erased</strong> by Data Protection on" in text
            assert "ErasureRequest: ticket 17" in text
            assert f'href="/inspect/{log}/entries/2"' in text


async def test_wrong_times_and_entries_that_are_not_there_are_told_kindly(service: Service) -> None:
    await two_logs(service)
    async with browser(service) as http:
        await sign_in(service, http)
        bad = await http.get(f"/inspect/{TENANT_LOG}?from=yesterday")
        assert (bad.status_code, "not a date and a time" in bad.text) == (400, True)
        for index in ("99", "-1", "x", "9" * 40, "1e3", "٣"):
            assert (await http.get(f"/inspect/{TENANT_LOG}/entries/{index}")).status_code == 404, index


async def test_a_value_that_was_put_in_another_place_is_told_on_the_page_and_not_shown(service: Service) -> None:
    async with service.client() as client, browser(service) as http:
        log = await service.tenant_log(client)
        await client.append(log, [draft(change=[Change(path="/x", old="one", new="two")])])
        await service.signed(log, 2)
        await sign_in(service, http)
        original = service.state.reading.values

        async def exchanged(number: int, begin: int, end: int):
            first, second = await original(number, begin, end)
            return [replace(first, sealed=second.sealed), second]

        service.state.reading.values = exchanged
        answer = await http.get(f"/inspect/{log}/entries/1")
        service.state.reading.values = original
        assert (answer.status_code, answer.headers["content-type"]) == (500, "text/html; charset=utf-8")
        assert "cannot be shown" in answer.text
        assert answer.headers["cache-control"] == "no-store"


async def test_no_token_stays_in_the_services_memory(service: Service) -> None:
    await two_logs(service)
    async with browser(service) as http:
        token = service.cluster.token(AUDITOR, pod="")
        await http.post("/inspect/sign-in", data={"token": token})
        held = [service.state.tokens.__dict__, service.state.sessions.__dict__, service.state.reads.__dict__]
        assert token not in repr(held)


def test_every_action_has_its_meaning_in_words() -> None:
    assert set(words.meanings()) == {action.value for action in Action}
    assert {action for _, actions in words.grouped_actions() for action in actions} == {each.value for each in Action}
