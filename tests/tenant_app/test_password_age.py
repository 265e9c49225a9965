"""Password aging against a slapd with the password policy overlay, and Active Directory's way of telling (11.300(b), AT-41, AT-10)."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import ldap
import ldap.controls.simple
import pytest

from tenant_app import factory, settings
from tenant_app.adapters.directory import LdapDirectory
from tenant_app.adapters.password_age import changed_at
from tests.tenant_app.support import people
from tests.tenant_app.support.site import Site
from tests.tenant_app.test_workflow import reviewer_sub, sign

# Lets the directory's own administrator set what only the server sets (draft-zeilenga-ldap-relax).
RELAX = ldap.controls.simple.ValueLessRequestControl("1.3.6.1.4.1.4203.666.5.12", criticality=True)


@contextmanager
def as_admin(directory, authority) -> Iterator:
    conn = ldap.initialize(f"ldaps://127.0.0.1:{directory[0]}")
    conn.set_option(ldap.OPT_X_TLS_CACERTFILE, str(authority.ca))
    conn.set_option(ldap.OPT_X_TLS_NEWCTX, 0)
    conn.simple_bind_s("cn=admin,dc=cloister,dc=local", "admin-password")
    try:
        yield conn
    finally:
        conn.unbind_s()


def put(conn, uid: str, name: str, value: bytes | None) -> None:
    conn.modify_ext_s(
        people.person_dn(uid), [(ldap.MOD_REPLACE, name, [value] if value else None)], serverctrls=[RELAX]
    )


@pytest.fixture
async def aged(fresh, keys, audit):
    section = fresh.signing.model_copy(update={"max_password_age_days": 90})
    config: settings.Settings = fresh.model_copy(update={"signing": section})
    app = factory.build(config, factory.Ports(keys=keys, directory=LdapDirectory(config.ldap), audit=audit))
    await app.database.open()
    site = Site(app)
    yield site
    await site.close()
    await app.close()


async def try_to_sign(site: Site):
    alice = await site.as_("alice")
    return await sign(alice, "alice", await alice.uploaded(), "submit", reviewers=[await reviewer_sub(site, "rosa")])


@pytest.mark.parametrize(("days", "status"), [(None, 403), (89, 303), (91, 403), (4000, 403)])
async def test_at41_a_password_older_than_the_tenant_allows_signs_nothing(
    aged: Site, directory, authority, days, status
):
    set_at = datetime.now(UTC) - timedelta(days=days or 0)
    with as_admin(directory, authority) as conn:
        put(conn, "alice", "pwdChangedTime", set_at.strftime("%Y%m%d%H%M%SZ").encode() if days else None)
        try:
            answer = await try_to_sign(aged)
        finally:
            put(conn, "alice", "pwdChangedTime", None)
    assert answer.status_code == status
    if status == 403:
        assert ("older than 90 days" in answer.text) == (days is not None)
        assert ("does not tell" in answer.text) == (days is None)


async def test_at41_changing_the_password_in_the_directory_makes_it_sign_again(aged: Site, directory, authority):
    with as_admin(directory, authority) as conn:
        put(conn, "alice", "pwdChangedTime", b"20200101000000Z")
        try:
            assert (await try_to_sign(aged)).status_code == 403
            new = [(ldap.MOD_REPLACE, "userPassword", [people.password("alice").encode()])]
            conn.modify_s(people.person_dn("alice"), new)
            assert (await try_to_sign(aged)).status_code == 303
        finally:
            put(conn, "alice", "pwdChangedTime", None)


async def test_at41_without_a_limit_no_age_is_asked_for(site: Site, directory, authority):
    with as_admin(directory, authority) as conn:
        put(conn, "alice", "pwdChangedTime", b"20200101000000Z")
        try:
            assert (await try_to_sign(site)).status_code == 303
        finally:
            put(conn, "alice", "pwdChangedTime", None)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"pwdLastSet": [b"133536384000000000"]}, datetime(2024, 2, 29, tzinfo=UTC)),
        ({"pwdLastSet": [b"0"]}, datetime(1601, 1, 1, tzinfo=UTC)),
        ({"pwdChangedTime": [b"20240229000000Z"]}, datetime(2024, 2, 29, tzinfo=UTC)),
        ({"pwdchangedtime": [b"20240229000000.000000Z"]}, datetime(2024, 2, 29, tzinfo=UTC)),
        ({"pwdChangedTime": [b"yesterday"]}, None), ({"pwdLastSet": [b"-1"]}, None), ({"pwdLastSet": []}, None), ({}, None),
    ],
)  # fmt: skip
def test_at41_both_kinds_of_directories_are_understood(attributes, expected):
    assert changed_at(attributes) == expected


async def test_at10_locked_by_the_directorys_password_policy_ends_every_live_session(site: Site, directory, authority):
    pia, rita = await site.as_("pia"), await site.as_("rita")
    with as_admin(directory, authority) as conn:
        put(conn, "pia", "pwdAccountLockedTime", b"000001010000Z")
        try:
            await site.app.watch.look()
            assert (await pia.get("/documents")).headers["location"].startswith("/sign-in")
            assert (await site.browser().sign_in("pia")).status_code == 401
            assert (await rita.get("/documents")).status_code == 200
        finally:
            put(conn, "pia", "pwdAccountLockedTime", None)


def test_at10_the_directory_is_asked_often_enough_for_a_minute():
    from tenant_app.adapters.directory_entries import TIMEOUT
    from tenant_app.services.directory_watch import EVERY_SECONDS

    assert EVERY_SECONDS + 2 * TIMEOUT < 60
