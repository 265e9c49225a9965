"""Sign-in against a real slapd over TLS, and sessions (11.10(d), 11.100, 11.300)."""

import asyncio
import re
from datetime import UTC, datetime, timedelta

import httpx
import ldap
import pytest
from psycopg import sql

from tenant_app import factory
from tenant_app.adapters import directory_entries
from tenant_app.adapters.directory import LdapDirectory
from tenant_app.domain.access import Role
from tenant_app.errors import DirectoryAway, NotSignedIn, SigningRefused, SignInRefused
from tenant_app.services.components import Typed
from tenant_app.services.sessions import Client
from tenant_app.settings import GroupRole
from tests.tenant_app.support import people
from tests.tenant_app.support.callers import CLIENT, caller, with_settings
from tests.tenant_app.support.site import Site


@pytest.fixture
def real(fresh) -> LdapDirectory:
    return LdapDirectory(fresh.ldap)


async def test_identity_is_the_entry_uuid_and_roles_come_from_groups(real):
    person = await real.authenticate("omar", people.password("omar"))
    assert re.fullmatch(r"[0-9a-f-]{36}", person.sub)
    assert {role.value for role in person.roles} == {"author", "reviewer", "approver", "publisher"}
    assert (await real.look_up(person.sub)) == person


@pytest.mark.parametrize("together", [1, 5, 100])
async def test_members_of_a_role_are_found_however_many_are_asked_for_at_once(real, monkeypatch, together):
    monkeypatch.setattr(directory_entries, "_TOGETHER", together)
    assert [person.account for person in await real.members(Role.REVIEWER)] == ["omar", "ravi", "rosa"]
    assert [person.account for person in await real.members(Role.READER)] == ["rita", "twin"]
    assert {role.value for role in (await real.find("omar")).roles} == {"author", "reviewer", "approver", "publisher"}


async def test_a_group_that_is_not_there_or_has_no_name_gives_nobody_its_role(fresh):
    nowhere = GroupRole(group="cn=nowhere,ou=groups,dc=cloister,dc=local", role="approver")
    broken = GroupRole(group="no distinguished name", role="publisher")
    groups = [*(group for group in fresh.ldap.groups if group.role == "reviewer"), nowhere, broken]
    few = LdapDirectory(fresh.ldap.model_copy(update={"groups": groups}))
    assert {role.value for role in (await few.authenticate("omar", people.password("omar"))).roles} == {"reviewer"}
    assert await few.members(Role.APPROVER) == await few.members(Role.PUBLISHER) == []


@pytest.mark.parametrize("password", ["", "wrong"])
async def test_at11_empty_and_wrong_passwords_are_refused(real, password):
    with pytest.raises(SignInRefused):
        await real.authenticate("alice", password)


@pytest.mark.parametrize("name", ["*", "alice)(uid=*", "al*", "alice\\00", "nobody", "twin", "nora", "a" * 300])
async def test_at40_injection_wildcards_strangers_twins_and_people_without_a_group_are_refused(site: Site, name):
    browser = site.browser()
    assert (await browser.sign_in(name, "alice-password" if name != "nora" else None)).status_code == 401


async def test_start_tls_is_verified_and_used(fresh, directory):
    section = fresh.ldap.model_copy(update={"url": f"ldap://127.0.0.1:{directory[1]}", "start_tls": True})
    assert (await LdapDirectory(section).authenticate("alice", people.password("alice"))).name == "Alice Author"


async def test_plain_ldap_and_another_authority_are_refused(fresh, directory, ground, tmp_path):
    plain = fresh.ldap.model_copy(update={"url": f"ldap://127.0.0.1:{directory[1]}"})
    with pytest.raises(DirectoryAway):
        await LdapDirectory(plain).check()
    from tests.tenant_app.support.certificates import Authority

    stranger = fresh.ldap.model_copy(update={"ca_file": Authority(tmp_path).ca})
    with pytest.raises(DirectoryAway):
        await LdapDirectory(stranger).check()


async def test_the_cookie_is_host_bound_secure_and_new_at_each_sign_in(site: Site):
    browser = site.browser()
    await browser.get("/sign-in")
    browser.http.cookies.set("__Host-cloister", "planted-before-sign-in", domain="localhost.local", path="/")
    answer = await browser.sign_in("alice")
    cookie = next(line for line in answer.headers.get_list("set-cookie") if line.startswith("__Host-cloister="))
    assert "planted" not in cookie
    assert all(word in cookie for word in ("HttpOnly", "Secure", "SameSite=lax", "Path=/"))
    assert "Domain" not in cookie


async def test_a_session_of_another_browser_is_dead_at_once(site: Site):
    alice = await site.as_("alice")
    token = alice.http.cookies["__Host-cloister"]
    thief = site.browser(agent="another-browser")
    thief.http.cookies.set("__Host-cloister", token, domain="localhost.local", path="/")
    assert (await thief.get("/documents")).headers["location"].startswith("/sign-in")
    # The session is over for both: its token was in the wrong hands.
    assert (await alice.get("/documents")).status_code == 303


@pytest.mark.parametrize(("column", "age"), [("last_seen_at", 901), ("signed_in_at", 43201)])
async def test_at47_idle_and_absolute_timeouts_end_a_session(site: Site, server, fresh, column, age):
    alice = await site.as_("alice")
    with server.admin(fresh.database.name) as conn:
        conn.execute(
            sql.SQL("UPDATE sessions SET {} = now() - make_interval(secs => {})").format(sql.Identifier(column), age)
        )
    assert (await alice.get("/documents")).status_code == 303
    with server.admin(fresh.database.name) as conn:
        reason = conn.execute("SELECT end_reason FROM sessions").fetchone()[0]
    assert reason == ("idle" if column == "last_seen_at" else "absolute")


async def test_at47_a_session_that_nobody_comes_back_to_ends_and_is_recorded(site: Site, server, fresh, audit):
    await site.as_("alice")
    with server.admin(fresh.database.name) as conn:
        conn.execute("UPDATE sessions SET last_seen_at = now() - interval '16 minutes'")
    await site.app.watch.look()
    await site.app.relay.deliver_all()
    assert audit.actions()[-1] == "app:session:expire"


async def test_at48_a_hundred_sign_ins_at_once_leave_exactly_the_limit(app: factory.App, server, fresh, monkeypatch):
    person = await app.ports.directory.authenticate("alice", people.password("alice"))

    async def at_once(_account: str, _password: str):
        return person

    monkeypatch.setattr(app.ports.directory, "authenticate", at_once)
    client = Client(address="127.0.0.1", agent="x", request="r")
    opened = await asyncio.gather(*(app.sessions.sign_in("alice", "x", client) for _ in range(100)))
    live = 0
    for token, _ in opened:
        try:
            await app.sessions.resume(token, client)
            live += 1
        except NotSignedIn:
            continue
    assert live == fresh.sessions.max_concurrent


async def test_at49_failures_are_delayed_per_account_and_source_and_others_are_not_locked_out(site: Site):
    attacker = site.browser(address="10.9.9.9")
    statuses = [(await attacker.sign_in("alice", "guess")).status_code for _ in range(6)]
    assert statuses[:3] == [401, 401, 401]
    assert statuses[-1] == 429
    assert (await site.browser(address="10.1.1.1").sign_in("alice")).status_code == 303


async def test_at10_disabled_in_the_directory_ends_every_live_session(site: Site, directory, authority):
    pia = await site.as_("pia")
    assert (await pia.get("/documents")).status_code == 200
    conn = ldap.initialize(f"ldaps://127.0.0.1:{directory[0]}")
    conn.set_option(ldap.OPT_X_TLS_CACERTFILE, str(authority.ca))
    conn.set_option(ldap.OPT_X_TLS_NEWCTX, 0)
    conn.simple_bind_s("cn=admin,dc=cloister,dc=local", "admin-password")
    member = people.person_dn("pia").encode()
    rita = people.person_dn("rita").encode()
    conn.modify_s(
        people.group_dn("publishers"), [(ldap.MOD_ADD, "member", [rita]), (ldap.MOD_DELETE, "member", [member])]
    )
    try:
        await site.app.watch.look()
        assert (await pia.get("/documents")).headers["location"].startswith("/sign-in")
        assert (await site.browser().sign_in("pia")).status_code == 401
    finally:
        conn.modify_s(
            people.group_dn("publishers"), [(ldap.MOD_ADD, "member", [member]), (ldap.MOD_DELETE, "member", [rita])]
        )
        conn.unbind_s()


async def test_csrf_without_a_token_with_another_token_and_from_another_site_are_refused(site: Site):
    alice, rita = await site.as_("alice"), await site.as_("rita")
    for token in ("", "x", rita.token):
        assert (await alice.post("/sign-out", {"csrf": token})).status_code == 403
    for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}):
        assert (await alice.post("/sign-out", headers=headers)).status_code == 403
    stranger = site.browser()
    data = {"csrf": "", "account": "alice", "password": people.password("alice")}
    assert (await stranger.http.post("/sign-in", data=data)).status_code == 403


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"]
)
async def test_sign_in_leads_only_to_this_site(site: Site, target):
    browser = site.browser()
    await browser.get("/sign-in")
    data = {"account": "alice", "password": people.password("alice"), "next": target}
    assert (await browser.post("/sign-in", data)).headers["location"] == "/"


async def test_signing_out_kills_the_session_on_the_server(site: Site):
    alice = await site.as_("alice")
    token = alice.http.cookies["__Host-cloister"]
    assert (await alice.post("/sign-out")).status_code == 303
    alice.http.cookies.set("__Host-cloister", token, domain="localhost.local", path="/")
    assert (await alice.get("/documents")).status_code == 303


async def test_every_answer_is_strict_and_numbered(site: Site):
    answer: httpx.Response = await site.browser().get("/sign-in")
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    assert len(answer.headers["x-request-id"]) == 36


def test_delays_grow_and_are_forgotten():
    from tenant_app.domain.lockout import Failures, LockoutRules, Scope

    now, rules = datetime.now(UTC), LockoutRules()
    waits = [
        rules.wait_of(Failures(scope=Scope.ACCOUNT_AT_SOURCE, count=count, last_at=now)).total_seconds()
        for count in range(1, 8)
    ]
    assert waits == [0, 0, 1, 2, 4, 8, 16]
    assert rules.wait_of(Failures(scope=Scope.ACCOUNT, count=1000, last_at=now)) == timedelta(seconds=30)
    old = Failures(scope=Scope.ACCOUNT_AT_SOURCE, count=1000, last_at=now - timedelta(hours=2))
    assert rules.remaining([old], now=now) == timedelta(0)


def test_a_tenant_sets_what_failures_cost_and_a_wait_outlasts_the_hour_after_which_failures_are_forgotten():
    from tenant_app.domain.lockout import Failures, LockoutRules, Scope, curves

    now = datetime.now(UTC)
    rules = LockoutRules(
        curves=curves(
            sign_in_failures=4,
            sign_in_wait=timedelta(seconds=5),
            signing_failures=3,
            signing_wait=timedelta(hours=24),
        )
    )

    def waits(scope: Scope, count: int) -> float:
        return rules.wait_of(Failures(scope=scope, count=count, last_at=now)).total_seconds()

    assert [waits(Scope.ACCOUNT, count) for count in (3, 4, 5, 6, 7, 99)] == [0, 1, 2, 4, 5, 5]
    assert [waits(Scope.SIGNING, count) for count in (2, 3, 4)] == [0, 86400, 86400]
    long_ago = Failures(scope=Scope.SIGNING, count=3, last_at=now - timedelta(hours=23))
    assert rules.remaining([long_ago], now=now) == timedelta(hours=1)
    assert rules.locks(long_ago)
    assert rules.forget_before([Scope.ACCOUNT], now) == now - timedelta(hours=1)


async def test_at44_signing_locks_after_as_many_failures_as_the_tenant_set(fresh, keys, audit):
    config = with_settings(fresh, sessions={"lockout": {"signingFailures": 3, "signingWaitSeconds": 3600}})
    app = factory.build(config, factory.Ports(keys=keys, directory=LdapDirectory(config.ldap), audit=audit))
    await app.database.open()
    try:
        alice = await caller(app, "alice")
        wrong = Typed(account="alice", password="wrong")
        for _ in range(3):
            with pytest.raises(SigningRefused, match="not right"):
                await app.signing._components.prove(alice, CLIENT, wrong, datetime.now(UTC))
        right, later = (
            Typed(account="alice", password=people.password("alice")),
            datetime.now(UTC) + timedelta(minutes=59),
        )
        with pytest.raises(SigningRefused, match="locked"):
            await app.signing._components.prove(alice, CLIENT, right, later)
        proven = await app.signing._components.prove(alice, CLIENT, right, later + timedelta(minutes=2))
        assert proven["components"] == ["id", "password"]
    finally:
        await app.close()
