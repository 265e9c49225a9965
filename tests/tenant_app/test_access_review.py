"""Reviews of access: who has which right through what, signed off, told when overdue (11.300(b))."""

from datetime import UTC, datetime, timedelta

import pytest

from tenant_app import factory
from tenant_app.adapters.directory import LdapDirectory
from tenant_app.domain.access_review import due_at
from tenant_app.errors import Conflict, Forbidden, IntegrityViolation, InvalidInput, SigningRefused
from tenant_app.services.access_review import Outcome
from tenant_app.services.components import Typed
from tests.tenant_app.support import people
from tests.tenant_app.support.callers import CLIENT, caller, soon, with_settings
from tests.tenant_app.support.site import Site

TYPED = Typed(account="max", password=people.password("max"))


async def signed(app, who, *, outcome: str = "in_order", remarks: str = "", typed: Typed = TYPED):
    listing = await app.access_review.listing(who)
    nonce, _ = await app.access_review.challenge(who, CLIENT, listing)
    given = Outcome(nonce=nonce, sha256=listing.sha256, outcome=outcome, remarks=remarks, typed=typed)
    return await app.access_review.sign_off(who, CLIENT, given)


async def test_at57_the_list_says_who_has_what_through_what(site: Site):
    app = site.app
    max_, rita, ana, pia = [await caller(app, uid) for uid in ("max", "rita", "ana", "pia")]
    await app.grants.grant(max_, rita.session.sub, "review", "Stands in for Rosa", soon())
    delegation = await app.delegations.offer(ana, pia.session.sub, "approval", "On leave", soon())
    await app.delegations.accept(pia, delegation)
    lines = {line.name: line for line in (await app.access_review.listing(max_)).lines}
    assert lines["Rita Reader"].rights == ("review", "view")
    assert lines["Rita Reader"].through[0] == "directory: reader"
    assert lines["Rita Reader"].through[1].startswith("grant: review until ")
    assert "delegation: approval for Ana Approver" in lines["Pia Publisher"].through
    # Also people who never signed in, as the directory gives them rights.
    assert lines["Omar Allrounder"].rights == ("annotate", "approve", "author", "publish", "review", "view")
    assert "Nora Nobody" not in lines


async def test_at57_a_review_is_a_signed_record_in_a_chain(site: Site, audit):
    app, max_ = site.app, await caller(site.app, "max")
    first = await signed(app, max_)
    second = await signed(app, max_, outcome="to_change", remarks="Omar has too much in one hand")
    found = await app.access_review.reviews(max_)
    assert [review.id for review in found] == [second, first]
    assert found[0].payload["decision"] == "reject"
    assert found[0].payload["reason"] == "Omar has too much in one hand"
    assert found[0].payload["signer"]["printed_name"] == "Max Manager"
    assert found[1].payload["auth"]["components"] == ["id", "password"]
    assert found[1].payload["prev_sig"] == "none"
    await app.relay.deliver_all()
    entries = [entry for entry in audit.entries if entry["action"] == "app:grant:review"]
    assert [entry["change"][0]["new"] for entry in entries] == ["in_order", "to_change"]


async def test_at57_a_review_needs_the_components_the_list_as_shown_and_an_outcome(site: Site, audit):
    app, max_ = site.app, await caller(site.app, "max")
    with pytest.raises(SigningRefused, match="session alone"):
        await signed(app, max_, typed=Typed(account="", password=""))
    with pytest.raises(SigningRefused, match="not right"):
        await signed(app, max_, typed=Typed(account="max", password="wrong"))
    for outcome, remarks in (("perfect", ""), ("to_change", "")):
        with pytest.raises(InvalidInput):
            await signed(app, max_, outcome=outcome, remarks=remarks)
    listing = await app.access_review.listing(max_)
    nonce, _ = await app.access_review.challenge(max_, CLIENT, listing)
    rita = await caller(app, "rita")
    await app.grants.grant(max_, rita.session.sub, "review", "Stands in for Rosa", soon())
    given = Outcome(nonce=nonce, sha256=listing.sha256, outcome="in_order", remarks="", typed=TYPED)
    with pytest.raises(Conflict, match="has changed"):
        await app.access_review.sign_off(max_, CLIENT, given)
    with pytest.raises(Forbidden):
        await app.access_review.listing(rita)
    assert await app.access_review.reviews(max_) == []
    await app.relay.deliver_all()
    assert audit.actions().count("app:signature:failure") == 5


async def test_a_review_that_was_altered_or_removed_is_found(site: Site, server, fresh):
    app, max_ = site.app, await caller(site.app, "max")
    first = await signed(app, max_)
    await signed(app, max_)
    with server.admin(fresh.database.name) as conn:
        with pytest.raises(Exception, match="append-only"):
            conn.execute("DELETE FROM access_reviews")
        conn.execute("ALTER TABLE access_reviews DISABLE TRIGGER ALL")
        conn.execute("DELETE FROM access_reviews WHERE id = %s", (first,))
    with pytest.raises(IntegrityViolation, match="missing"):
        await app.access_review.reviews(max_)


async def test_at42_an_overdue_review_is_recorded_and_alerted_once_and_a_review_moves_the_day(
    fresh, keys, audit, server
):
    config = with_settings(fresh, accessReview={"everyDays": 90})
    app = factory.build(config, factory.Ports(keys=keys, directory=LdapDirectory(config.ldap), audit=audit))
    await app.database.open()
    try:
        assert await app.access_review.due() is None
        max_ = await caller(app, "max")
        assert not await app.access_review.tell_overdue()
        with server.admin(fresh.database.name) as conn:
            conn.execute("UPDATE people SET enrolled_at = now() - interval '91 days'")
        await app.authority_watch.look()
        assert not await app.access_review.tell_overdue()
        async with app.database.transaction() as conn:
            found = await conn.execute("SELECT kind FROM alerts")
            assert [row["kind"] for row in await found.fetchall()] == ["access_review_overdue"]
        await app.relay.deliver_all()
        assert audit.actions().count("app:grant:overdue") == 1
        await signed(app, max_)
        assert await app.access_review.due() > datetime.now(UTC) + timedelta(days=89)
    finally:
        await app.close()


def test_a_review_is_due_after_the_last_or_after_the_first_sign_in():
    at = datetime(2026, 1, 1, tzinfo=UTC)
    assert due_at(None, None, timedelta(days=1)) is None
    assert due_at(None, at, timedelta(days=1)) == at + timedelta(days=1)
    assert due_at(at + timedelta(days=5), at, timedelta(days=1)) == at + timedelta(days=6)
