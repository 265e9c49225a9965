"""Alerts reach a real webhook and a real mail server while the app's own work runs (11.300(d), AT-40, AT-44, AT-45)."""

import asyncio
import queue

import pytest

from tenant_app import factory, settings
from tenant_app.adapters.directory import LdapDirectory
from tenant_app.adapters.sinks import sink_of
from tests.tenant_app.support.receivers import Receiver, mail_server, webhook
from tests.tenant_app.support.site import Site
from tests.tenant_app.test_workflow import sign

# AT-44 names the time; it is the bound of a wait, and nothing is measured.
AT_MOST = 10


@pytest.fixture
def hook(authority):
    with webhook(authority.issue("hook")) as found:
        yield found


@pytest.fixture
def mail():
    with mail_server() as found:
        yield found


@pytest.fixture
async def make(fresh, keys, audit, authority, tmp_path):
    made = []

    async def site(*sections: dict) -> Site:
        token = tmp_path / "hook-token"
        token.write_text("hook-token\n")
        found = [
            settings.SinkSection.model_validate({"caFile": authority.ca, "tokenFile": token, **each})
            for each in sections
        ]
        ports = factory.Ports(
            keys=keys, directory=LdapDirectory(fresh.ldap), audit=audit, sinks=tuple(sink_of(each) for each in found)
        )
        app = factory.build(fresh, ports)
        await app.database.open()
        work = asyncio.create_task(app.alerts.run())
        made.append((Site(app), app, work))
        return made[-1][0]

    yield site
    for found, app, work in made:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        await found.close()
        await app.close()


async def next_of(receiver: Receiver) -> dict:
    return await asyncio.to_thread(receiver.taken.get, timeout=AT_MOST)


def to_hook(hook: Receiver) -> dict:
    return {"kind": "webhook", "url": f"https://localhost:{hook.port}/alerts"}


def to_mail(mail: Receiver) -> dict:
    return {
        "kind": "smtp",
        "url": f"smtp://localhost:{mail.port}",
        "sender": "app@acme.example",
        "recipients": ["security@acme.example"],
    }


async def five_bad_signings(site: Site) -> None:
    alice = await site.as_("alice")
    document = await alice.uploaded()
    for _ in range(5):
        await sign(alice, "alice", document, "submit", reviewers=["x"], password="wrong")


async def alert_entries(site: Site, audit, count: int) -> list[list]:
    for _ in range(600):
        await site.app.relay.deliver_all()
        found = [entry for entry in audit.entries if entry["action"] == "app:security:alert"]
        if len(found) >= count:
            return [[change["new"] for change in entry["change"]] for entry in found]
        await asyncio.sleep(0.05)
    raise AssertionError("no entry of the alert")


async def test_at44_five_bad_signings_reach_the_webhook_in_time_and_the_entry_follows(make, hook, audit):
    site = await make(to_hook(hook))
    await five_bad_signings(site)
    alert = await next_of(hook)
    assert alert["kind"] == "signing_locked"
    assert alert["entry"]["action"] == "app:account:lock"
    assert hook.tokens == ["Bearer hook-token"]
    assert "password" not in str(alert)
    assert await alert_entries(site, audit, 1) == [["webhook localhost", ""]]


async def test_at44_an_alert_that_is_not_acknowledged_is_sent_until_it_is(make, hook, audit):
    site = await make(to_hook(hook))
    hook.refuse = 2
    await five_bad_signings(site)
    assert (await next_of(hook))["kind"] == "signing_locked"
    assert len(hook.tokens) == 3
    await asyncio.sleep(0.1)
    assert hook.taken.empty()


async def test_at44_an_alert_survives_the_process_that_raised_it(make, hook, audit):
    silent = await make({"kind": "webhook", "url": "https://localhost:1/alerts"})
    await five_bad_signings(silent)
    await make(to_hook(hook))
    assert (await next_of(hook))["kind"] == "signing_locked"


async def test_at44_failed_sign_ins_are_told_once_per_run_of_failures(make, hook):
    site = await make(to_hook(hook))
    for number in range(8):
        await site.browser(address=f"10.0.0.{number}").sign_in("alice", "guess")
    alert = await next_of(hook)
    assert alert["kind"] == "sign_in_failures"
    assert "5 failed sign-ins of this account" in alert["entry"]["reason"]["text"]
    await asyncio.sleep(0.2)
    assert hook.taken.empty()


async def test_at40_two_entries_for_one_name_are_denied_and_told(make, hook, audit):
    site = await make(to_hook(hook))
    assert (await site.browser().sign_in("twin", "twin-password")).status_code == 401
    alert = await next_of(hook)
    assert alert["kind"] == "ambiguous_account"
    assert alert["entry"]["reason"]["code"] == "ambiguous"


async def test_at45_the_second_sink_takes_over_and_the_entry_says_so(make, mail, audit):
    site = await make({"kind": "webhook", "url": "https://localhost:1/alerts"}, to_mail(mail))
    await five_bad_signings(site)
    alert = await next_of(mail)
    assert (alert["kind"], alert["to"], alert["subject"]) == (
        "signing_locked", "security@acme.example", "Security alert: signing_locked",
    )  # fmt: skip
    assert await alert_entries(site, audit, 1) == [["smtp localhost", "webhook localhost"]]


async def test_at45_a_first_sink_that_hangs_holds_up_a_round_of_alerts_once(make, mail, server, fresh):
    held = []

    async def hold(_reader, writer) -> None:
        held.append(writer)

    hanging = await asyncio.start_server(hold, "127.0.0.1", 0)
    port = hanging.sockets[0].getsockname()[1]
    site = await make({"kind": "webhook", "url": f"https://localhost:{port}/alerts"}, to_mail(mail))
    async with asyncio.timeout(30):
        for uid in ("alice", "rosa", "ana", "pia", "rita"):
            for number in range(5):
                await site.browser(address=f"10.0.1.{number}").sign_in(uid, "guess")
        kinds = [(await next_of(mail))["kind"] for _ in range(5)]
    assert kinds == ["sign_in_failures"] * 5
    for writer in held:
        writer.close()
    hanging.close()


async def test_at03_an_altered_byte_is_told_too(make, hook, server, fresh):
    site = await make(to_hook(hook))
    await (await site.as_("alice")).uploaded()
    with server.admin(fresh.database.name) as conn:
        conn.execute("ALTER TABLE contents DISABLE TRIGGER ALL")
        conn.execute("UPDATE contents SET sealed = set_byte(sealed, 20, get_byte(sealed, 20) # 1)")
    assert await site.app.scrub.look() == 1
    assert (await next_of(hook))["kind"] == "integrity_violation"


async def test_a_webhook_whose_certificate_is_a_strangers_gets_nothing(make, hook, tmp_path):
    from tests.tenant_app.support.certificates import Authority

    site = await make({**to_hook(hook), "caFile": Authority(tmp_path / "other").ca})
    await five_bad_signings(site)
    with pytest.raises(queue.Empty):
        hook.taken.get(timeout=1)
    assert hook.tokens == []
