"""Authority over REST and through the pages: the same services, the same refusals."""

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
import rfc8785

from tenant_app.domain.signing import opened
from tests.tenant_app.support import people
from tests.tenant_app.support.callers import caller, sub
from tests.tenant_app.support.site import Browser, Site

UNTIL = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()


async def program(site: Site, uid: str) -> tuple[Browser, dict]:
    browser = await site.as_(uid)
    token = (await browser.get("/api/v1/session")).json()["csrfToken"]
    return browser, {"x-csrf-token": token}


async def test_grants_training_enrolment_and_loss_over_rest(site: Site):
    rita = await site.as_("rita")
    max_, headers = await program(site, "max")
    path = f"/api/v1/people/{await sub(site.app, 'rita')}"
    body = {"name": "review", "reason": "Stands in for Rosa", "until": UNTIL}
    made = await max_.http.post(f"{path}/grants", json=body, headers=headers)
    assert made.status_code == 201, made.text
    assert (await max_.http.post(f"{path}/grants", json=body, headers=headers)).status_code == 409
    assert (await max_.http.post(f"{path}/grants", json=body)).status_code == 403
    person = (await max_.get(path)).json()
    assert (person["name"], person["rights"]) == ("Rita Reader", ["review", "view"])
    assert "review" in (await rita.get("/api/v1/session")).json()["rights"]
    (grant,) = (await max_.get(f"{path}/grants")).json()
    assert (grant["by"], grant["live"]) == ("Max Manager", True)
    answer = await max_.http.post(
        f"/api/v1/grants/{grant['id']}/revoke", json={"reason": "The audit is over"}, headers=headers
    )
    assert answer.status_code == 204
    training = {"name": "review", "what": "SOP-12 course", "until": UNTIL}
    assert (await max_.http.post(f"{path}/training", json=training, headers=headers)).status_code == 201
    seen = {"how": "Passport seen in person", "verifiedBy": "Hanna Resources", "verifiedOn": "2026-01-15"}
    assert (await max_.http.post(f"{path}/enrolment", json=seen, headers=headers)).status_code == 201
    lost = await max_.http.post(f"{path}/loss", json={"reason": "Phone stolen"}, headers=headers)
    assert lost.json() == {"sessions": 1}
    assert (await rita.get("/api/v1/session")).status_code == 401
    asked = await max_.http.post(
        f"{path}/requests", json={"kind": "restore_access", "reason": "New password"}, headers=headers
    )
    olga, others = await program(site, "olga")
    confirm = f"/api/v1/requests/{asked.json()['id']}/confirm"
    assert (await max_.http.post(confirm, headers=headers)).status_code == 403
    assert (await olga.http.post(confirm, headers=others)).status_code == 204


async def test_policy_and_delegation_over_rest(site: Site):
    max_, headers = await program(site, "max")
    assert (await max_.get("/api/v1/policy")).json() is None
    body = {"title": "Accountability", "text": "My signature binds me as my hand does.", "reason": "First version"}
    made = await max_.http.post("/api/v1/policy", json=body, headers=headers)
    assert made.json()["version"] == 1
    ana, hers = await program(site, "ana")
    pia, pias = await program(site, "pia")
    digest = {"sha256": made.json()["sha256"]}
    assert (await ana.http.post("/api/v1/policy/acceptance", json=digest, headers=hers)).status_code == 204
    assert (await ana.http.post("/api/v1/policy/acceptance", json={"sha256": "x"}, headers=hers)).status_code == 409
    offer = {"receiver": await sub(site.app, "pia"), "meaning": "approval", "reason": "On leave", "until": UNTIL}
    id_ = (await ana.http.post("/api/v1/delegations", json=offer, headers=hers)).json()["id"]
    assert (await pia.http.post(f"/api/v1/delegations/{id_}/accept", headers=pias)).status_code == 204
    (found,) = (await pia.get("/api/v1/delegations")).json()
    assert (found["giver"], found["state"]) == ("Ana Approver", "in force")
    end = await pia.http.post(f"/api/v1/delegations/{id_}/end", json={"reason": "Back again"}, headers=pias)
    assert end.status_code == 204
    review = (await max_.get("/api/v1/access-review")).json()
    assert "Omar Allrounder" in [line["name"] for line in review["lines"]]


async def test_idor_ids_of_nobody_are_not_found_and_never_an_error_of_ours(site: Site):
    max_, headers = await program(site, "max")
    body = {"name": "review", "reason": "Stands in for Rosa", "until": UNTIL}
    for bad in ("nobody", "%00", "x" * 300, "'--", "00000000-0000-0000-0000-000000000000"):
        assert (await max_.get(f"/api/v1/people/{bad}")).status_code == 404, bad
        assert (await max_.get(f"/api/v1/people/{bad}/grants")).status_code == 404, bad
        assert (await max_.http.post(f"/api/v1/people/{bad}/grants", json=body, headers=headers)).status_code == 404, (
            bad
        )
        assert (await max_.get(f"/admin/people/{bad}")).status_code == 404, bad
        data = {"name": "review", "reason": "Stands in", "until": UNTIL}
        assert (await max_.post(f"/admin/people/{bad}/grants", data)).status_code == 404, bad
        assert (await max_.post(f"/admin/people/{bad}/loss", {"lost": "The phone"})).status_code == 404, bad
        assert (await max_.post(f"/admin/people/{bad}/end-sessions", {"reason": "Laptop lost"})).status_code == 404, bad
    ana, hers = await program(site, "ana")
    offer = {"receiver": "\x00", "meaning": "approval", "reason": "On leave", "until": UNTIL}
    assert (await ana.http.post("/api/v1/delegations", json=offer, headers=hers)).status_code == 404


async def test_an_administrator_sees_a_persons_history_with_old_and_new_and_the_look_is_recorded(site: Site, audit):
    max_, rita = await caller(site.app, "max"), await caller(site.app, "rita")
    until = datetime.now(UTC) + timedelta(days=30)
    await site.app.grants.grant(max_, rita.session.sub, "review", "Stands in for Rosa", until)
    page = await (await site.as_("max")).get(f"/admin/people/{rita.session.sub}/history")
    assert "Grant: Right to review" in page.text
    assert '<td class="old">view</td><td class="new">review, view</td>' in page.text
    assert (await (await site.as_("rita")).get(f"/admin/people/{rita.session.sub}/history")).status_code == 403
    await site.app.relay.deliver_all()
    looks = [entry for entry in audit.entries if entry["action"] == "app:trail:view"]
    assert [entry["object"]["type"] for entry in looks] == ["Person"]


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>'])
async def test_no_text_of_authority_is_ever_markup(site: Site, text):
    app = site.app
    max_, rita, pia = await caller(app, "max"), await caller(app, "rita"), await caller(app, "pia")
    until = datetime.now(UTC) + timedelta(days=30)
    await app.grants.grant(max_, rita.session.sub, "review", text, until)
    await app.grants.record_training(max_, rita.session.sub, "review", text, until)
    await app.policies.publish(max_, text, f"{text} and more words", text)
    await app.enrolments.record_letter(max_, text, "2026-01-01")
    await app.delegations.offer(pia, rita.session.sub, "publication", text, until)
    await app.two_person.ask(max_, "restore_access", rita.session.sub, text)
    manager, reader = await site.as_("max"), await site.as_("rita")
    pages = [
        await manager.get(path)
        for path in (
            "/admin", f"/admin/people/{rita.session.sub}", "/admin/requests", "/admin/delegations", "/admin/policies",
            "/admin/records", "/admin/reviews",
        )
    ] + [await reader.get(path) for path in ("/", "/me", "/me/policy")]  # fmt: skip
    for page in pages:
        assert page.status_code == 200
        assert text not in page.text
    assert sum("&lt;" in page.text for page in pages) >= 7


async def test_a_refusal_is_told_in_the_page_and_what_was_typed_is_kept(site: Site):
    max_ = await site.as_("max")
    rita = await caller(site.app, "rita")
    data = {"name": "administrator", "reason": "She asked nicely", "until": UNTIL}
    answer = await max_.post(f"/admin/people/{rita.session.sub}/grants", data)
    assert answer.status_code == 409
    assert "kept apart" in answer.text
    assert 'value="She asked nicely"' in answer.text
    answer = await max_.post(f"/admin/people/{rita.session.sub}/grants", {**data, "until": "soon"})
    assert answer.status_code == 422
    assert "YYYY-MM-DD" in answer.text


async def test_at57_a_review_of_access_is_signed_over_rest_under_the_same_rules_as_in_the_page(site: Site, keys, audit):
    max_, headers = await program(site, "max")
    at = "/api/v1/access-reviews"

    async def challenged() -> dict:
        made = await max_.http.post(f"{at}/challenge", headers=headers)
        assert made.status_code == 201, made.text
        return made.json()

    async def send(**body):
        return await max_.http.post(at, json=body, headers=headers)

    found = await challenged()
    assert found["asked"] == {"account": True, "password": True, "code": False, "stepUp": False}
    assert hashlib.sha256(rfc8785.dumps(found["lines"])).hexdigest() == found["sha256"]
    assert "Omar Allrounder" in [line["name"] for line in found["lines"]]
    given = {"sha256": found["sha256"], "outcome": "to_change", "remarks": "Omar has too much in one hand"}
    typed = {"account": "max", "password": people.password("max")}
    # A session alone, a wrong password, a challenge that was used, no outcome, no words, another list: none of them signs.
    assert (await send(**given, nonce=found["nonce"])).status_code == 403
    assert (await send(**given, nonce=found["nonce"], **typed)).status_code == 403
    wrong = {**typed, "password": "wrong"}
    assert (await send(**given, nonce=(await challenged())["nonce"], **wrong)).status_code == 403
    for bad, status in (({"outcome": "perfect"}, 422), ({"remarks": ""}, 422), ({"sha256": "0" * 64}, 409)):
        assert (await send(**{**given, **bad}, nonce=(await challenged())["nonce"], **typed)).status_code == status
    fresh = await challenged()
    rita = await caller(site.app, "rita")
    until = datetime.now(UTC) + timedelta(days=30)
    await site.app.grants.grant(await caller(site.app, "max"), rita.session.sub, "review", "Stands in for Rosa", until)
    assert (await send(**given, nonce=fresh["nonce"], **typed)).json()["status"] == 409
    assert (await max_.get(at)).json() == []
    newest = await challenged()
    assert (
        await max_.http.post(at, json={**given, "nonce": newest["nonce"], "sha256": newest["sha256"], **typed})
    ).status_code == 403  # no form token
    signed = await send(**{**given, "sha256": newest["sha256"]}, nonce=newest["nonce"], **typed)
    assert signed.status_code == 201, signed.text
    (listed,) = (await max_.get(at)).json()
    payload = opened(listed["envelope"], await keys.public_keys())
    assert (listed["id"], listed["by"], listed["outcome"]) == (signed.json()["id"], "Max Manager", "to_change")
    assert (payload["record"]["content_sha256"], payload["auth"]["components"]) == (
        newest["sha256"],
        ["id", "password"],
    )
    assert listed["lines"] == newest["lines"]
    # The next one in the period takes the password alone, and the page shows both.
    again = await challenged()
    assert again["asked"]["account"] is False
    sent = {"nonce": again["nonce"], "sha256": again["sha256"], "outcome": "in_order", "password": typed["password"]}
    assert (await send(**sent)).status_code == 201
    assert "Omar has too much in one hand" in (await max_.get("/admin/reviews")).text
    await site.app.relay.deliver_all()
    assert audit.actions().count("app:grant:review") == 2
    assert audit.actions().count("app:signature:failure") == 7
    alice, hers = await program(site, "alice")
    assert (await alice.http.post(f"{at}/challenge", headers=hers)).status_code == 403
