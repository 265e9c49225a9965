"""An identity is one person's and is never used again (11.100(a), AT-30); a review signed in the page (AT-57)."""

from contextlib import contextmanager

import ldap
import pytest

from tests.tenant_app.support import people
from tests.tenant_app.support.callers import caller, soon, sub
from tests.tenant_app.support.site import Site
from tests.tenant_app.test_workflow import reviewer_sub, sign

TESS = "tess"


@contextmanager
def changing(directory, authority):
    conn = ldap.initialize(f"ldaps://127.0.0.1:{directory[0]}")
    conn.set_option(ldap.OPT_X_TLS_CACERTFILE, str(authority.ca))
    conn.set_option(ldap.OPT_X_TLS_NEWCTX, 0)
    conn.simple_bind_s("cn=admin,dc=cloister,dc=local", "admin-password")
    try:
        yield conn
    finally:
        conn.unbind_s()


def add_tess(conn) -> None:
    attributes = {
        "objectClass": [b"inetOrgPerson"], "uid": [TESS.encode()], "cn": [b"Tess Author"], "sn": [b"Author"],
        "displayName": [b"Tess Author"], "mail": [b"tess@acme.example"], "userPassword": [people.password(TESS).encode()],
    }  # fmt: skip
    conn.add_s(people.person_dn(TESS), list(attributes.items()))
    conn.modify_s(people.group_dn("authors"), [(ldap.MOD_ADD, "member", [people.person_dn(TESS).encode()])])


def remove_tess(conn) -> None:
    conn.modify_s(people.group_dn("authors"), [(ldap.MOD_DELETE, "member", [people.person_dn(TESS).encode()])])
    conn.delete_s(people.person_dn(TESS))


async def test_at30_an_account_made_again_is_another_person_who_owns_nothing_of_the_first(
    site: Site, directory, authority
):
    app = site.app
    with changing(directory, authority) as conn:
        add_tess(conn)
        try:
            first = await site.as_(TESS)
            old = await sub(app, TESS)
            subs = [await reviewer_sub(site, "rosa")]
            document, draft = await first.uploaded(b"one\n"), await first.uploaded(b"two\n")
            assert (await sign(first, TESS, document, "submit", reviewers=subs)).status_code == 303
            max_ = await caller(app, "max")
            await app.grants.grant(max_, old, "publish", "Stands in for Pia", soon())
        finally:
            remove_tess(conn)
        add_tess(conn)
        try:
            new = await sub(app, TESS)
            assert new != old
            second = await site.as_(TESS)
            # Neither the grant, nor the draft, nor the signature is theirs.
            assert "publish" not in (await second.get("/api/v1/session")).json()["rights"]
            assert (await sign(second, TESS, draft, "submit", reviewers=subs)).status_code == 409
            assert (await sign(second, TESS, document, "revoke", reason="Not mine, but I try")).status_code == 409
            who = await caller(app, TESS)
            (signature,) = (await app.progress.standing(who, document, 1)).signatures
            assert signature.payload["signer"]["sub"] == old
            # And the first session, whose person is gone, ends.
            await app.watch.look()
            assert (await first.get("/documents")).headers["location"].startswith("/sign-in")
            lines = [line for line in (await app.access_review.listing(max_)).lines if line.name == "Tess Author"]
            assert {line.sub: line.remarks for line in lines}[old] == ("the directory no longer gives them anything",)
        finally:
            remove_tess(conn)


async def test_at30_an_identity_cannot_be_reassigned_in_the_database(site: Site, server, fresh):
    alice, rita = await caller(site.app, "alice"), await caller(site.app, "rita")
    max_ = await caller(site.app, "max")
    await site.app.grants.grant(max_, rita.session.sub, "review", "Stands in for Rosa", soon())
    with server.admin(fresh.database.name) as conn:
        conn.execute("SET ROLE app")
        for table in ("grants", "trainings", "enrolments", "policy_acceptances"):
            with pytest.raises(Exception, match="permission denied"):
                conn.execute(f"UPDATE {table} SET sub = %s", (alice.session.sub,))  # noqa: S608  # names of this test


async def test_at57_a_review_is_signed_in_the_page_and_a_wrong_password_is_told(site: Site):
    manager = await site.as_("max")

    def field(page: str, name: str) -> str:
        return page.partition(f'name="{name}" value="')[2].partition('"')[0]

    page = (await manager.get("/admin/reviews")).text
    data = {"outcome": "to_change", "remarks": "Omar has too much in one hand", "account": "max"}
    given = {**data, "nonce": field(page, "nonce"), "sha256": field(page, "sha256")}
    wrong = await manager.post("/admin/reviews", {**given, "password": "wrong"})
    assert wrong.status_code == 403
    assert "Omar has too much in one hand</textarea>" in wrong.text
    again = {**given, "nonce": field(wrong.text, "nonce"), "password": people.password("max")}
    assert (await manager.post("/admin/reviews", again)).status_code == 303
    page = (await manager.get("/admin/reviews")).text
    assert "Something has to change" in page
    assert "<blockquote>Omar has too much in one hand</blockquote>" in page
    assert (await manager.post("/admin/reviews", again)).status_code == 403
