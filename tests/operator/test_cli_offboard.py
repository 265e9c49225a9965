"""`cloister offboard` and `cloister certificate`: who is asked for what, and what comes next."""

# ruff: noqa: F811 - fixtures are imported and then asked for by name

import re

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tenant_operator.cli import offboard, offboard_guide
from tenant_operator.cli.problems import Exit
from tenant_operator.offboarding import certificate
from tenant_operator.offboarding.approvals import approval_name
from tenant_operator.offboarding.words import Phase, Promise
from tests.support.command_line import cloister, kube  # noqa: F401
from tests.support.helm import ROOT

AGE = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
OFFBOARDINGS = "/apis/cloister.dev/v1alpha1/tenantoffboardings"


@pytest.fixture
def globex(kube):
    return kube.put(yaml.safe_load((ROOT / "examples" / "globex-bio.yaml").read_text()))


def offboarding(kube, name="globex-bio-1", at="2026-11-23T00:00:00Z", **status):
    spec = {"tenant": "globex-bio", "requestedBy": "alice", "reason": "contract ended", "recipient": {"age": AGE}}
    meta = {"name": name, "creationTimestamp": at}
    return kube.put(
        {"apiVersion": "cloister.dev/v1alpha1", "kind": "TenantOffboarding", "metadata": meta, "spec": spec}, **status
    )


def test_a_request_names_the_person_the_api_server_knows(cloister, kube, globex):
    code, out, _ = cloister(
        "offboard", "request", "globex-bio", "--reason", "contract ended", "--recipient", AGE, "--grace-period", "30s"
    )
    assert code == 0
    assert "alice asks to offboard globex-bio. Nothing has been touched." in out
    (made,) = kube.items(OFFBOARDINGS)
    assert made["spec"] == {
        "tenant": "globex-bio",
        "requestedBy": "alice",
        "reason": "contract ended",
        "recipient": {"age": AGE},
        "gracePeriod": "30s",
    }


def test_a_recipient_may_be_a_file(tmp_path):
    key = tmp_path / "key.txt"
    key.write_text(f"# public key of globex\n{AGE}\n")
    assert offboard.recipient_of(str(key)) == {"age": AGE}
    certificate = tmp_path / "cert.pem"
    certificate.write_text("-----BEGIN CERTIFICATE-----\n")
    assert offboard.recipient_of(str(certificate)) == {"x509": "-----BEGIN CERTIFICATE-----\n"}


def test_a_recipient_that_is_neither_is_explained(cloister, globex):
    code, _, err = cloister("offboard", "request", "globex-bio", "--reason", "contract ended", "--recipient", "bob")
    assert code == Exit.FAILED
    assert "neither an age key nor a readable file" in err


def test_an_approval_is_of_this_very_object(cloister, kube, globex):
    wanted = offboarding(kube)
    kube.user = "Bob@Example.com"
    assert cloister("offboard", "approve", "globex-bio", "--statement", "agreed")[0] == 0
    (made,) = kube.items("/apis/cloister.dev/v1alpha1/tenantapprovals")
    assert made["spec"]["offboardingUID"] == wanted["metadata"]["uid"]
    assert made["spec"]["approver"] == "Bob@Example.com"
    assert made["metadata"]["name"] == approval_name("globex-bio-1", "Bob@Example.com")


def test_nothing_can_be_approved_that_nobody_asked_for(cloister, globex):
    code, _, err = cloister("offboard", "approve", "globex-bio", "--statement", "agreed")
    assert code == Exit.NOT_FOUND
    assert "cloister offboard request globex-bio" in err


def test_the_oldest_request_that_counts_is_the_one(kube, globex):
    offboarding(kube, "refused", "2026-11-21T00:00:00Z", phase=Phase.REFUSED)
    offboarding(kube, "second", "2026-11-23T00:00:00Z", phase=Phase.REFUSED)
    offboarding(kube, "first", "2026-11-22T00:00:00Z", phase=Phase.EXPORTING)
    assert offboard.latest(kube, "globex-bio")["metadata"]["name"] == "first"


def test_every_phase_says_what_comes_next():
    item = {"metadata": {"name": "x"}, "status": {}}
    for phase in ["", *Phase]:
        item["status"] = {"phase": phase, "destroyAfter": "2026-11-24T00:00:00Z", "approvals": ["bob"]}
        assert offboard.following("globex-bio", item)
    item["status"]["phase"] = Phase.AWAITING_APPROVALS
    assert offboard.following("globex-bio", item).startswith("1 more to approve")


def test_every_stage_shown_is_a_condition_that_exists():
    assert set(offboard.STAGES) <= set(Promise)


def test_status_shows_stages_steps_and_whose_turn_it_is(cloister, kube, globex):
    steps = [
        {"name": "bucket cloister-1", "state": "Absent", "evidence": "not in the list"},
        {"name": "Namespace tenant-globex-bio", "state": "Present"},
    ]
    seen = [{"type": "Approved", "status": "True", "reason": "Approved", "message": "approved by bob, carol"}]
    offboarding(kube, phase=Phase.DESTROYING, steps=steps, conditions=seen)
    code, out, _ = cloister("offboard", "status", "globex-bio")
    assert code == 0
    assert re.search(r"✓\s+Approved by two people\s+approved by bob, carol", out)
    assert "(1 of 2)" in out
    assert "proves each absence" in out


def test_the_walk_explains_and_asks_for_nothing_without_a_terminal(cloister, kube, globex):
    code, out, err = cloister("offboard", "globex-bio")
    assert code == Exit.FAILED
    assert "Until the fifth step nothing is lost." in out
    assert "cloister offboard request globex-bio" in err
    assert not kube.items(OFFBOARDINGS)


def test_the_walk_tells_who_asked_that_others_approve(cloister, kube, globex):
    offboarding(kube, phase=Phase.AWAITING_APPROVALS)
    code, out, _ = cloister("offboard", "globex-bio")
    assert code == 0
    assert "You (alice) asked for it" in out


def test_watching_prints_each_change_once_and_ends_when_it_is_somebodys_turn(cloister, kube, globex, monkeypatch):
    item = offboarding(kube, phase=Phase.DESTROYING, steps=[{"name": "bucket x", "state": "Absent"}])
    looks = iter([Phase.DESTROYING, Phase.DESTROYING, Phase.CERTIFIED])
    monkeypatch.setattr(offboard_guide.time, "sleep", lambda _: item["status"].update(phase=next(looks)))
    code, out, _ = cloister("offboard", "status", "globex-bio", "--watch")
    assert code == 0
    assert out.count("bucket x") == 1
    assert "Certified" in out


def test_there_is_no_certificate_before_the_end(cloister, kube, globex):
    code, _, err = cloister("offboard", "certificate", "globex-bio")
    assert code == Exit.NOT_FOUND
    assert "is not destroyed" in err


def test_a_certificate_is_written_as_its_canonical_bytes(cloister, kube, tmp_path):
    spec = {
        "tenant": "globex-bio",
        "id": "1",
        "region": "us-east-1",
        "state": "Destroyed",
        "since": "2026-11-20T00:00:00Z",
    }
    spec["certificate"] = {"signature": "", "payload": {"b": 1, "a": 2}}
    kube.put(
        {
            "apiVersion": "cloister.dev/v1alpha1",
            "kind": "TenantRecord",
            "metadata": {"name": "globex-bio"},
            "spec": spec,
        }
    )
    file = tmp_path / "c.json"
    assert cloister("offboard", "certificate", "globex-bio", "-o", str(file))[0] == 0
    assert file.read_bytes() == b'{"payload":{"a":2,"b":1},"signature":""}'
    code, out, err = cloister("certificate", "verify", str(file))
    assert code == Exit.FAILED
    assert "✗ not a certificate of destruction" in out
    assert "does not hold" in err


def test_a_file_that_is_not_there_is_3(cloister):
    assert cloister("certificate", "verify", "/nowhere.json")[0] == Exit.NOT_FOUND


def test_square_brackets_are_shown_as_they_were_written(cloister, kube, globex, tmp_path):
    words = "see [/TICKET-7] of [red]Globex[/red]"
    message = {"type": "Certified", "status": "False", "reason": "Destroying", "message": words}
    stalled = {"type": "Stalled", "status": "True", "reason": "ApprovalsMissing", "message": words}
    kube.put({**globex, "spec": {**globex["spec"], "displayName": words}}, conditions=[])
    offboarding(kube, phase="Refused", conditions=[message, stalled], steps=[{"name": words, "state": "Deleting"}])
    kube.put(
        {
            "apiVersion": "cloister.dev/v1alpha1",
            "kind": "TenantHold",
            "metadata": {"name": "h"},
            "spec": {"tenant": "globex-bio", "matter": words, "requestedBy": "carol"},
        }
    )
    key = certificate.pem(Ed25519PrivateKey.generate().public_key().public_bytes_raw())
    forged = tmp_path / "forged.json"
    forged.write_bytes(certificate.encode(certificate.seal({"type": words, "issuer": {"publicKey": key}}, bytes(64))))
    for times, command in (
        (3, ("offboard", "status", "globex-bio")),
        (1, ("hold", "list")),
        (1, ("describe", "globex-bio")),
        (1, ("certificate", "verify", str(forged))),
    ):
        _, out, _ = cloister(*command)
        assert " ".join(out.split()).count(words) == times, out
