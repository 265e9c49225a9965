"""A tenant's own workflow and statements: checked whole at start; stricter, never laxer; named in every signature (11.50(a)(3))."""

import hashlib
import json
from importlib.resources import files

import pytest

from tenant_app import factory
from tenant_app.__main__ import main
from tenant_app.adapters.directory import LdapDirectory
from tenant_app.domain.workflow import load
from tenant_app.domain.workflow_file import MEANINGS, definition_of
from tests.tenant_app.support.callers import caller, with_settings
from tests.tenant_app.support.site import Site
from tests.tenant_app.test_workflow import reviewer_sub, sign

OURS = files("tenant_app.domain").joinpath("workflow.json").read_bytes()
OWN = "I take responsibility for this version as its author."


def changed(change) -> bytes:
    body = json.loads(OURS)
    change(body, {item["name"]: item for item in body["transitions"]})
    return json.dumps(body).encode()


def test_our_own_workflow_passes_its_own_checks():
    assert definition_of(OURS, {}).digest == load().digest
    assert len(MEANINGS) == 8


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda body, steps: steps["approve"]["needs"].remove("not_author"), "'approve': it needs at least not_author"),
        (
            lambda body, steps: steps["approve"]["needs"].remove("trail_opened"),
            "'approve': it needs at least trail_opened",
        ),
        (
            lambda body, steps: steps["publish"]["from"].append("reviewed"),
            "'publish': a step to published comes from approved",
        ),
        (lambda body, steps: steps["publish"].update(meaning="review"), "has the meaning publication"),
        (lambda body, steps: steps["approve"].update(right="view"), "takes the right to approve"),
        (lambda body, steps: steps["revoke"]["needs"].remove("has_signed"), "'revoke': it needs at least has_signed"),
        (lambda body, steps: steps["reject_review"]["needs"].remove("reason"), "it needs at least reason"),
        (lambda body, steps: steps["review"].update(name="look"), "is named 'review'"),
        (lambda body, steps: steps["withdraw"].update(to="draft"), "no step leads to draft"),
        (lambda body, steps: steps["submit"]["needs"].append("luck"), "transitions[0] 'submit': unknown need 'luck'"),
        (lambda body, steps: steps["submit"].update(to="nowhere"), "unknown state 'nowhere'"),
        (lambda body, steps: steps["submit"].update(right="rule"), "unknown right 'rule'"),
        (lambda body, steps: steps["submit"].pop("label"), "exactly the members name, label"),
        (lambda body, steps: steps["submit"].update(needs="latest"), "needs: a list is needed"),
        (lambda body, steps: body["meanings"].update(blessing="I bless this version."), "unknown code 'blessing'"),
        (lambda body, steps: body["meanings"].update(review=""), "review: a statement of 10 to 500"),
        (lambda body, steps: body["meanings"].pop("approval"), "meaning 'approval' has no statement"),
        (lambda body, steps: body["transitions"].append(dict(steps["approve"])), "two steps are named 'approve'"),
        (lambda body, steps: body["transitions"].remove(steps["publish"]), "no step leads to published"),
        (lambda body, steps: body.update(version=2), "version: a text"),
        (lambda body, steps: body.update(extra=1), "exactly the members version"),
    ],
)
def test_a_workflow_that_is_wrong_or_laxer_is_refused_by_name(change, told):
    with pytest.raises(ValueError, match=r"own\.json: ") as error:
        definition_of(changed(change), {}, where="own.json")
    assert told in str(error.value)


def test_every_problem_is_told_at_once():
    def both(_body, steps):
        steps["approve"]["needs"].remove("latest")
        steps["publish"]["needs"].remove("not_author")

    with pytest.raises(ValueError, match=r"'approve'.*'publish'"):
        definition_of(changed(both), {})
    with pytest.raises(ValueError, match="not JSON"):
        definition_of(b"{", {})


def test_a_stricter_workflow_is_taken():
    def stricter(body, steps):
        body["version"] = "acme-3"
        steps["publish"]["needs"].append("trail_opened")
        steps["publish"]["label"] = "Make effective"

    found = definition_of(changed(stricter), {})
    assert found.version == "acme-3"
    assert found.transition("publish").needs[-1] == "trail_opened"
    assert found.digest != load().digest


def test_statements_are_the_tenants_and_codes_are_not():
    assert definition_of(None, {"authorship": OWN}).statements["authorship"] == OWN
    with pytest.raises(ValueError, match="unknown code 'blessing'"):
        definition_of(None, {"blessing": "I bless this version."})


async def test_the_tenants_statement_and_workflow_are_in_what_is_signed(fresh, keys, audit, tmp_path):
    path = tmp_path / "workflow.json"
    path.write_bytes(changed(lambda body, _steps: body.update(version="acme-3")))
    config = with_settings(fresh, signing={"meanings": {"authorship": OWN}}, workflow={"file": str(path)})
    app = factory.build(config, factory.Ports(keys=keys, directory=LdapDirectory(config.ldap), audit=audit))
    await app.database.open()
    site = Site(app)
    try:
        alice = await site.as_("alice")
        document = await alice.uploaded()
        assert OWN in (await alice.get(f"/documents/{document}/versions/1/sign/submit")).text
        subs = [await reviewer_sub(site, "rosa")]
        assert (await sign(alice, "alice", document, "submit", reviewers=subs)).status_code == 303
        payload = (await app.progress.standing(await caller(app, "alice"), document, 1)).signatures[0].payload
        assert payload["meaning"]["statement"] == OWN
        assert payload["meaning"]["statement_sha256"] == hashlib.sha256(OWN.encode()).hexdigest()
        assert payload["workflow"]["definition"] == "acme-3"
        assert payload["workflow"]["def_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    finally:
        await site.close()
        await app.close()


def test_a_wrong_workflow_file_ends_the_start_with_one_clear_line(fresh, tmp_path, monkeypatch, capsys):
    path, config = tmp_path / "workflow.json", tmp_path / "config.json"
    path.write_bytes(changed(lambda _body, steps: steps["approve"]["needs"].clear()))
    config.write_text(
        json.dumps(with_settings(fresh, workflow={"file": str(path)}).model_dump(mode="json", by_alias=True))
    )
    monkeypatch.setenv("CLOISTER_APP_CONFIG", str(config))
    assert main(["serve"]) == 2
    assert "transitions[2] 'approve': it needs at least latest, not_author" in capsys.readouterr().err
