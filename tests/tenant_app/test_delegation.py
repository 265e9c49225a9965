"""Delegated authority: the delegate signs as themselves, on behalf of the giver; nobody's identity is lent (11.200(a)(2))."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from psycopg import sql

from tenant_app import factory
from tenant_app.adapters.directory import LdapDirectory
from tenant_app.domain.delegation import signed_by
from tenant_app.errors import Conflict, InvalidInput, NotFound
from tests.tenant_app.support import people
from tests.tenant_app.support.callers import caller, soon, sub, with_settings
from tests.tenant_app.support.site import Browser, Site
from tests.tenant_app.test_renditions import text_of
from tests.tenant_app.test_workflow import dialog, sign, state, submitted

WHY = "On leave until Monday"


async def delegated(app, giver: str, receiver: str, meaning: str) -> UUID:
    from_, to = await caller(app, giver), await caller(app, receiver)
    id_ = await app.delegations.offer(from_, to.session.sub, meaning, WHY, soon())
    await app.delegations.accept(to, id_)
    return id_


async def sign_for(browser: Browser, uid: str, document: str, step: str, delegation: UUID, **data):
    page = await browser.get(f"/documents/{document}/versions/1/sign/{step}?for={delegation}")
    nonce = page.text.partition('name="nonce" value="')[2].partition('"')[0]
    if not nonce:
        return page
    body = {
        "nonce": nonce,
        "account": uid,
        "password": people.password(uid),
        "delegation": str(delegation),
        "reason": "",
        **data,
    }
    return await browser.post(f"/documents/{document}/versions/1/sign/{step}", body)


async def reviewed(site: Site) -> str:
    _, document = await submitted(site)
    assert (await sign(await site.as_("rosa"), "rosa", document, "review")).status_code == 303
    return document


async def test_a_delegate_signs_as_themselves_on_behalf_and_every_copy_says_so(site: Site, server, fresh, audit):
    document = await reviewed(site)
    id_ = await delegated(site.app, "ana", "pia", "approval")
    pia = await site.as_("pia")
    assert "can be approved on behalf of Ana Approver" in (await pia.get("/")).text
    # The delegate decides with their own eyes: the trail that the giver opened does not count.
    assert (await sign_for(pia, "pia", document, "approve", id_)).status_code == 409
    await pia.get(f"/documents/{document}/trail")
    assert "Approve on behalf of Ana Approver" in (await pia.get(f"/documents/{document}")).text
    assert (
        "on behalf of Ana Approver" in (await pia.get(f"/documents/{document}/versions/1/sign/approve?for={id_}")).text
    )
    assert (await sign_for(pia, "pia", document, "approve", id_)).status_code == 303
    assert await state(site, server, fresh, document) == "approved"
    who = await caller(site.app, "pia")
    payload = (await site.app.progress.standing(who, UUID(document), 1)).signatures[-1].payload
    assert payload["signer"]["printed_name"] == "Pia Publisher"
    behalf = payload["on_behalf_of"]
    assert (behalf["sub"], behalf["delegation"]["id"]) == (await sub(site.app, "ana"), str(id_))
    assert behalf["delegation"]["meaning"] == "approval"
    assert signed_by(payload) == "Pia Publisher, on behalf of Ana Approver"
    assert "Pia Publisher, on behalf of Ana Approver" in (await pia.get(f"/documents/{document}")).text
    for copy in ("versions/1/rendition.pdf", "trail.pdf"):
        pdf = (await pia.get(f"/documents/{document}/{copy}")).content
        assert "Pia Publisher, on behalf of Ana Approver" in text_of(pdf), copy
    await site.app.relay.deliver_all()
    entry = [entry for entry in audit.entries if entry["action"] == "app:signature:create"][-1]
    assert entry["actor"]["name"] == "Pia Publisher"
    assert {"path": "/onBehalfOf", "new": "Ana Approver"} in entry["change"]
    # Pia approved, on whoever's behalf: she may publish, since that is not one of the three.
    assert (await sign(pia, "pia", document, "publish")).status_code == 303


async def test_a_review_on_behalf_fills_the_reviewers_seat_and_both_are_out_of_the_approval(site: Site, server, fresh):
    _, document = await submitted(site)
    review = await delegated(site.app, "rosa", "ana", "review")
    ana = await site.as_("ana")
    assert (await sign_for(ana, "ana", document, "review", review)).status_code == 303
    assert await state(site, server, fresh, document) == "reviewed"
    await ana.get(f"/documents/{document}/trail")
    assert (await sign(ana, "ana", document, "approve")).status_code == 409
    rosa = await site.as_("rosa")
    assert (await sign(rosa, "rosa", document, "review")).status_code == 409
    # Ana reviewed for Rosa; her own approval in Pia's hand is still hers.
    approval = await delegated(site.app, "ana", "pia", "approval")
    pia = await site.as_("pia")
    await pia.get(f"/documents/{document}/trail")
    assert (await sign_for(pia, "pia", document, "approve", approval)).status_code == 409
    assert await state(site, server, fresh, document) == "reviewed"


async def test_at19_no_way_round_by_delegation_for_author_reviewer_or_giver(site: Site):
    app = site.app
    _, document = await submitted(site, author="omar", reviewers=("rosa",))
    assert (await sign(await site.as_("rosa"), "rosa", document, "review")).status_code == 303
    # The author hands his own right to approve to somebody else.
    by_author = await delegated(app, "omar", "pia", "approval")
    # An approver hands hers to the author, and to the reviewer.
    to_author, to_reviewer = (
        await delegated(app, "ana", "omar", "approval"),
        await delegated(app, "ana", "rosa", "approval"),
    )
    for uid, delegation in (("pia", by_author), ("omar", to_author), ("rosa", to_reviewer)):
        browser = await site.as_(uid)
        await browser.get(f"/documents/{document}/trail")
        answer = await sign_for(browser, uid, document, "approve", delegation)
        assert answer.status_code == 409, uid


async def test_one_pair_of_eyes_does_not_fill_two_reviewers_seats(site: Site):
    _, document = await submitted(site, reviewers=("rosa", "ravi"))
    to_ravi = await delegated(site.app, "rosa", "ravi", "review")
    ravi = await site.as_("ravi")
    answer = await sign_for(ravi, "ravi", document, "review", to_ravi)
    assert answer.status_code == 409
    assert "reviewer of this version already" in answer.text


async def test_at37_a_delegated_session_does_not_exist_and_the_givers_components_do_not_sign(site: Site):
    document = await reviewed(site)
    id_ = await delegated(site.app, "ana", "pia", "approval")
    pia = await site.as_("pia")
    await pia.get(f"/documents/{document}/trail")
    typed = {"account": "ana", "password": people.password("ana")}
    assert (await sign_for(pia, "pia", document, "approve", id_, **typed)).status_code == 403
    assert (await sign_for(pia, "pia", document, "approve", id_, password=people.password("ana"))).status_code == 403
    # A challenge for oneself does not sign on behalf, nor the other way round.
    await pia.get(f"/documents/{document}/trail")
    page = await pia.get(f"/documents/{document}/versions/1/sign/approve?for={id_}")
    nonce = page.text.partition('name="nonce" value="')[2].partition('"')[0]
    body = {"nonce": nonce, "account": "pia", "password": people.password("pia"), "reason": ""}
    assert (await pia.post(f"/documents/{document}/versions/1/sign/approve", body)).status_code == 403
    # Somebody else cannot use it.
    rita = await site.as_("rita")
    assert (await sign_for(rita, "rita", document, "approve", id_)).status_code == 404
    assert (await dialog(rita, document, "approve"))[1].status_code == 403


@pytest.mark.parametrize(
    "way", ["not accepted", "revoked", "declined", "over", "giver lost the right", "other meaning"]
)
async def test_a_delegation_that_does_not_hold_signs_nothing(site: Site, server, fresh, way, audit):
    app = site.app
    document = await reviewed(site)
    ana, pia = await caller(app, "ana"), await caller(app, "pia")
    meaning = "rejection" if way == "other meaning" else "approval"
    id_ = await app.delegations.offer(ana, pia.session.sub, meaning, WHY, soon())
    if way != "not accepted":
        await app.delegations.accept(pia, id_)
    if way in {"revoked", "declined"}:
        await app.delegations.end(ana if way == "revoked" else pia, id_, "Not needed any more")
    elif way in {"over", "giver lost the right"}:
        with server.admin(fresh.database.name) as conn:
            if way == "over":
                conn.execute(
                    "UPDATE delegations SET offered_at = now() - interval '2 days', valid_until = now() - interval '1 day'"
                )
            else:
                conn.execute("UPDATE people SET suspended_at = now() WHERE sub = %s", (ana.session.sub,))
    browser = await site.as_("pia")
    await browser.get(f"/documents/{document}/trail")
    assert (await sign_for(browser, "pia", document, "approve", id_)).status_code == 409
    if way == "over":
        async with app.database.transaction() as conn:
            await app.delegations.lapse(conn, datetime.now(UTC))
    if way in {"over", "revoked", "declined"}:
        await app.relay.deliver_all()
        ended = [entry for entry in audit.entries if entry["action"] == "app:delegation:revoke"]
        assert [entry["change"][0]["new"] for entry in ended] == ["ended"]


async def test_only_what_one_may_do_can_be_handed_on_and_only_to_somebody_else(site: Site):
    app = site.app
    alice, pia = await caller(app, "alice"), await caller(app, "pia")
    with pytest.raises(Conflict, match="sign yourself"):
        await app.delegations.offer(alice, pia.session.sub, "approval", WHY, soon())
    with pytest.raises(Conflict, match="somebody else"):
        await app.delegations.offer(alice, alice.session.sub, "authorship", WHY, soon())
    for meaning in ("revocation", "blessing"):
        with pytest.raises(InvalidInput, match="from the list"):
            await app.delegations.offer(pia, alice.session.sub, meaning, WHY, soon())
    with pytest.raises(InvalidInput, match="future"):
        await app.delegations.offer(pia, alice.session.sub, "publication", WHY, datetime.now(UTC) - timedelta(hours=1))
    id_ = await app.delegations.offer(pia, alice.session.sub, "publication", WHY, soon())
    with pytest.raises(NotFound):
        await app.delegations.accept(pia, id_)
    with pytest.raises(NotFound):
        await app.delegations.end(await caller(app, "rita"), id_, "Not my business")
    await app.delegations.end(await caller(app, "max"), id_, "By the administrator")


async def test_at22_a_delegate_needs_the_training_that_the_right_needs(fresh, keys, audit):
    config = with_settings(fresh, training={"required": ["approve"]})
    app = factory.build(config, factory.Ports(keys=keys, directory=LdapDirectory(config.ldap), audit=audit))
    await app.database.open()
    try:
        max_, ana, pia = [await caller(app, uid) for uid in ("max", "ana", "pia")]
        await app.grants.record_training(max_, ana.session.sub, "approve", "SOP-12 course", soon())
        id_ = await delegated(app, "ana", "pia", "approval")
        step = app.progress.definition.transition("approve")
        with pytest.raises(Conflict, match="training record"):
            await app.delegations.acting(pia, id_, step)
        await app.grants.record_training(max_, pia.session.sub, "approve", "SOP-12 course", soon())
        assert (await app.delegations.acting(pia, id_, step)).sub == ana.session.sub
    finally:
        await app.close()


async def test_at29_a_row_that_names_other_people_than_its_signature_is_found(site: Site, server, fresh):
    document = await reviewed(site)
    with server.admin(fresh.database.name) as conn:
        conn.execute("ALTER TABLE signatures DISABLE TRIGGER ALL")
        statement = "UPDATE signatures SET sub = %s WHERE document = %s AND meaning = 'review'"
        conn.execute(sql.SQL(statement), (await sub(site.app, "ana"), document))
    answer = await (await site.as_("alice")).get(f"/documents/{document}")
    assert answer.status_code == 500
