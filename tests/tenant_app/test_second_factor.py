"""The second factor: enrolment, sign-in, signing, replay, drift, recovery, reset by two (11.200(a)(1), 11.300, AT-35, AT-46)."""

import asyncio
import base64
import html
import json
import re
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import pyotp
import pytest

from tenant_app import factory, settings
from tenant_app.adapters.directory import LdapDirectory
from tenant_app.domain import second_factor as rules
from tests.tenant_app.support import people
from tests.tenant_app.support.site import Browser, Site
from tests.tenant_app.test_workflow import reviewer_sub, sign


class Phone:
    """An authenticator app. `code` never gives the same one twice: the server's memory of used steps is moved back instead."""

    def __init__(self, secret: str, server, database: str) -> None:
        self.totp = pyotp.TOTP(secret)
        self._server, self._database = server, database

    def code(self, steps: int = 0) -> str:
        self.later()
        # Near the end of a step, what is one off now would be two off when it arrives.
        while time.time() % 30 > 25:
            time.sleep(0.5)
        return self.totp.at(int(time.time()) + 30 * steps)

    def later(self) -> None:
        with self._server.admin(self._database) as conn:
            conn.execute("UPDATE second_factors SET last_step = 0")


@pytest.fixture
async def make(fresh, keys, audit) -> AsyncIterator[Callable]:
    made: list[tuple[Site, factory.App]] = []

    async def site(policy: str, **more) -> Site:
        section = settings.SecondFactorSection(policy=policy, **more)
        config = fresh.model_copy(update={"second_factor": section})
        app = factory.build(config, factory.Ports(keys=keys, directory=LdapDirectory(config.ldap), audit=audit))
        await app.database.open()
        made.append((Site(app), app))
        return made[-1][0]

    yield site
    for found, app in made:
        await found.close()
        await app.close()


async def sign_in(site: Site, uid: str, code: str = "", **more) -> tuple[Browser, int]:
    browser = site.browser(**more)
    await browser.get("/sign-in")
    answer = await browser.post("/sign-in", {"account": uid, "password": people.password(uid), "code": code})
    if answer.status_code == 303:
        await browser.get("/second-factor")
    return browser, answer.status_code


async def offer(browser: Browser, uid: str, code: str = "") -> str:
    """Ask for a new device; return its secret, as the page shows it."""
    answer = await browser.post(
        "/second-factor/begin", {"account": uid, "password": people.password(uid), "code": code}
    )
    assert answer.status_code == 200, answer.text
    assert "<svg" in answer.text
    assert "style=" not in answer.text
    return re.search(r'<p class="mono wrap">([A-Z2-7 ]+)</p>', answer.text)[1].replace(" ", "")


async def enrol(site: Site, uid: str, server, fresh) -> tuple[Phone, list[str]]:
    browser, status = await sign_in(site, uid)
    assert status == 303
    phone = Phone(await offer(browser, uid), server, fresh.database.name)
    answer = await browser.post("/second-factor/confirm", {"code": phone.code()})
    assert answer.status_code == 200, answer.text
    codes = re.findall(r"<li>([A-Z2-7-]{19})</li>", html.unescape(answer.text))
    assert len(codes) == 10
    # What one may do has changed, so every session is over.
    assert (await browser.get("/documents")).headers["location"].startswith("/sign-in")
    return phone, codes


async def test_off_asks_nobody_and_offers_nothing(site: Site):
    alice = await site.as_("alice")
    assert 'name="code"' not in (await site.browser().get("/sign-in")).text
    assert "does not use a second factor" in (await alice.get("/second-factor")).text
    typed = {"account": "alice", "password": people.password("alice")}
    assert (await alice.post("/second-factor/begin", typed)).status_code == 404


async def test_optional_asks_those_who_have_set_one_up_and_only_them(make, server, fresh):
    site = await make("optional")
    phone, _ = await enrol(site, "alice", server, fresh)
    assert (await sign_in(site, "alice"))[1] == 401
    assert (await sign_in(site, "alice", "000000"))[1] in {401, 429}
    assert (await sign_in(site, "alice", phone.code(), address="10.0.0.2"))[1] == 303
    assert (await sign_in(site, "andre"))[1] == 303


async def test_a_wrong_password_and_a_wrong_code_are_refused_in_the_same_words_and_both_count(make, server, fresh):
    site = await make("optional")
    phone, _ = await enrol(site, "alice", server, fresh)
    said = set()
    for password, code in (("wrong", phone.code()), (people.password("alice"), "123456"), ("wrong", "123456")):
        browser = site.browser(address="10.0.0.3")
        await browser.get("/sign-in")
        answer = await browser.post("/sign-in", {"account": "alice", "password": password, "code": code})
        assert answer.status_code == 401
        said.add(re.search(r'role="alert".*?<p>(.*?)</p>', answer.text, re.DOTALL)[1])
    assert said == {"The name, the password or the code is not right, or the account may not use this system."}
    assert (await sign_in(site, "alice", phone.code(), address="10.0.0.3"))[1] == 429


async def test_replay_a_code_works_once_however_many_try_at_the_same_moment(make, server, fresh):
    site = await make("optional")
    phone, _ = await enrol(site, "alice", server, fresh)
    code = phone.code()
    tries = [sign_in(site, "alice", code, address=f"10.9.0.{number}") for number in range(8)]
    statuses = [status for _, status in await asyncio.gather(*tries)]
    assert sorted(statuses) == [303] + [401] * 7
    assert (await sign_in(site, "alice", code, address="10.9.1.1"))[1] == 401


@pytest.mark.parametrize(("steps", "expected"), [(-2, 401), (-1, 303), (0, 303), (1, 303), (2, 401)])
async def test_a_clock_may_be_one_step_off_and_no_more(make, server, fresh, steps, expected):
    site = await make("optional")
    phone, _ = await enrol(site, "alice", server, fresh)
    assert (await sign_in(site, "alice", phone.code(steps)))[1] == expected


def test_an_older_code_is_refused_after_a_newer_one():
    secret, now = rules.new_secret(), datetime.now(UTC)
    current = int(now.timestamp()) // 30
    older = pyotp.TOTP(secret).at((current - 1) * 30)
    assert rules.step_of(secret, older, now=now, after=0) == current - 1
    assert rules.step_of(secret, older, now=now, after=current) is None


@pytest.mark.parametrize("typed", ["", "12345", "1234567", "١٢٣٤٥٦", "abcdef", "000000\x00", " " * 6])
def test_what_is_no_code_is_no_code(typed):
    assert rules.step_of(rules.new_secret(), typed, now=datetime.now(UTC), after=0) is None


async def test_at35_the_first_signing_of_a_period_takes_the_code_and_the_record_says_totp(make, server, fresh):
    site = await make("optional")
    phone, _ = await enrol(site, "alice", server, fresh)
    alice, _ = await sign_in(site, "alice", phone.code())
    await alice.get("/upload")
    one, two = await alice.uploaded(b"one\n"), await alice.uploaded(b"two\n")
    subs = [await reviewer_sub(site, "rosa")]
    assert (await sign(alice, "alice", one, "submit", reviewers=subs)).status_code == 403
    assert (await sign(alice, "alice", one, "submit", reviewers=subs, code="123456")).status_code == 403
    assert (await sign(alice, "alice", one, "submit", reviewers=subs, code=phone.code())).status_code == 303
    assert (await sign(alice, "alice", two, "submit", reviewers=subs, account="")).status_code == 303
    found = []
    await site.app.columns.ready()
    with server.admin(fresh.database.name) as conn:
        for row in conn.execute("SELECT id, document, sealed FROM signatures ORDER BY at").fetchall():
            envelope = site.app.columns.open(bytes(row[2]), "signatures", str(row[0]), str(row[1]))
            found.append(json.loads(base64.b64decode(envelope["payload"]))["auth"])
    assert [auth["components"] for auth in found] == [["id", "password", "totp"], ["password"]]
    assert [auth["mfa"] for auth in found] == ["totp", None]
    assert "id + password + totp" in (await alice.get(f"/documents/{one}")).text


async def test_at44_wrong_codes_at_signing_lock_like_wrong_passwords(make, server, fresh):
    site = await make("optional")
    phone, _ = await enrol(site, "alice", server, fresh)
    alice, _ = await sign_in(site, "alice", phone.code())
    await alice.get("/upload")
    document = await alice.uploaded()
    for _ in range(5):
        await sign(alice, "alice", document, "submit", reviewers=["x"], code="123456")
    assert (await alice.get("/documents")).status_code == 303
    again, _ = await sign_in(site, "alice", phone.code())
    answer = await sign(again, "alice", document, "submit", reviewers=["x"], code=phone.code())
    assert "locked" in answer.text


async def test_required_opens_nothing_but_the_enrolment_until_it_is_done(make, server, fresh):
    from tenant_app.web.app import PAGES
    from tenant_app.web.guard import Access
    from tests.tenant_app.test_attacks_requests import concrete

    site = await make("required")
    omar, status = await sign_in(site, "omar")
    assert status == 303
    for page in PAGES:
        if page.needs not in {Access.PUBLIC, Access.ENROLLING}:
            path = concrete(page.path)
            answer = await (omar.get(path) if page.method == "GET" else omar.post(path))
            assert answer.status_code == 403, path
    assert (await omar.http.get("/api/v1/session")).status_code == 403
    phone, _ = await enrol(site, "alice", server, fresh)
    alice, _ = await sign_in(site, "alice", phone.code())
    assert (await alice.get("/documents")).status_code == 200


async def test_recovery_codes_sign_in_once_each_replace_the_device_and_never_sign(make, server, fresh, audit):
    site = await make("optional")
    _, codes = await enrol(site, "alice", server, fresh)
    alice, status = await sign_in(site, "alice", codes[0].lower().replace("-", " "))
    assert status == 303
    assert (await sign_in(site, "alice", codes[0], address="10.0.0.4"))[1] == 401
    await alice.get("/upload")
    document = await alice.uploaded()
    assert (await sign(alice, "alice", document, "submit", reviewers=["x"], code=codes[1])).status_code == 403
    await alice.get("/second-factor")
    typed = {"account": "alice", "password": people.password("alice"), "code": ""}
    assert (await alice.post("/second-factor/begin", typed)).status_code == 403
    new = Phone(await offer(alice, "alice", codes[2]), server, fresh.database.name)
    assert (await alice.post("/second-factor/confirm", {"code": new.code()})).status_code == 200
    assert (await sign_in(site, "alice", codes[3], address="10.0.0.5"))[1] == 401
    assert (await sign_in(site, "alice", new.code(), address="10.0.0.6"))[1] == 303
    with server.admin(fresh.database.name) as conn:
        rows = conn.execute("SELECT hash FROM recovery_codes").fetchall()
        stored = b"".join(bytes(row[0]) for row in rows) + bytes(
            conn.execute("SELECT sealed FROM second_factors").fetchone()[0]
        )
    assert len(rows) == 10
    assert new.totp.secret.encode() not in stored
    await site.app.relay.deliver_all()
    said = json.dumps(audit.entries)
    assert not any(word in said for word in (*codes, new.totp.secret))
    assert "Signed in with a recovery code" in said


async def test_a_device_is_set_up_only_by_who_types_name_and_password_again(make, server, fresh):
    site = await make("optional")
    alice, _ = await sign_in(site, "alice")
    for typed in (
        {"account": "alice", "password": ""}, {"account": "", "password": people.password("alice")},
        {"account": "andre", "password": people.password("andre")}, {"account": "alice", "password": "wrong"},
    ):  # fmt: skip
        assert (await alice.post("/second-factor/begin", typed)).status_code == 403
    assert (await alice.post("/second-factor/confirm", {"code": "123456"})).status_code == 404
    with server.admin(fresh.database.name) as conn:
        assert conn.execute("SELECT count(*) FROM second_factors").fetchone()[0] == 0


async def test_a_device_moved_to_another_person_does_not_open(make, server, fresh):
    site = await make("optional")
    phone, _ = await enrol(site, "alice", server, fresh)
    await sign_in(site, "andre")
    with server.admin(fresh.database.name) as conn:
        conn.execute("UPDATE second_factors SET sub = (SELECT sub FROM people WHERE sub <> second_factors.sub)")
    assert (await sign_in(site, "andre", phone.code()))[1] == 500


async def test_at46_a_device_unused_for_long_signs_in_but_has_to_be_tested_before_it_signs(make, server, fresh, audit):
    site = await make("optional", retest_days=30)
    phone, _ = await enrol(site, "alice", server, fresh)
    with server.admin(fresh.database.name) as conn:
        conn.execute("UPDATE second_factors SET tested_at = now() - interval '31 days'")
    alice, status = await sign_in(site, "alice", phone.code())
    assert status == 303
    await alice.get("/upload")
    document = await alice.uploaded()
    subs = [await reviewer_sub(site, "rosa")]
    answer = await alice.get(f"/documents/{document}/versions/1/sign/submit")
    assert answer.status_code == 403
    assert "Test it" in answer.text
    assert (
        await sign(alice, "alice", document, "submit", nonce="x", reviewers=subs, code=phone.code())
    ).status_code == 403
    assert "test it before signing" in (await alice.get("/second-factor")).text
    assert (await alice.post("/second-factor/test", {"code": "123456"})).status_code == 403
    assert (await alice.post("/second-factor/test", {"code": phone.code()})).status_code == 303
    assert (await sign(alice, "alice", document, "submit", reviewers=subs, code=phone.code())).status_code == 303
    await site.app.relay.deliver_all()
    assert "second_factor_tested" in json.dumps(audit.entries)


def test_at46_use_within_the_time_keeps_a_device_ready():
    found = rules.FactorRules(policy=rules.Policy.OPTIONAL, retest_after=timedelta(days=30))
    now = datetime.now(UTC)
    assert not found.due(now - timedelta(days=30), now)
    assert found.due(now - timedelta(days=30, seconds=1), now)


async def make_due(server, fresh) -> None:
    with server.admin(fresh.database.name) as conn:
        conn.execute("UPDATE two_person_requests SET not_before = now() - interval '1 second'")


async def test_a_reset_takes_two_administrators_and_its_owner_is_told(make, server, fresh, audit):
    site = await make("optional")
    phone, codes = await enrol(site, "alice", server, fresh)
    sub = await reviewer_sub(site, "alice")
    (manager, _), (other, _) = await sign_in(site, "max"), await sign_in(site, "olga")
    assert "Ask for the reset of Alice Author" in (await manager.get("/admin/second-factors")).text
    ask = {"kind": "reset_second_factor", "reason": "Lost phone"}
    assert (await manager.post(f"/admin/people/{sub}/requests", ask)).status_code == 303
    assert "Reset is asked for" in (await manager.get("/admin/second-factors")).text
    confirm = re.search(r"/admin/requests/[0-9a-f-]{36}/confirm", (await other.get("/admin/requests")).text)[0]
    assert confirm not in (await manager.get("/admin/requests")).text
    # Alone, an administrator gets nowhere; and nobody without the right does.
    assert (await manager.post(confirm)).status_code == 403
    rita, _ = await sign_in(site, "rita")
    assert (await rita.post(confirm)).status_code == 403
    assert (await other.post(confirm)).status_code == 303
    # Before the cool-off is over the device is as it was, and its owner hears of it at once and may object.
    assert await site.app.two_person.do_due() == 0
    assert (await sign_in(site, "alice", address="10.0.0.7"))[1] == 401
    alice, _ = await sign_in(site, "alice", phone.code(), address="10.0.0.6")
    assert "was asked for on your account" in (await alice.get("/")).text
    await make_due(server, fresh)
    assert await site.app.two_person.do_due() == 1
    assert (await alice.get("/documents")).headers["location"].startswith("/sign-in")
    browser = site.browser(address="10.0.0.8")
    await browser.get("/sign-in")
    answer = await browser.post(
        "/sign-in", {"account": "alice", "password": people.password("alice"), "next": "/documents"}
    )
    assert answer.headers["location"] == "/"
    page = (await browser.get("/")).text
    assert "was done on your account" in page
    assert "By Max Manager, confirmed by Olga Manager: “Lost phone”" in page
    seen = re.search(r"/me/requests/[0-9a-f-]{36}/seen", page)[0]
    assert (await browser.post(seen)).headers["location"] == "/"
    assert "on your account" not in (await browser.get("/")).text
    assert (await sign_in(site, "alice", codes[0], address="10.0.0.9"))[1] == 303  # a code is not asked for any more
    with server.admin(fresh.database.name) as conn:
        assert conn.execute("SELECT count(*) FROM recovery_codes").fetchone()[0] == 0
        kinds = [row[0] for row in conn.execute("SELECT kind FROM alerts ORDER BY at")]
    assert kinds == ["two_person_asked", "two_person_done"]
    await site.app.relay.deliver_all()
    steps = [entry["action"].rpartition(":")[2] for entry in audit.entries if "two-person" in entry["action"]]
    assert steps == ["request", "refuse", "confirm", "do", "see"]
    done = next(entry for entry in audit.entries if entry["action"] == "app:two-person:do")
    assert {"path": "/secondFactor", "old": 1, "new": 0} in done["change"]


async def test_a_reset_owner_who_has_to_set_up_a_device_first_is_told_on_that_page(make, server, fresh):
    site = await make("required")
    await enrol(site, "alice", server, fresh)
    managers = [await enrol(site, uid, server, fresh) for uid in ("max", "olga")]
    (first, _), (second, _) = [
        await sign_in(site, uid, phone.code()) for uid, (phone, _) in zip(("max", "olga"), managers, strict=True)
    ]
    sub = await reviewer_sub(site, "alice")
    await first.get("/admin")
    ask = {"kind": "reset_second_factor", "reason": "Lost phone"}
    assert (await first.post(f"/admin/people/{sub}/requests", ask)).status_code == 303
    confirm = re.search(r"/admin/requests/[0-9a-f-]{36}/confirm", (await second.get("/admin/requests")).text)[0]
    assert (await second.post(confirm)).status_code == 303
    await make_due(server, fresh)
    assert await site.app.two_person.do_due() == 1
    browser = site.browser(address="10.0.0.8")
    await browser.get("/sign-in")
    answer = await browser.post("/sign-in", {"account": "alice", "password": people.password("alice")})
    assert answer.headers["location"] == "/second-factor"
    page = (await browser.get("/second-factor")).text
    assert "was done on your account" in page
    seen = re.search(r"/me/requests/[0-9a-f-]{36}/seen", page)[0]
    assert (await browser.post(seen)).headers["location"] == "/second-factor"
    assert "on your account" not in (await browser.get("/second-factor")).text


async def test_nobody_asks_for_a_reset_of_their_own(make, server, fresh):
    site = await make("optional")
    phone, _ = await enrol(site, "max", server, fresh)
    manager, _ = await sign_in(site, "max", phone.code())
    sub = await reviewer_sub(site, "max")
    assert "Ask for the reset" not in (await manager.get("/admin/second-factors")).text
    ask = {"kind": "reset_second_factor", "reason": "Lost phone"}
    assert (await manager.post(f"/admin/people/{sub}/requests", ask)).status_code == 403
    with server.admin(fresh.database.name) as conn:
        assert conn.execute("SELECT count(*) FROM two_person_requests").fetchone()[0] == 0


async def test_at43_a_reported_loss_voids_the_second_factor_with_its_recovery_codes(make, server, fresh, audit):
    site = await make("optional")
    phone, codes = await enrol(site, "alice", server, fresh)
    alice, _ = await sign_in(site, "alice", phone.code())
    await alice.get("/me")
    answer = await alice.post("/me/loss", {"lost": "My phone was stolen on the train"})
    assert answer.headers["location"].startswith("/sign-in")
    with server.admin(fresh.database.name) as conn:
        left = conn.execute("SELECT (SELECT count(*) FROM second_factors), (SELECT count(*) FROM recovery_codes)")
        assert left.fetchone() == (0, 0)
    # Neither the stolen phone nor a recovery code opens anything, nor would the password alone.
    for number, code in enumerate((phone.totp.now(), codes[0], "")):
        assert (await sign_in(site, "alice", code, address=f"10.0.1.{number}"))[1] == 403
    await site.app.relay.deliver_all()
    reported = next(entry for entry in audit.entries if entry["action"] == "app:loss:report")
    assert {"path": "/secondFactor", "old": 1, "new": 0} in reported["change"]


async def test_at57_a_review_of_access_is_signed_with_the_second_factor_too(make, server, fresh):
    site = await make("required")
    phone, _ = await enrol(site, "max", server, fresh)
    manager, _ = await sign_in(site, "max", phone.code())
    page = (await manager.get("/admin/reviews")).text
    assert 'name="code"' in page
    given = dict(re.findall(r'name="(nonce|sha256)" value="([^"]+)"', page))
    given |= {"outcome": "in_order", "remarks": "", "account": "max", "password": people.password("max")}
    assert (await manager.post("/admin/reviews", given)).status_code == 403
    page = (await manager.get("/admin/reviews")).text
    given |= dict(re.findall(r'name="(nonce|sha256)" value="([^"]+)"', page))
    assert (await manager.post("/admin/reviews", {**given, "code": phone.code()})).status_code == 303
    page = (await manager.get("/admin/reviews")).text
    assert "id + password + totp" in page
    # The period goes on: what comes next takes the password only.
    assert 'name="code"' not in page
