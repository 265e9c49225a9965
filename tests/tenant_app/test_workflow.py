"""Workflow and electronic signatures through the pages, as people (11.10(f), (g), 11.50, 11.70, 11.200, 11.300(d))."""

import html
import re

import httpx
import pytest
from psycopg import sql

from tests.tenant_app.support import people
from tests.tenant_app.support.site import Browser, Site


async def reviewer_sub(site: Site, uid: str) -> str:
    return (await site.app.ports.directory.authenticate(uid, people.password(uid))).sub


async def dialog(browser: Browser, document: str, step: str, number: int = 1) -> tuple[str, httpx.Response]:
    page = await browser.get(f"/documents/{document}/versions/{number}/sign/{step}")
    found = re.search(r'name="nonce" value="([^"]+)"', page.text)
    return (html.unescape(found[1]) if found else ""), page


async def sign(
    browser: Browser, uid: str, document: str, step: str, *, number: int = 1, nonce: str | None = None, **data
) -> httpx.Response:
    fresh, page = await dialog(browser, document, step, number)
    if not fresh and nonce is None:
        return page
    body = {"nonce": nonce or fresh, "account": uid, "password": people.password(uid), "reason": "", **data}
    return await browser.post(f"/documents/{document}/versions/{number}/sign/{step}", body)


async def submitted(site: Site, reviewers: tuple[str, ...] = ("rosa",), author: str = "alice") -> tuple[Browser, str]:
    browser = await site.as_(author)
    document = await browser.uploaded()
    subs = [await reviewer_sub(site, uid) for uid in reviewers]
    answer = await sign(browser, author, document, "submit", reviewers=subs)
    assert answer.status_code == 303, answer.text
    return browser, document


async def state(site: Site, server, fresh, document: str, number: int = 1) -> str:
    with server.admin(fresh.database.name) as conn:
        row = conn.execute(
            "SELECT state FROM versions WHERE document = %s AND number = %s", (document, number)
        ).fetchone()
    return row[0]


async def approved(site: Site) -> str:
    _, document = await submitted(site)
    assert (await sign(await site.as_("rosa"), "rosa", document, "review")).status_code == 303
    ana = await site.as_("ana")
    await ana.get(f"/documents/{document}/trail")
    assert (await sign(ana, "ana", document, "approve")).status_code == 303
    return document


async def test_at16_a_version_goes_from_draft_to_published_through_four_people(site: Site, server, fresh, audit):
    document = await approved(site)
    pia = await site.as_("pia")
    assert (await sign(pia, "pia", document, "publish")).status_code == 303
    assert await state(site, server, fresh, document) == "published"
    page = (await pia.get(f"/documents/{document}")).text
    for word in ("Alice Author", "Rosa Reviewer", "Ana Approver", "Pia Publisher", "Approval", "id + password"):
        assert word in page
    await site.app.relay.deliver_all()
    assert audit.actions().count("app:signature:create") == 4
    moves = [entry["change"][0] for entry in audit.entries if entry["action"] == "app:workflow:transition"]
    assert [(move["old"], move["new"]) for move in moves] == [
        ("draft", "in_review"), ("in_review", "reviewed"), ("reviewed", "approved"), ("approved", "published"),
    ]  # fmt: skip


@pytest.mark.parametrize("step", ["review", "approve", "publish", "withdraw", "revoke"])
async def test_at17_a_step_out_of_order_is_refused_and_recorded(site: Site, step, audit):
    omar = await site.as_("omar")
    document = await omar.uploaded()
    answer = await sign(omar, "omar", document, step, nonce="made-up", reason="because")
    assert answer.status_code == 409
    await site.app.relay.deliver_all()
    assert any(entry["action"] == "app:workflow:refuse" and entry["result"] == "denied" for entry in audit.entries)


async def test_at18_each_step_needs_its_own_right(site: Site):
    _, document = await submitted(site)
    for uid, step in (
        ("rita", "review"),
        ("pia", "review"),
        ("ana", "review"),
        ("rosa", "approve"),
        ("alice", "publish"),
    ):
        answer = await sign(await site.as_(uid), uid, document, step, nonce="made-up")
        assert answer.status_code in {403, 409}, (uid, step)


async def test_at19_author_reviewer_and_approver_are_different_people(site: Site, server, fresh):
    rosa_sub = await reviewer_sub(site, "rosa")
    omar = await site.as_("omar")
    document = await omar.uploaded()
    omar_sub = await reviewer_sub(site, "omar")
    assert (await sign(omar, "omar", document, "submit", reviewers=[omar_sub])).status_code == 409
    assert (await sign(omar, "omar", document, "submit", reviewers=[rosa_sub])).status_code == 303
    assert (await sign(omar, "omar", document, "review", nonce="x")).status_code == 409
    assert (await sign(await site.as_("rosa"), "rosa", document, "review")).status_code == 303
    await omar.get(f"/documents/{document}/trail")
    assert (await sign(omar, "omar", document, "approve", nonce="x")).status_code == 409
    _, other = await submitted(site, reviewers=("omar",))
    assert (await sign(omar, "omar", other, "review")).status_code == 303
    await omar.get(f"/documents/{other}/trail")
    assert (await sign(omar, "omar", other, "approve", nonce="x")).status_code == 409
    assert await state(site, server, fresh, other) == "reviewed"


async def test_at59_an_approver_must_have_opened_the_trail_first(site: Site):
    _, document = await submitted(site)
    await sign(await site.as_("rosa"), "rosa", document, "review")
    ana = await site.as_("ana")
    assert (await sign(ana, "ana", document, "approve", nonce="x")).status_code == 409
    await ana.get(f"/documents/{document}/trail")
    assert (await sign(ana, "ana", document, "approve")).status_code == 303


async def test_every_assigned_reviewer_has_to_finish(site: Site, server, fresh):
    _, document = await submitted(site, reviewers=("rosa", "ravi"))
    await sign(await site.as_("rosa"), "rosa", document, "review")
    assert await state(site, server, fresh, document) == "in_review"
    await sign(await site.as_("ravi"), "ravi", document, "review")
    assert await state(site, server, fresh, document) == "reviewed"


async def test_at56_a_change_after_signing_is_a_new_unsigned_version(site: Site, server, fresh):
    document = await approved(site)
    alice = await site.as_("alice")
    assert (await alice.add_version(document, b"changed\n", expected=1)).status_code == 303
    assert await state(site, server, fresh, document, 2) == "draft"
    assert (await sign(await site.as_("pia"), "pia", document, "publish", nonce="x")).status_code == 409


async def test_a_rejection_is_a_signature_with_a_reason(site: Site, server, fresh):
    _, document = await submitted(site)
    rosa = await site.as_("rosa")
    assert (await sign(rosa, "rosa", document, "reject_review")).status_code == 422
    assert (await sign(rosa, "rosa", document, "reject_review", reason="Batch number is wrong")).status_code == 303
    assert await state(site, server, fresh, document) == "rejected"
    assert "Batch number is wrong" in (await rosa.get(f"/documents/{document}")).text


async def test_a_revocation_is_a_new_signed_record_and_the_old_one_stays(site: Site, server, fresh):
    document = await approved(site)
    ana = await site.as_("ana")
    assert (await sign(ana, "ana", document, "revoke", reason="Approved by mistake")).status_code == 303
    assert await state(site, server, fresh, document) == "rejected"
    page = (await ana.get(f"/documents/{document}")).text
    assert page.count("Ana Approver") >= 2
    assert "revoked" in page


async def test_at33_a_session_alone_never_signs(site: Site):
    alice = await site.as_("alice")
    document = await alice.uploaded()
    subs = [await reviewer_sub(site, "rosa")]
    for typed in ({"account": "", "password": ""}, {"account": "alice", "password": ""}):
        assert (await sign(alice, "alice", document, "submit", reviewers=subs, **typed)).status_code == 403


@pytest.mark.parametrize(
    ("first", "account", "password", "allowed"),
    [
        (True, True, True, True), (True, False, True, False), (True, True, False, False), (True, False, False, False),
        (False, True, True, True), (False, False, True, True), (False, True, False, False), (False, False, False, False),
    ],
)  # fmt: skip
async def test_at34_first_signing_takes_all_components_later_ones_the_password(
    site: Site, first, account, password, allowed
):
    alice = await site.as_("alice")
    subs = [await reviewer_sub(site, "rosa")]
    if not first:
        assert (
            await sign(alice, "alice", await alice.uploaded(b"zero\n"), "submit", reviewers=subs)
        ).status_code == 303
    typed = {"account": "alice" if account else "", "password": people.password("alice") if password else ""}
    answer = await sign(alice, "alice", await alice.uploaded(), "submit", reviewers=subs, **typed)
    assert answer.status_code == (303 if allowed else 403)


@pytest.mark.parametrize("break_", ["sign_out", "second_device", "address", "restart", "timeout"])
async def test_at36_any_break_asks_for_all_components_again(site: Site, break_):
    alice = await site.as_("alice")
    subs = [await reviewer_sub(site, "rosa")]
    assert (await sign(alice, "alice", await alice.uploaded(b"one\n"), "submit", reviewers=subs)).status_code == 303
    components = site.app.signing._components
    if break_ in {"sign_out", "second_device"}:
        if break_ == "sign_out":
            await alice.post("/sign-out")
        alice = await site.as_("alice")
    elif break_ == "address":
        alice.http._transport.client = ("10.2.2.2", 1)
    elif break_ == "restart":
        components._periods.clear()
    else:
        components._rules = type(components._rules)(idle=components._rules.idle * 0, longest=components._rules.longest)
    document = await alice.uploaded(b"two\n")
    assert (await sign(alice, "alice", document, "submit", reviewers=subs, account="")).status_code == 403
    assert (await sign(alice, "alice", document, "submit", reviewers=subs)).status_code == 303


async def test_a_replayed_challenge_and_one_for_another_step_are_refused(site: Site):
    alice = await site.as_("alice")
    subs = [await reviewer_sub(site, "rosa")]
    one, two = await alice.uploaded(b"one\n"), await alice.uploaded(b"two\n")
    nonce, _ = await dialog(alice, one, "submit")
    assert (await sign(alice, "alice", two, "submit", nonce=nonce, reviewers=subs)).status_code == 403
    assert (await sign(alice, "alice", one, "submit", nonce=nonce, reviewers=subs)).status_code == 303
    assert (await sign(alice, "alice", one, "submit", nonce=nonce, reviewers=subs)).status_code == 409
    assert (await sign(alice, "alice", two, "submit", nonce=nonce, reviewers=subs)).status_code == 403


async def test_at37_nobody_signs_with_anothers_identity(site: Site):
    alice = await site.as_("alice")
    document = await alice.uploaded()
    subs = [await reviewer_sub(site, "rosa")]
    typed = {"account": "andre", "password": people.password("andre")}
    assert (await sign(alice, "alice", document, "submit", reviewers=subs, **typed)).status_code == 403


@pytest.mark.parametrize("attack", ["move", "remove", "alter"])
async def test_at29_a_moved_removed_or_altered_signature_does_not_verify(site: Site, server, fresh, attack):
    document = await approved(site)
    alice, other = await submitted(site)
    statements = {
        "move": "UPDATE signatures SET document = %(other)s, prev = 'moved' WHERE document = %(document)s AND prev = 'none'",
        "remove": "DELETE FROM signatures WHERE document = %(document)s AND meaning = 'review'",
        "alter": "UPDATE signatures SET sealed = set_byte(sealed, 60, get_byte(sealed, 60) # 1) WHERE document = %(document)s",
    }
    with server.admin(fresh.database.name) as conn:
        conn.execute("ALTER TABLE signatures DISABLE TRIGGER ALL")
        conn.execute(sql.SQL(statements[attack]), {"document": document, "other": other})
    answer = await alice.get(f"/documents/{document}")
    assert answer.status_code == 500
    assert "integrity" in answer.text


async def test_at44_five_bad_signing_attempts_lock_end_the_session_and_alert(site: Site, audit):
    taken = []

    class Sink:
        name = "test sink"

        async def send(self, body):
            taken.append(body)

    site.app.alerts._sinks.append(Sink())
    alice = await site.as_("alice")
    document = await alice.uploaded()
    subs = [await reviewer_sub(site, "rosa")]
    for _ in range(5):
        await sign(alice, "alice", document, "submit", reviewers=subs, password="wrong")
    assert (await alice.get("/documents")).status_code == 303
    again = await site.as_("alice")
    answer = await sign(again, "alice", document, "submit", reviewers=subs)
    assert answer.status_code == 403
    assert "locked" in answer.text
    await site.app.alerts.deliver()
    assert [alert["kind"] for alert in taken] == ["signing_locked"]
    await site.app.relay.deliver_all()
    assert audit.actions().count("app:signature:failure") == 6
    assert "app:account:lock" in audit.actions()
    assert "app:security:alert" in audit.actions()


async def test_at45_when_the_first_sink_is_away_the_second_gets_it_and_the_entry_says_so(site: Site, audit):
    from tenant_app.errors import SinkAway

    class Away:
        name = "first"

        async def send(self, body):
            raise SinkAway("away")

    class Good:
        name = "second"

        async def send(self, body):
            pass

    site.app.alerts._sinks.extend([Away(), Good()])
    alice = await site.as_("alice")
    document = await alice.uploaded()
    for _ in range(5):
        await sign(alice, "alice", document, "submit", reviewers=["x"], password="wrong")
    assert await site.app.alerts.deliver() == 1
    await site.app.relay.deliver_all()
    entry = next(entry for entry in audit.entries if entry["action"] == "app:security:alert")
    assert [change["new"] for change in entry["change"]] == ["second", "first"]


async def test_remarks_are_kept_shown_settled_and_recorded(site: Site):
    alice, document = await submitted(site)
    rosa = await site.as_("rosa")
    answer = await rosa.post(
        f"/documents/{document}/versions/1/annotations", {"text": "Is 25 °C right?<b>", "place": "page 2"}
    )
    assert answer.status_code == 303
    page = (await alice.get(f"/documents/{document}")).text
    assert "Is 25 °C right?&lt;b&gt;" in page
    remark = re.search(r"/annotations/([0-9a-f-]{36})/resolve", page)[1]
    assert (await alice.post(f"/documents/{document}/annotations/{remark}/resolve")).status_code == 303
    assert (await alice.post(f"/documents/{document}/annotations/{remark}/resolve")).status_code == 404
    rita = await site.as_("rita")
    assert (await rita.post(f"/documents/{document}/versions/1/annotations", {"text": "x"})).status_code == 403


async def test_home_shows_what_waits_for_whom(site: Site):
    _, document = await submitted(site)
    assert "waits for your review" in (await (await site.as_("rosa")).get("/")).text
    assert "waits for your review" not in (await (await site.as_("ravi")).get("/")).text
    await sign(await site.as_("rosa"), "rosa", document, "review")
    assert "can be approved" in (await (await site.as_("ana")).get("/")).text
    assert "can be approved" not in (await (await site.as_("alice")).get("/")).text
