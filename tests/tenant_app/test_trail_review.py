"""Reviews of a document's trail as signed records (Annex 11 (2011) s.9 "regularly reviewed"; FDA data integrity Q&A 2018)."""

import hashlib
import html
import json
import re
import zipfile
from io import BytesIO

import httpx
import psycopg
import pytest
import rfc8785

from tenant_app.domain.signing import check_chain, opened
from tenant_app.domain.trail_review import Covered, coverages
from tenant_app.domain.workflow import load
from tenant_app.domain.workflow_file import definition_of
from tests.tenant_app.support import people
from tests.tenant_app.support.callers import caller, soon
from tests.tenant_app.support.site import Browser, Site
from tests.tenant_app.test_authority_api import program
from tests.tenant_app.test_evidence import checked, proven, service, unpack, verified
from tests.tenant_app.test_renditions import text_of
from tests.tenant_app.test_workflow import approved, sign, state, submitted
from tests.tenant_app.test_workflow_file import OURS

__all__ = ["proven", "service"]


def field(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    return html.unescape(found[1]) if found else ""


async def dialog(browser: Browser, document: str, number: int = 1) -> httpx.Response:
    """Open the trail, then the dialog."""
    await browser.get(f"/documents/{document}/trail")
    return await browser.get(f"/documents/{document}/versions/{number}/trail-review")


async def review(
    browser: Browser, uid: str, document: str, *, number: int = 1, page: str = "", **data
) -> httpx.Response:
    page = page or (await dialog(browser, document, number)).text
    body = {
        "nonce": field(page, "nonce"), "last": field(page, "last"), "account": uid, "password": people.password(uid), **data,
    }  # fmt: skip
    return await browser.post(f"/documents/{document}/versions/{number}/trail-review", body)


async def trail_json(browser: Browser, document: str) -> dict:
    return (await browser.get(f"/documents/{document}/trail.json")).json()


def payloads(copy: dict, public: dict[int, bytes]) -> list[dict]:
    return [opened(each["envelope"], public) for each in copy["signatures"]]


async def test_at53_a_trail_review_is_a_signed_record_of_exactly_the_entries_that_were_shown(site: Site, keys, audit):
    """Annex 11 (2011) s.9: audit trails are regularly reviewed. The review is sealed, chained, recorded, and names its entries."""
    document = await approved(site)
    rosa = await site.as_("rosa")
    page = (await dialog(rosa, document)).text
    last = int(field(page, "last"))
    assert "I have reviewed the audit trail of this version" in page
    answer = await review(rosa, "rosa", document, page=page, remarks="Nothing out of place")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/documents/{document}/trail#reviews")
    copy = await trail_json(rosa, document)
    found = payloads(copy, await keys.public_keys())
    check_chain(
        [(each["envelope"], payload) for each, payload in zip(copy["signatures"], found, strict=True)],
        tenant=str(site.app.settings.tenant.id),
        document=document,
    )
    signed = found[-1]
    assert [each["meaning"]["code"] for each in found] == ["authorship", "review", "approval", "trail-review"]
    assert (signed["signer"]["printed_name"], signed["reason"]) == ("Rosa Reviewer", "Nothing out of place")
    assert (signed["decision"], signed["auth"]["components"]) == ("accept", ["id", "password"])
    # What a stranger computes from the exported trail is what was signed: every entry of the document up to the last one shown.
    covered = [
        {name: line[name] for name in ("seq", "chainHash", "entry")} for line in copy["entries"] if line["seq"] <= last
    ]
    trail = signed["trail_review"]
    assert (trail["first"], trail["last"], trail["entries"]) == (covered[0]["seq"], last, len(covered))
    assert trail["hash"] == covered[-1]["chainHash"]
    assert trail["sha256"] == hashlib.sha256(rfc8785.dumps(covered)).hexdigest()
    await site.app.relay.deliver_all()
    entry = [each for each in audit.entries if each["action"] == "app:signature:create"][-1]
    named = {change["path"]: change["new"] for change in entry["change"]}
    assert (named["/meaning"], named["/covers"]) == ("trail-review", f"#{trail['first']} to #{last}")
    assert (entry["object"]["id"], entry["actor"]["name"]) == (document, "Rosa Reviewer")


async def test_at53_it_moves_no_version_in_any_state_and_gives_nothing_to_revoke(site: Site, server, fresh):
    """A trail review is a statement about the trail; the workflow goes on as if it were not there."""
    alice = await site.as_("alice")
    document = await alice.uploaded()
    rita = await site.as_("rita")
    assert (await review(rita, "rita", document)).status_code == 303
    assert await state(site, server, fresh, document) == "draft"
    # The draft's description can still be edited, and there is no signature that a reader could revoke to reject it.
    edit = {"title": "Another name", "kind": "Report", "project": "", "reference": "", "reason": "Was misspelt"}
    assert (await alice.post(f"/documents/{document}/describe", edit)).status_code == 303
    _, other = await submitted(site)
    assert (await review(rita, "rita", other)).status_code == 303
    answer = await sign(rita, "rita", other, "revoke", nonce="x", reason="I want it gone")
    assert answer.status_code == 409
    assert await state(site, server, fresh, other) == "in_review"
    # A reviewer who signs for the trail after their review revokes their review, not the trail review.
    rosa = await site.as_("rosa")
    assert (await sign(rosa, "rosa", other, "review")).status_code == 303
    assert (await review(rosa, "rosa", other)).status_code == 303
    assert await state(site, server, fresh, other) == "reviewed"
    assert (await sign(rosa, "rosa", other, "revoke", reason="I overlooked page 2")).status_code == 303
    with server.admin(fresh.database.name) as conn:
        rows = conn.execute(
            "SELECT r.meaning FROM signatures s JOIN signatures r ON r.id = s.revokes WHERE s.document = %s", (other,)
        ).fetchall()
    assert rows == [("review",)]


async def test_at53_the_database_keeps_the_version_before_from_revoking_a_trail_review(site: Site, server, fresh):
    document = await (await site.as_("alice")).uploaded()
    assert (await review(await site.as_("rita"), "rita", document)).status_code == 303
    with server.admin(fresh.database.name) as conn:
        conn.execute("SET ROLE app")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="trail review"):
            conn.execute(
                "INSERT INTO signatures SELECT gen_random_uuid(), document, version, sha256, sub, 'revocation', id, sealed,"
                " 'other', digest, now() FROM signatures"
            )


async def test_at53_what_came_between_dialog_and_signing_is_counted_and_not_covered(site: Site, keys):
    document = await approved(site)
    rosa, rita = await site.as_("rosa"), await site.as_("rita")
    page = (await dialog(rosa, document)).text
    last = int(field(page, "last"))
    await rita.content(document)
    await rosa.post(f"/documents/{document}/versions/1/annotations", {"text": "Page 2 is unreadable"})
    assert (await review(rosa, "rosa", document, page=page)).status_code == 303
    signed = payloads(await trail_json(rita, document), await keys.public_keys())[-1]["trail_review"]
    # The dialog's own look, the read, and the remark.
    assert (signed["last"], signed["since"]) == (last, {"entries": 3, "changes": 1})
    shown = re.sub(r"<[^>]+>", "", (await rita.get(f"/documents/{document}/trail")).text)
    assert re.search(rf"#\d+ to #{last}\s*since then 1 change, \d+ entries in all", shown)


async def test_at53_nobody_signs_for_a_trail_they_were_not_shown_as_it_stands(site: Site):
    """FDA data integrity Q&A 2018: the trail is reviewed with the record."""
    document = await approved(site)
    rita, rosa = await site.as_("rita"), await site.as_("rosa")
    path = f"/documents/{document}/versions/1/trail-review"
    assert (await rita.get(path)).status_code == 409
    # Neither a copy nor a look at the reviews is a look at the trail.
    await rita.get(f"/documents/{document}/trail.json")
    await rita.get(f"/api/v1/documents/{document}/trail-reviews")
    assert (await rita.get(path)).status_code == 409
    assert (await dialog(rita, document)).status_code == 200
    await rosa.post(f"/documents/{document}/versions/1/annotations", {"text": "Look at page 2"})
    refused = await rita.get(path)
    assert (refused.status_code, "Open the audit trail first" in refused.text) == (409, True)
    # What others only read or were refused, and another's review of the trail, is no reason to read it all again.
    await rita.get(f"/documents/{document}/trail")
    await rosa.content(document)
    await sign(rosa, "rosa", document, "publish", nonce="x")
    assert (await review(rosa, "rosa", document)).status_code == 303
    assert (await rita.get(path)).status_code == 200


async def test_at53_authors_do_not_review_their_own_trail_and_strangers_to_content_nothing(site: Site, server, fresh):
    """Annex 11 (2011) s.9 with 11.10(g): a review is by somebody else."""
    document = await approved(site)
    alice, andre, max_ = await site.as_("alice"), await site.as_("andre"), await site.as_("max")
    assert (await dialog(alice, document)).status_code == 409
    assert "Sign a review" not in (await alice.get(f"/documents/{document}/trail")).text
    assert "Sign a review" in (await andre.get(f"/documents/{document}/trail")).text
    assert (await andre.add_version(document, b"second\n", expected=1)).status_code == 303
    for who, uid, number in ((alice, "alice", 2), (andre, "andre", 1), (andre, "andre", 2)):
        assert (await dialog(who, document, number)).status_code == 409
        assert (await review(who, uid, document, number=number, page="-")).status_code == 409
    assert (await dialog(max_, document)).status_code == 403
    assert (await dialog(await site.as_("rita"), document, 3)).status_code == 404
    with server.admin(fresh.database.name) as conn:
        assert conn.execute("SELECT count(*) FROM signatures WHERE meaning = 'trail-review'").fetchone() == (0,)


async def test_at53_it_is_never_delegated(site: Site):
    rita, rosa = await site.as_("rita"), await site.as_("rosa")
    token = (await rosa.get("/api/v1/session")).json()["csrfToken"]
    body = {
        "receiver": (await caller(site.app, "rita")).session.sub, "meaning": "trail-review", "reason": "On leave",
        "until": soon().date().isoformat(),
    }  # fmt: skip
    answer = await rosa.http.post("/api/v1/delegations", json=body, headers={"x-csrf-token": token})
    assert (answer.status_code, (await rita.get("/api/v1/delegations")).json()) == (422, [])


async def test_at53_the_rules_of_every_signature_hold_and_five_wrong_ones_lock(site: Site, audit):
    document = await approved(site)
    rosa, rita = await site.as_("rosa"), await site.as_("rita")
    for wrong in ({"password": ""}, {"account": ""}, {"nonce": "made-up"}, {"last": "0"}, {"last": "3"}):
        answer = await review(rosa, "rosa", document, **wrong)
        assert (answer.status_code, "Not signed" in answer.text) == (403, True), wrong
    page = (await dialog(rosa, document)).text
    # A challenge is one person's, for one version's trail, and for one signature.
    await dialog(rita, document)
    assert (await review(rita, "rita", document, page=page)).status_code == 403
    assert (await review(rosa, "rosa", document, page=page)).status_code == 303
    assert (await review(rosa, "rosa", document, page=page)).status_code == 403
    # The next one in the same period takes the password alone.
    assert (await review(rosa, "rosa", document, account="")).status_code == 303
    for _ in range(5):
        await review(rita, "rita", document, password="wrong")
    assert (await rita.get("/documents")).headers["location"].startswith("/sign-in")
    await site.app.relay.deliver_all()
    failed = [each for each in audit.entries if each["action"] == "app:signature:failure"]
    assert {each["change"][0]["new"] for each in failed} == {"trail-review"}
    assert len(failed) == 12
    assert "app:account:lock" in audit.actions()


async def test_at53_reviews_over_rest_are_the_same_record_under_the_same_rules(site: Site, keys):
    document = await approved(site)
    rosa, headers = await program(site, "rosa")
    at = f"/api/v1/documents/{document}/versions/1/trail-reviews"
    assert (await rosa.http.post(f"{at}/challenge", headers=headers)).status_code == 409
    trail = (await rosa.get(f"/api/v1/documents/{document}/trail")).json()
    made = await rosa.http.post(f"{at}/challenge", headers=headers)
    assert made.status_code == 201, made.text
    found = made.json()
    assert found["asked"] == {"account": True, "password": True, "code": False, "stepUp": False}
    assert (found["covered"]["last"], found["covered"]["entries"]) == (trail[0]["seq"], len(trail))
    body = {"nonce": found["nonce"], "last": found["covered"]["last"], "remarks": "In order"}
    # The session's cookie and token alone sign nothing (11.200(a)(1)), and no form token means no try.
    assert (await rosa.http.post(at, json=body, headers=headers)).json()["title"] == "Not signed"
    typed = {"account": "rosa", "password": people.password("rosa")}
    again = (await rosa.http.post(f"{at}/challenge", headers=headers)).json()
    body |= {"nonce": again["nonce"], "last": again["covered"]["last"], **typed}
    assert (await rosa.http.post(at, json=body)).status_code == 403
    signed = await rosa.http.post(at, json=body, headers=headers)
    assert signed.status_code == 201, signed.text
    (listed,) = (await rosa.get(f"/api/v1/documents/{document}/trail-reviews")).json()
    payload = opened(listed["envelope"], await keys.public_keys())
    assert (listed["id"], listed["by"]) == (signed.json()["id"], "Rosa Reviewer")
    assert {name: payload["trail_review"][name] for name in listed["covered"]} == listed["covered"] == again["covered"]
    assert listed["since"]["changes"] == 0
    assert payload["meaning"]["statement"] == found["statement"]


async def test_at53_it_is_in_the_signed_copy_the_trails_pdf_the_export_and_on_the_documents_page(
    site: Site, keys, tmp_path
):
    document = await approved(site)
    rosa = await site.as_("rosa")
    assert (await review(rosa, "rosa", document, remarks="Two late entries, explained")).status_code == 303
    assert "Trail review" in (await rosa.get(f"/documents/{document}")).text
    for copy in (f"/documents/{document}/trail.pdf", f"/documents/{document}/versions/1/rendition.pdf"):
        text = text_of((await rosa.get(copy)).content)
        for word in (
            "Rosa Reviewer",
            "Meaning: trail-review",
            "Two late entries, explained",
            "entries, #",
            "Trail SHA-256",
        ):
            assert word in text, (copy, word)
    await site.app.export.run(tmp_path)
    exported = json.loads((tmp_path / "trails" / f"{document}.json").read_bytes())
    signed = payloads(exported, await keys.public_keys())[-1]
    assert (signed["meaning"]["code"], signed["reason"]) == ("trail-review", "Two late entries, explained")
    lines = [{name: each[name] for name in ("seq", "chainHash", "entry")} for each in exported["entries"]]
    covered = rfc8785.dumps([line for line in lines if line["seq"] <= signed["trail_review"]["last"]])
    assert hashlib.sha256(covered).hexdigest() == signed["trail_review"]["sha256"]


async def test_at53_the_evidence_pack_of_a_trail_review_verifies_offline_with_the_entries_it_covers(proven, tmp_path):
    site, document = proven
    rosa = await site.as_("rosa")
    assert (await review(rosa, "rosa", document)).status_code == 303
    await site.app.relay.deliver_all()
    (listed,) = (await rosa.get(f"/api/v1/documents/{document}/trail-reviews")).json()
    answer = await rosa.get(f"/documents/{document}/signatures/{listed['id']}/evidence.zip")
    unpack(answer.content, tmp_path / "pack")
    code, said = checked(tmp_path / "pack")
    assert (code, f"it covers the {listed['covered']['entries']} entries" in said) == (0, True), said
    assert "the log's entry names exactly this signature" in said
    assert verified(tmp_path / "pack") == 0
    path = tmp_path / "pack" / "trail.json"
    lines = json.loads(path.read_bytes())
    for altered in (lines[1:], lines[:-1], lines[:3] + lines[4:], [{**lines[0], "seq": 0}, *lines[1:]]):
        path.write_bytes(rfc8785.dumps(altered))
        assert checked(tmp_path / "pack")[0] == 1
    path.unlink()
    assert checked(tmp_path / "pack")[0] == 1
    # The other signatures' packs hold no trail, and the review is in the chain of those that come after it.
    assert (await review(rosa, "rosa", document, account="")).status_code == 303
    newest = (await rosa.get(f"/api/v1/documents/{document}/trail-reviews")).json()[0]
    answer = await rosa.get(f"/documents/{document}/signatures/{newest['id']}/evidence.zip")
    assert "before/0003.json" in zipfile.ZipFile(BytesIO(answer.content)).namelist()


def test_at53_what_each_beginning_of_a_trail_covers_is_the_digest_of_exactly_those_lines():
    lines = [
        {"seq": 3 * number, "chainHash": f"{number:064x}", "entry": {"ü": number, "a": [True, "☃"]}}
        for number in range(9)
    ]
    found = coverages(lines)
    assert list(found) == [line["seq"] for line in lines]
    for count, covered in enumerate(found.values(), 1):
        assert covered == Covered.of(lines[:count])
        assert covered.sha256 == hashlib.sha256(rfc8785.dumps(lines[:count])).hexdigest()


async def test_at53_a_reviewed_entry_that_is_missing_or_altered_is_found(site: Site, server, fresh):
    document = await approved(site)
    rosa = await site.as_("rosa")
    assert (await review(rosa, "rosa", document)).status_code == 303
    with server.admin(fresh.database.name) as conn:
        conn.execute("ALTER TABLE audit_outbox DISABLE TRIGGER ALL")
        conn.execute("ALTER TABLE audit_receipts DISABLE TRIGGER ALL")
        conn.execute(
            "DELETE FROM audit_outbox WHERE seq = (SELECT seq FROM audit_outbox WHERE object_id = %s"
            " AND action = 'app:annotation:create' OR object_id = %s AND action = 'app:workflow:assign' LIMIT 1)",
            (document, document),
        )
    answer = await rosa.get(f"/documents/{document}/trail")
    assert (answer.status_code, "failed its integrity check" in answer.text) == (500, True)
    assert (await rosa.get(f"/api/v1/documents/{document}/trail-reviews")).status_code == 500


def test_at53_a_tenants_file_written_before_has_the_meaning_and_may_demand_the_review_before_approval():
    ours = load()
    body = json.loads(OURS)
    del body["meanings"]["trail-review"]
    found = definition_of(json.dumps(body).encode(), {})
    assert found.statements["trail-review"] == ours.statements["trail-review"]
    named = "I have read the whole trail of this version."
    assert definition_of(json.dumps(body).encode(), {"trail-review": named}).statements["trail-review"] == named
    (approve,) = [each for each in body["transitions"] if each["name"] == "approve"]
    approve["needs"].append("trail_reviewed")
    assert "trail_reviewed" in definition_of(json.dumps(body).encode(), {}).transition("approve").needs
    approve["meaning"] = "trail-review"
    body["meanings"]["trail-review"] = named
    with pytest.raises(ValueError, match="has the meaning approval"):
        definition_of(json.dumps(body).encode(), {})


async def test_at53_where_the_tenant_demands_it_nobody_approves_without_their_own_trail_review(
    site: Site, server, fresh
):
    """FDA data integrity Q&A 2018: the trail is reviewed with the record before approval."""
    body = json.loads(OURS)
    (approve,) = [each for each in body["transitions"] if each["name"] == "approve"]
    approve["needs"].append("trail_reviewed")
    site.app.progress.definition = definition_of(json.dumps(body).encode(), {})
    _, document = await submitted(site)
    rosa, ana = await site.as_("rosa"), await site.as_("ana")
    assert (await sign(rosa, "rosa", document, "review")).status_code == 303
    assert (await review(rosa, "rosa", document)).status_code == 303
    await ana.get(f"/documents/{document}/trail")
    answer = await sign(ana, "ana", document, "approve", nonce="x")
    assert (answer.status_code, "Sign your review of this version" in html.unescape(answer.text)) == (409, True)
    assert (await review(ana, "ana", document)).status_code == 303
    assert (await sign(ana, "ana", document, "approve")).status_code == 303
    assert await state(site, server, fresh, document) == "approved"
