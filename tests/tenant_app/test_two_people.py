"""Loss, restoring, and what one administrator alone never does (11.200(a)(3), 11.300(c))."""

import httpx
import pytest

from tenant_app import factory
from tenant_app.adapters.directory import LdapDirectory
from tenant_app.domain.audit import Change
from tenant_app.errors import AccessSuspended, Conflict, Forbidden, InvalidInput, NotFound
from tests.tenant_app.support.callers import again, caller, sub, with_settings
from tests.tenant_app.support.site import Site
from tests.tenant_app.test_workflow import reviewer_sub, sign

KIND = "reset_something"
WHY = "The phone with the second factor was stolen"


@pytest.fixture
async def quick(fresh, keys, audit):
    """An app whose cool-off is over at once."""
    config = with_settings(fresh, twoPerson={"coolOffSeconds": 0})
    built = factory.build(config, factory.Ports(keys=keys, directory=LdapDirectory(config.ldap), audit=audit))
    await built.database.open()
    yield built
    await built.close()


class Reset:
    """Stands for any kind of act: counts whose was reset."""

    def __init__(self, app) -> None:
        self.done: list[str] = []
        app.two_person.register(KIND, "Reset something of theirs", self)

    async def __call__(self, _conn, whose):
        self.done.append(whose)
        return (Change(path="/secondFactor", old="set", new="none"),)


async def open_alerts(app) -> list[str]:
    async with app.database.transaction() as conn:
        cursor = await conn.execute("SELECT kind FROM alerts ORDER BY at")
        return [row["kind"] for row in await cursor.fetchall()]


async def test_at38_a_lone_administrator_can_neither_confirm_nor_use_what_they_asked_for(quick, server, audit):
    app, reset = quick, Reset(quick)
    max_, alice, rita = [await caller(app, uid) for uid in ("max", "alice", "rita")]
    id_ = await app.two_person.ask(max_, KIND, alice.session.sub, WHY)
    assert await app.two_person.do_due() == 0
    with pytest.raises(Forbidden, match="Who asked cannot confirm"):
        await app.two_person.confirm(max_, id_)
    # A second account of Max, which the directory has made an administrator as well, has his mail address.
    olga = await caller(app, "olga")
    words = {
        "name": "Max M.",
        "account": "olga",
        "mail": "max@ACME.example",
        "title": "",
        "dn": "x",
        "roles": ["administrator"],
    }
    async with app.database.transaction() as conn:
        sealed = app.columns.seal(words, "people", olga.session.sub)
        await conn.execute("UPDATE people SET sealed = %s WHERE sub = %s", (sealed, olga.session.sub))
    with pytest.raises(Forbidden, match="Who asked cannot confirm"):
        await app.two_person.confirm(olga, id_)
    with pytest.raises(Forbidden):
        await app.two_person.confirm(rita, id_)
    with pytest.raises(Forbidden, match="own account"):
        await app.two_person.ask(max_, KIND, max_.session.sub, WHY)
    # Not even past the app, with its database role.
    with server.admin(app.settings.database.name) as conn, pytest.raises(Exception, match="check"):
        conn.execute("UPDATE two_person_requests SET confirmed_by = requested_by, confirmed_at = now()")
    assert await app.two_person.do_due() == 0
    assert reset.done == []
    await app.relay.deliver_all()
    refused = [entry for entry in audit.entries if entry["action"] == "app:two-person:refuse"]
    assert [entry["result"] for entry in refused] == ["denied", "denied"]


async def test_at38_the_two_person_path_leaves_two_actors_in_the_log_and_tells_the_owner(quick, audit):
    app, reset = quick, Reset(quick)
    max_, olga, alice = [await caller(app, uid) for uid in ("max", "olga", "alice")]
    id_ = await app.two_person.ask(max_, KIND, alice.session.sub, WHY)
    with pytest.raises(Conflict, match="already"):
        await app.two_person.ask(olga, KIND, alice.session.sub, WHY)
    (told,) = await app.two_person.about(alice)
    assert (told.words, told.by, told.confirmed_by) == ("Reset something of theirs", "Max Manager", "")
    await app.two_person.confirm(olga, id_)
    before = (await again(app, alice)).session.authority
    assert await app.two_person.do_due() == 1
    assert await app.two_person.do_due() == 0
    assert reset.done == [alice.session.sub]
    assert (await again(app, alice)).session.authority > before
    (told,) = await app.two_person.about(alice)
    assert told.done_at is not None
    # Told for as long as it takes, until the owner says that they have read it; and nobody says so for them.
    with pytest.raises(NotFound):
        await app.two_person.acknowledge(olga, id_)
    await app.two_person.acknowledge(alice, id_)
    assert await app.two_person.about(alice) == []
    with pytest.raises(NotFound):
        await app.two_person.acknowledge(alice, id_)
    await app.relay.deliver_all()
    actors = [entry["actor"]["name"] for entry in audit.entries if entry["action"].startswith("app:two-person:")]
    assert actors == ["Max Manager", "Olga Manager", "The document platform", "Alice Author"]
    done = next(entry for entry in audit.entries if entry["action"] == "app:two-person:do")
    named = {change["path"]: change.get("new") for change in done["change"]}
    assert (named["/askedBy"], named["/confirmedBy"], named["/secondFactor"]) == ("Max Manager", "Olga Manager", "none")
    assert await open_alerts(app) == ["two_person_asked", "two_person_done"]


async def test_nothing_takes_effect_before_the_cool_off_is_over_and_the_owner_can_object(site: Site):
    app, reset = site.app, Reset(site.app)
    max_, olga, alice = [await caller(app, uid) for uid in ("max", "olga", "alice")]
    id_ = await app.two_person.ask(max_, KIND, alice.session.sub, WHY)
    await app.two_person.confirm(olga, id_)
    with pytest.raises(Conflict, match="already"):
        await app.two_person.confirm(olga, id_)
    assert await app.two_person.do_due() == 0
    page = (await (await site.as_("alice")).get("/")).text
    assert "Reset something of theirs" in page
    with pytest.raises(NotFound):
        await app.two_person.refuse(await caller(app, "rita"), id_, "Not my business")
    await app.two_person.refuse(alice, id_, "I have my phone in my hand")
    assert await app.two_person.do_due() == 0
    assert reset.done == []
    assert await open_alerts(app) == ["two_person_asked", "two_person_objected"]
    with pytest.raises(NotFound):
        await app.two_person.confirm(olga, id_)


async def test_an_unknown_kind_or_no_reason_is_refused(site: Site):
    max_, alice = await caller(site.app, "max"), await caller(site.app, "alice")
    for kind, why in (("give_me_everything", WHY), ("restore_access", "")):
        with pytest.raises(InvalidInput):
            await site.app.two_person.ask(max_, kind, alice.session.sub, why)


async def test_at43_a_reported_loss_ends_every_session_and_signing_and_the_credential_is_worth_nothing(
    site: Site, audit
):
    app = site.app
    voided = []

    async def void(_conn, whose):
        voided.append(whose)
        return (Change(path="/secondFactor", old="set", new="void"),)

    app.losses.register(void)
    alice, elsewhere = await site.as_("alice"), await site.as_("alice", agent="another")
    subs = [await reviewer_sub(site, "rosa")]
    document = await alice.uploaded()
    max_ = await caller(app, "max")
    assert await app.losses.report(max_, await sub(app, "alice"), WHY) == 2
    for browser in (alice, elsewhere):
        answer = await browser.get("/documents")
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=/documents&why=ended")
    assert (await sign(alice, "alice", document, "submit", reviewers=subs)).status_code in {303, 403}
    # The thief knows the password: it opens nothing, and the attempt is recorded.
    thief = site.browser()
    answer: httpx.Response = await thief.sign_in("alice")
    assert (answer.status_code, "access is suspended" in answer.text) == (403, True)
    assert (await thief.get(f"/documents/{document}")).headers["location"].startswith("/sign-in")
    with pytest.raises(AccessSuspended):
        await caller(app, "alice")
    async with app.database.transaction() as conn:
        found = await conn.execute(
            "SELECT count(*) AS n FROM sessions JOIN people USING (sub) WHERE ended_at IS NULL AND"
            " suspended_at IS NOT NULL"
        )
        assert (await found.fetchone())["n"] == 0
    async with app.database.transaction() as conn:
        found = await conn.execute("SELECT count(*) AS n FROM signatures")
        assert (await found.fetchone())["n"] == 0
    assert voided == [await sub(app, "alice")]
    await app.relay.deliver_all()
    entry = next(entry for entry in audit.entries if entry["action"] == "app:loss:report")
    assert {"path": "/sessions", "old": 2, "new": 0} in entry["change"]
    assert {"path": "/secondFactor", "old": "set", "new": "void"} in entry["change"]
    assert await open_alerts(app) == ["loss_reported"]
    refused = [entry["reason"]["code"] for entry in audit.entries if entry["action"] == "app:session:failure"]
    assert refused == ["suspended", "suspended"]


async def test_at43_access_comes_back_only_through_two_administrators(quick, audit):
    app = quick
    max_, olga, alice = [await caller(app, uid) for uid in ("max", "olga", "alice")]
    await app.losses.report(alice, alice.session.sub, "My notebook was stolen on the train")
    id_ = await app.two_person.ask(
        max_, "restore_access", alice.session.sub, "New password set by the directory's owner"
    )
    assert await app.two_person.do_due() == 0
    with pytest.raises(AccessSuspended):
        await caller(app, "alice")
    await app.two_person.confirm(olga, id_)
    assert await app.two_person.do_due() == 1
    assert (await caller(app, "alice")).session.rights
    await app.relay.deliver_all()
    assert "app:loss:restore" in audit.actions()


async def test_only_an_administrator_reports_for_somebody_else(site: Site):
    rita, alice = await caller(site.app, "rita"), await caller(site.app, "alice")
    with pytest.raises(Forbidden):
        await site.app.losses.report(rita, alice.session.sub, WHY)
    with pytest.raises(InvalidInput):
        await site.app.losses.report(rita, rita.session.sub, "")
    max_ = await caller(site.app, "max")
    with pytest.raises(NotFound):
        await site.app.losses.report(max_, "nobody", WHY)
