"""Extra grants and training: given by others, with an end, recorded with old and new, in force at the next request (11.10(g), (i))."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenant_app import factory
from tenant_app.adapters.directory import LdapDirectory
from tenant_app.domain.access import Right, Role, rights_of
from tenant_app.domain.authority import NAMES, Identity, in_force, needed_training, same_person, separated
from tenant_app.errors import Conflict, Forbidden, InvalidInput, NotFound
from tenant_app.storage import people
from tests.tenant_app.support.callers import again, caller, soon, sub, with_settings
from tests.tenant_app.support.site import Site
from tests.tenant_app.test_workflow import reviewer_sub, sign

WHY = "Stands in during the audit"


async def entries(app, audit, action: str) -> list[dict]:
    await app.relay.deliver_all()
    return [entry for entry in audit.entries if entry["action"] == action]


@pytest.fixture
async def strict(fresh, keys, audit):
    """An app of a tenant that demands training for `approve` and the role of reviewer."""
    config = with_settings(fresh, training={"required": ["approve", "reviewer"]})
    built = factory.build(config, factory.Ports(keys=keys, directory=LdapDirectory(config.ldap), audit=audit))
    await built.database.open()
    yield built
    await built.close()


@given(
    st.frozensets(st.sampled_from(Role)), st.frozensets(st.sampled_from(sorted(NAMES))),
    st.frozensets(st.sampled_from(sorted(NAMES))), st.frozensets(st.sampled_from(sorted(NAMES))),
)  # fmt: skip
def test_what_is_in_force_is_what_was_given_less_what_training_is_missing_for(directory, granted, trained, required):
    found = in_force(directory, granted, trained=trained, required=required)
    everything = in_force(directory, granted, trained=trained, required=frozenset())
    assert found.rights <= everything.rights
    assert everything.rights >= rights_of(directory)
    assert not {right.value for right in found.rights} & (required - trained)
    assert not {role.value for role in found.roles} & (required - trained)
    assert {right.value for right in everything.rights - found.rights} <= found.withheld
    if required <= trained:
        assert found == everything


def test_two_accounts_with_one_mail_or_one_personnel_number_are_one_person():
    one = Identity(sub="a", mail="M.Manager@acme.example", personnel="")
    assert same_person(one, Identity(sub="a"))
    assert same_person(one, Identity(sub="b", mail="m.manager@ACME.example"))
    assert same_person(Identity(sub="a", personnel="P-17"), Identity(sub="b", personnel=" p-17 "))
    assert not same_person(Identity(sub="a"), Identity(sub="b"))
    assert separated({Right.ADMINISTER, Right.VIEW})
    assert not separated(set(Right) - {Right.ADMINISTER})
    assert needed_training("approver", frozenset({"approve", "review"})) == {"approve"}


async def test_at20_a_grant_takes_effect_at_the_next_request_and_its_end_too(site: Site, audit):
    rita = await site.as_("rita")
    assert (await rita.get("/upload")).status_code == 403
    max_ = await caller(site.app, "max")
    grant = await site.app.grants.grant(max_, await sub(site.app, "rita"), "author", WHY, soon())
    assert (await rita.get("/upload")).status_code == 200
    await site.app.grants.revoke(max_, grant, "The audit is over")
    assert (await rita.get("/upload")).status_code == 403
    made = (await entries(site.app, audit, "app:grant:create"))[0]
    assert made["actor"]["name"] == "Max Manager"
    assert made["reason"]["text"] == WHY
    rights = next(change for change in made["change"] if change["path"] == "/rights")
    assert rights["old"] == ["view"]
    assert rights["new"] == ["annotate", "author", "view"]
    ended = (await entries(site.app, audit, "app:grant:revoke"))[0]
    assert ended["change"][0]["old"].startswith("until ")
    with pytest.raises(NotFound):
        await site.app.grants.revoke(max_, grant, "Once more")


async def test_at20_a_grant_breaks_the_signing_period(site: Site):
    alice = await site.as_("alice")
    subs = [await reviewer_sub(site, "rosa")]
    assert (await sign(alice, "alice", await alice.uploaded(b"one\n"), "submit", reviewers=subs)).status_code == 303
    max_ = await caller(site.app, "max")
    grant = await site.app.grants.grant(max_, await sub(site.app, "alice"), "publish", WHY, soon())
    document = await alice.uploaded(b"two\n")
    assert (await sign(alice, "alice", document, "submit", reviewers=subs, account="")).status_code == 403
    assert (await sign(alice, "alice", document, "submit", reviewers=subs)).status_code == 303
    await site.app.grants.revoke(max_, grant, "The audit is over")
    document = await alice.uploaded(b"three\n")
    assert (await sign(alice, "alice", document, "submit", reviewers=subs, account="")).status_code == 403


async def test_at18_nobody_grants_to_themselves_nor_to_a_second_account_of_theirs(site: Site, server, fresh, audit):
    app = site.app
    max_ = await caller(app, "max")
    rita = await caller(app, "rita")
    with pytest.raises(Forbidden, match="themselves"):
        await app.grants.grant(max_, max_.session.sub, "view", WHY, soon())
    # Rita's account is now a second one of Max: it has his mail address.
    words = {
        "name": "Max Manager",
        "account": "rita",
        "mail": "MAX@acme.example",
        "title": "",
        "dn": "x",
        "roles": ["reader"],
    }
    sealed = app.columns.seal(words, "people", rita.session.sub)
    with server.admin(fresh.database.name) as conn:
        conn.execute("UPDATE people SET sealed = %s WHERE sub = %s", (sealed, rita.session.sub))
    with pytest.raises(Forbidden, match="another account"):
        await app.grants.grant(max_, rita.session.sub, "approve", WHY, soon())
    denied = await entries(app, audit, "app:access:deny")
    assert [entry["result"] for entry in denied] == ["denied", "denied"]


async def test_at18_administration_and_content_are_never_joined_by_a_grant(site: Site):
    max_ = await caller(site.app, "max")
    olga, rita = await caller(site.app, "olga"), await caller(site.app, "rita")
    with pytest.raises(Conflict, match="kept apart"):
        await site.app.grants.grant(max_, olga.session.sub, "view", WHY, soon())
    with pytest.raises(Conflict, match="kept apart"):
        await site.app.grants.grant(max_, rita.session.sub, "administrator", WHY, soon())
    assert (await again(site.app, olga)).session.rights == {Right.ADMINISTER}
    with pytest.raises(Forbidden):
        await site.app.grants.grant(rita, olga.session.sub, "view", WHY, soon())


async def test_somebody_whom_only_an_identity_provider_knows_is_given_things_like_everybody(site: Site):
    app, max_ = site.app, await caller(site.app, "max")
    whose = "oidc:0123456789abcdef"
    words = {
        "sub": whose,
        "account": "fay",
        "dn": "",
        "name": "Fay Federated",
        "mail": "",
        "title": "",
        "roles": ["reader"],
    }
    async with app.database.transaction() as conn:
        await people.keep_person(conn, whose, app.columns.seal(words, "people", whose))
    await app.grants.grant(max_, whose, "review", WHY, soon())
    standing = await app.administration.person(max_, whose)
    assert standing.now.rights == {Right.VIEW, Right.REVIEW}
    (line,) = [line for line in (await app.access_review.listing(max_)).lines if line.name == "Fay Federated"]
    assert (line.rights, line.remarks) == (("review", "view"), ())


async def test_a_grant_needs_a_name_a_reason_an_end_and_a_person(site: Site):
    max_, rita = await caller(site.app, "max"), await caller(site.app, "rita")
    past, far = datetime.now(UTC) - timedelta(days=1), datetime.now(UTC) + timedelta(days=5000)
    for name, why, until in (
        ("rule", WHY, soon()),
        ("review", "", soon()),
        ("review", WHY, past),
        ("review", WHY, far),
    ):
        with pytest.raises(InvalidInput):
            await site.app.grants.grant(max_, rita.session.sub, name, why, until)
    with pytest.raises(NotFound):
        await site.app.grants.grant(max_, "nobody", "review", WHY, soon())
    await site.app.grants.grant(max_, rita.session.sub, "review", WHY, soon())
    with pytest.raises(Conflict, match="already"):
        await site.app.grants.grant(max_, rita.session.sub, "review", WHY, soon())


async def test_a_grant_whose_time_is_over_is_gone_at_the_next_request_and_that_is_recorded_once(
    site: Site, server, fresh, audit
):
    max_, rita = await caller(site.app, "max"), await caller(site.app, "rita")
    await site.app.grants.grant(max_, rita.session.sub, "review", WHY, soon())
    assert Right.REVIEW in (await again(site.app, rita)).session.rights
    with server.admin(fresh.database.name) as conn:
        conn.execute(
            "UPDATE grants SET granted_at = now() - interval '2 hours', valid_until = now() - interval '1 second'"
        )
    assert Right.REVIEW not in (await again(site.app, rita)).session.rights
    await again(site.app, rita)
    lapsed = await entries(site.app, audit, "app:grant:revoke")
    assert [entry["reason"]["code"] for entry in lapsed] == ["lapsed"]
    assert lapsed[0]["actor"]["type"] == "system"


async def test_at22_a_grant_without_a_valid_training_record_is_refused(strict, audit):
    max_, rita = await caller(strict, "max"), await caller(strict, "rita")
    with pytest.raises(Conflict, match="training record is missing for: approve"):
        await strict.grants.grant(max_, rita.session.sub, "approver", WHY, soon())
    await strict.grants.record_training(max_, rita.session.sub, "approve", "SOP-12 course, passed", soon())
    await strict.grants.grant(max_, rita.session.sub, "approver", WHY, soon())
    assert Right.APPROVE in (await again(strict, rita)).session.rights
    assert (await entries(strict, audit, "app:access:deny"))[0]["reason"]["code"] == "grant"
    recorded = (await entries(strict, audit, "app:training:record"))[0]
    assert recorded["change"][0]["path"] == "/training/approve"


async def test_at22_training_is_demanded_of_directory_roles_too_and_its_end_takes_the_right(
    strict, server, fresh, audit
):
    max_, ana, rosa = await caller(strict, "max"), await caller(strict, "ana"), await caller(strict, "rosa")
    assert Right.APPROVE not in ana.session.rights
    assert Right.VIEW in ana.session.rights
    assert rosa.session.roles == frozenset()
    assert Right.REVIEW not in rosa.session.rights
    await strict.grants.record_training(max_, ana.session.sub, "approve", "SOP-12 course, passed", soon())
    assert Right.APPROVE in (await again(strict, ana)).session.rights
    with server.admin(fresh.database.name) as conn:
        conn.execute("UPDATE trainings SET valid_until = now() - interval '1 second'")
    assert Right.APPROVE not in (await again(strict, ana)).session.rights
    assert len(await entries(strict, audit, "app:training:lapse")) == 1
    with pytest.raises(Forbidden, match="own training"):
        await strict.grants.record_training(max_, max_.session.sub, "approve", "SOP-12 course, passed", soon())
