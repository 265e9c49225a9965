"""The trail: complete, chained, delivered exactly once, never in the way of reading (11.10(e))."""

import asyncio
import json

import pytest

from tenant_app import factory
from tenant_app.adapters.directory import LdapDirectory
from tenant_app.domain.actions import Action
from tenant_app.services import health
from tenant_app.storage import outbox
from tests.tenant_app.support.site import Site


async def test_every_action_of_ours_is_known_to_the_audit_service():
    from audit_contract.actions import Action as Known

    assert {action.value for action in Action} <= {action.value for action in Known}


async def test_the_chain_verifies_from_its_beginning_and_an_owner_who_rewrites_is_found(site: Site, server, fresh):
    alice = await site.as_("alice")
    await alice.uploaded()

    async def broken_at() -> int | None:
        async with site.app.database.transaction() as conn:
            previous = outbox.GENESIS
            for link in await outbox.since(conn, 0, limit=1000):
                if outbox.link_hash(previous, link) != link.hash:
                    return link.seq
                previous = link.hash
        return None

    assert await broken_at() is None
    with server.admin(fresh.database.name) as conn:
        conn.execute("ALTER TABLE audit_outbox DISABLE TRIGGER ALL")
        conn.execute("UPDATE audit_outbox SET result = 'denied' WHERE seq = 1")
    assert await broken_at() == 1


async def test_delivery_is_exactly_once_when_answers_are_lost(site: Site, audit):
    alice = await site.as_("alice")
    await alice.uploaded()
    audit.lose_answers = 2
    for _ in range(2):
        with pytest.raises(Exception, match="lost"):
            await site.app.relay.deliver_all()
    await site.app.relay.deliver_all()
    assert [entry["seq"] for entry in audit.entries] == list(range(len(audit.entries)))
    assert len({entry["id"] for entry in audit.entries}) == len(audit.entries)
    assert site.app.relay.progress.waiting == 0


async def test_audit_away_reads_go_on_changes_are_refused_after_the_lag_and_nothing_is_lost(
    site: Site, audit, monkeypatch
):
    alice = await site.as_("alice")
    document = await alice.uploaded()
    audit.away = True
    monkeypatch.setattr(site.app.recorder, "_max_lag", 0)
    refused = await alice.upload(b"while away\n")
    assert refused.status_code == 503
    assert "Changes are paused" in refused.text
    assert (await alice.content(document)).status_code == 200
    audit.away = False
    await site.app.relay.deliver_all()
    monkeypatch.setattr(site.app.recorder, "_max_lag", 60)
    assert (await alice.upload(b"after\n")).status_code == 303
    await site.app.relay.deliver_all()
    assert audit.actions().count("app:document:read") >= 1


async def test_at15_a_change_whose_entry_cannot_be_written_does_not_happen(site: Site, monkeypatch):
    alice = await site.as_("alice")

    async def fails(*_args, **_kwargs):
        raise RuntimeError("no entry")

    monkeypatch.setattr(outbox, "append", fails)
    assert (await alice.upload()).status_code == 500
    monkeypatch.undo()
    assert "row-title" not in (await alice.get("/documents")).text


async def test_at55_no_setting_turns_the_trail_off(fresh, keys, audit, config):
    """Whatever a configuration says, there is no field for it, and acts go on being recorded."""
    off = {"enabled": False, "off": True, "maxLagSeconds": 0}
    asked = {**json.loads(fresh.model_dump_json(by_alias=True)), "trail": off, "auditTrail": "off"}
    asked["audit"] = {**asked["audit"], **off}
    settings = type(fresh).model_validate(asked)
    app = factory.build(settings, factory.Ports(keys=keys, directory=LdapDirectory(settings.ldap), audit=audit))
    await app.database.open()
    site = Site(app)
    alice = await site.as_("alice")
    await app.relay.deliver_all()
    await alice.uploaded()
    await app.relay.deliver_all()
    assert {"app:session:login", "app:document:create"} <= set(audit.actions())
    await site.close()
    await app.close()


async def test_a_refused_read_is_not_answered_when_it_cannot_be_recorded(site: Site, monkeypatch):
    alice = await site.as_("alice")
    document = await alice.uploaded(b"secret\n")

    async def fails(*_args, **_kwargs):
        raise RuntimeError("no entry")

    monkeypatch.setattr(outbox, "append", fails)
    assert b"secret" not in (await alice.content(document)).content


async def test_concurrent_entries_form_one_chain_without_gaps(site: Site, audit):
    people = await asyncio.gather(*(site.as_(uid) for uid in ("alice", "andre", "rita", "rosa")))
    await asyncio.gather(*(person.get("/documents") for person in people for _ in range(10)))
    await site.app.relay.deliver_all()
    assert [entry["seq"] for entry in audit.entries] == list(range(len(audit.entries)))


async def test_denied_attempts_failed_and_good_sign_ins_and_sign_outs_are_in_the_trail(site: Site, audit):
    await site.browser().sign_in("alice", "wrong")
    rita = await site.as_("rita")
    assert (await rita.get("/upload")).status_code == 403
    await rita.post("/sign-out")
    await site.app.relay.deliver_all()
    seen = [(entry["action"], entry["result"]) for entry in audit.entries]
    assert ("app:session:failure", "denied") in seen
    assert ("app:access:deny", "denied") in seen
    assert ("app:session:logout", "ok") in seen
    assert "wrong" not in str(audit.entries)


async def test_probes_say_what_is_away(site: Site, audit, keys, monkeypatch):
    browser = site.browser()
    assert (await browser.get("/healthz")).text == "ok\n"
    assert (await browser.get("/readyz")).json()["ready"] is True
    audit.away = True
    monkeypatch.setattr(health, "REMEMBER", 0)
    answer = await browser.get("/readyz")
    assert (answer.status_code, answer.json()["parts"]["audit"]["ok"]) == (200, False)
    keys.away = True
    assert (await browser.get("/readyz")).status_code == 503
    assert "cloister_app_requests_total" in (await browser.get("/metrics")).text


async def test_a_filter_hides_entries_on_the_page_and_copies_stay_whole(site: Site):
    alice, rita = await site.as_("alice"), await site.as_("rita")
    document = await alice.uploaded(title="Filtered one")
    await alice.add_version(document, b"two\n", expected=1, reason="Corrected a figure")
    await rita.content(document)

    async def shown(query: str) -> int:
        return (await rita.get(f"/documents/{document}/trail?{query}")).text.count('class="entry ')

    assert await shown("show=changes") == 2
    assert await shown("show=changes&who=Rita+Reader") == 0
    assert await shown("words=corrected+a") == 1
    assert await shown("until=2001-01-01") == 0
    assert await shown("since=not-a-day&action=app:document:create") == 1
    copy = (await rita.get(f"/documents/{document}/trail.json?show=changes")).json()
    assert {"app:document:read", "app:trail:view"} <= {entry["entry"]["action"] for entry in copy["entries"]}
