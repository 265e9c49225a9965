"""What has to be there before a signature: the policy accepted, the identity verified; and the letter of 11.100(c)."""

import pytest

from tenant_app import factory
from tenant_app.adapters.directory import LdapDirectory
from tenant_app.domain.policy import Policy, checked_body
from tenant_app.errors import Conflict, Forbidden, InvalidInput
from tenant_app.services.identity_records import Verification
from tests.tenant_app.support.callers import caller, sub, with_settings
from tests.tenant_app.support.site import Site
from tests.tenant_app.test_workflow import dialog, reviewer_sub, sign

TEXT = "I am accountable for what I do under my electronic signature.\r\nIt binds me as my handwritten one does."
SEEN = Verification(
    how="Passport seen in person", verified_by="Hanna Resources", verified_on="2026-01-15", personnel="P-1"
)


async def payload(site: Site, uid: str, document: str) -> dict:
    who = await caller(site.app, uid)
    return (await site.app.progress.standing(who, document, 1)).signatures[-1].payload


async def test_at23_a_new_policy_version_blocks_signing_until_it_is_accepted(site: Site, audit):
    app, max_ = site.app, await caller(site.app, "max")
    alice = await site.as_("alice")
    subs = [await reviewer_sub(site, "rosa")]
    document = await alice.uploaded()
    nonce, _ = await dialog(alice, document, "submit")
    first = await app.policies.publish(max_, "Accountability", TEXT, "First version")
    # Also for a dialog that was open already, and whatever the person types.
    answer = await sign(alice, "alice", document, "submit", nonce=nonce, reviewers=subs)
    assert answer.status_code == 403
    assert "read and accept it" in answer.text
    who = await caller(app, "alice")
    await app.policies.accept(who, first.sha256)
    assert (await sign(alice, "alice", document, "submit", reviewers=subs)).status_code == 303
    assert (await payload(site, "alice", document))["signer"]["policy_sha256"] == first.sha256
    second = await app.policies.publish(max_, "Accountability", f"{TEXT} In every country.", "Widened")
    document = await alice.uploaded(b"two\n")
    _, page = await dialog(alice, document, "submit")
    assert page.status_code == 403
    with pytest.raises(Conflict, match="not the current"):
        await app.policies.accept(who, first.sha256)
    await app.policies.accept(who, second.sha256)
    await app.policies.accept(who, second.sha256)
    assert (await sign(alice, "alice", document, "submit", reviewers=subs)).status_code == 303
    await app.relay.deliver_all()
    accepted = [entry for entry in audit.entries if entry["action"] == "app:policy:accept"]
    assert [entry["object"]["sha256"] for entry in accepted] == [first.sha256, second.sha256]
    published = [entry for entry in audit.entries if entry["action"] == "app:policy:publish"]
    assert (published[1]["change"][1]["old"], published[1]["change"][1]["new"]) == (first.sha256, second.sha256)


async def test_a_policy_version_cannot_be_altered_nor_published_twice(site: Site, server, fresh):
    max_, rita = await caller(site.app, "max"), await caller(site.app, "rita")
    await site.app.policies.publish(max_, "Accountability", TEXT, "First version")
    with pytest.raises(Conflict, match="nothing to publish"):
        await site.app.policies.publish(max_, "Accountability", TEXT, "Once more")
    with pytest.raises(Forbidden):
        await site.app.policies.publish(rita, "Mine", TEXT, "Not my place")
    with server.admin(fresh.database.name) as conn, pytest.raises(Exception, match="append-only"):
        conn.execute("UPDATE policies SET sha256 = 'x'")


def test_a_policys_digest_is_of_its_words_and_version():
    at = None
    one = Policy(version=1, title="T", text=checked_body(TEXT), published_at=at, published_by="M")
    assert "\r" not in one.text
    others = [
        Policy(version=2, title="T", text=one.text, published_at=at, published_by="M"),
        Policy(version=1, title="U", text=one.text, published_at=at, published_by="M"),
        Policy(version=1, title="T", text=one.text + ".", published_at=at, published_by="M"),
    ]
    assert len({policy.sha256 for policy in (one, *others)}) == 4
    with pytest.raises(InvalidInput):
        checked_body("short")
    with pytest.raises(InvalidInput, match="cannot be shown"):
        checked_body(TEXT + "\x00" * 3)


async def test_at31_who_is_not_enrolled_cannot_sign_when_the_tenant_demands_it(fresh, keys, audit):
    config = with_settings(fresh, signing={"enrolment": "required"})
    app = factory.build(config, factory.Ports(keys=keys, directory=LdapDirectory(config.ldap), audit=audit))
    await app.database.open()
    site = Site(app)
    try:
        alice = await site.as_("alice")
        subs = [await reviewer_sub(site, "rosa")]
        document = await alice.uploaded()
        nonce, page = await dialog(alice, document, "submit")
        assert (page.status_code, nonce) == (403, "")
        assert "identity was verified" in page.text
        max_ = await caller(app, "max")
        record = await app.enrolments.enrol(max_, await sub(app, "alice"), SEEN)
        assert (await sign(alice, "alice", document, "submit", reviewers=subs)).status_code == 303
        signer = (await payload(site, "alice", document))["signer"]
        assert signer["enrolment"] == {"basis": "record", "id": str(record), "verified_on": "2026-01-15"}
        with pytest.raises(Forbidden, match="own identity"):
            await app.enrolments.enrol(max_, max_.session.sub, SEEN)
        await app.relay.deliver_all()
        entry = next(entry for entry in audit.entries if entry["action"] == "app:account:enrol")
        assert entry["reason"]["text"] == "Passport seen in person"
    finally:
        await site.close()
        await app.close()


async def test_at31_where_the_directory_counts_the_record_says_so(site: Site):
    alice = await site.as_("alice")
    document = await alice.uploaded()
    subs = [await reviewer_sub(site, "rosa")]
    assert (await sign(alice, "alice", document, "submit", reviewers=subs)).status_code == 303
    signer = (await payload(site, "alice", document))["signer"]
    assert signer["enrolment"]["basis"] == "directory"
    assert signer["policy_sha256"] is None


async def test_at32_the_letter_is_a_record_and_its_absence_is_told(site: Site, audit):
    max_ = await caller(site.app, "max")
    assert await site.app.enrolments.letters(max_) == []
    with pytest.raises(InvalidInput, match="future"):
        await site.app.enrolments.record_letter(max_, "Letter 17", "2999-01-01")
    await site.app.enrolments.record_letter(max_, "Letter 17 to the Office of Regional Operations", "2026-02-01")
    (letter,) = await site.app.enrolments.letters(max_)
    assert (letter.reference[:9], letter.sent_on.isoformat()) == ("Letter 17", "2026-02-01")
    await site.app.relay.deliver_all()
    assert "app:letter:record" in audit.actions()
