"""A customer leaves, as README tells it: two people, an export that the customer alone opens, destruction, a certificate."""

import base64
import hashlib
import json
import subprocess
import uuid
from contextlib import closing, contextmanager
from datetime import datetime, timedelta

import pytest
import yaml

from tests.e2e.support.local import KUBECONFIG, ROOT, cloister, conditions, password, read, run, until
from tests.e2e.support.outside import Keys, Objects
from tests.e2e.support.people import Person
from tests.support.kubectl import KubectlError, exists, kubectl

pytestmark = pytest.mark.e2e
GRACE = timedelta(seconds=10)
REGION = "us-east-1"
SURVIVOR = "acme-pharma"


@pytest.fixture
def leaver():
    """A tenant of its own, made from globex-bio's example, with globex-bio's people; its name is used up by this."""
    name = f"leaver-{uuid.uuid4().hex[:6]}"
    body = yaml.safe_load((ROOT / "examples" / "globex-bio.yaml").read_text())
    body["metadata"]["name"] = name
    body["spec"] |= {
        "displayName": "Leaver",
        "hostname": f"{name}.cloister.localhost",
        "deletion": {"gracePeriod": "10s"},
    }
    body["spec"]["identity"]["ldap"]["bindSecret"] = f"{name}-directory"
    theirs = read("secret", "globex-bio-directory", "-n", "cloister-system")
    meta = {"name": f"{name}-directory", "namespace": "cloister-system", "labels": {"cloister.dev/tenant": name}}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": theirs["data"]}
    kubectl("apply", "--server-side", "-f", "-", stdin=[secret, body])
    try:
        cloister("wait", name, "--timeout", "200", seconds=210).expect()
        yield body
    finally:
        kubectl("delete", "tenant", name, "--ignore-not-found", "--timeout=30s")
        for found in read("tenantoffboardings")["items"]:
            if found["spec"]["tenant"] == name:  # what is certified is kept in the record; refused while it destroys
                kubectl("delete", "tenantoffboarding", found["metadata"]["name"])
        for found in read("tenantapprovals")["items"]:
            if found["spec"]["offboarding"].startswith(f"{name}-"):
                kubectl("delete", "tenantapproval", found["metadata"]["name"])
        kubectl("delete", "secret", f"{name}-directory", "-n", "cloister-system", "--ignore-not-found")


@contextmanager
def unnoticed(tenant: str, folder):
    """Check that all the while a tenant stays Ready, and its pods are the same and were not restarted."""
    before, file = _pods(tenant), folder / "ready"
    look = '{range .status.conditions[?(@.type=="Ready")]}{.status} {.lastTransitionTime} {.reason}: {.message}{"\\n"}{end}'
    with file.open("w") as out:
        watch = subprocess.Popen(
            ["kubectl", "--kubeconfig", KUBECONFIG, "get", "tenant", tenant, "--watch", "-o", f"jsonpath={look}"],
            stdout=out,
        )
        try:
            yield
        finally:
            watch.terminate()
            watch.wait(10)
    seen = file.read_text().splitlines()
    assert seen, f"nothing was seen of {tenant} all the while"
    troubles = list(dict.fromkeys(line for line in seen if not line.startswith("True ")))
    assert not troubles, f"{tenant} was not Ready all the while:\n" + "\n".join(troubles)
    assert _pods(tenant) == before, f"{tenant}'s pods changed"


def _pods(tenant: str) -> dict[str, tuple[str, int]]:
    found = {}
    for pod in read("pods", "-n", f"tenant-{tenant}")["items"]:
        if pod["metadata"]["labels"].get("app.kubernetes.io/component") in {"app", "database"}:
            restarts = sum(item["restartCount"] for item in pod["status"]["containerStatuses"])
            found[pod["metadata"]["name"]] = (pod["metadata"]["uid"], restarts)
    assert len(found) >= 2, f"{tenant} has no app or no database: {found}"
    return found


@pytest.mark.timeout(540)
def test_at51_a_customer_leaves_with_its_data_and_nothing_of_it_stays(leaver, tmp_path):
    name = leaver["metadata"]["name"]
    number = read("tenantrecord", name)["spec"]["id"]
    content = f"Batch record {uuid.uuid4()}\n".encode() * 500
    with unnoticed(SURVIVOR, tmp_path), closing(Objects(REGION)) as objects, closing(Keys(REGION)) as keys:
        with Person(name, "eva.lind", password()) as eva:
            document = eva.upload("Batch record 7", "batch record 7.txt", content)
            assert eva.content(document) == content
        sealed = keys.seal(f"cloister-{number}", "what was sealed before")
        assert keys.opens(f"cloister-{number}", sealed) == "what was sealed before"
        assert objects.has_bucket(f"cloister-{number}")
        assert keys.names(f"cloister-{number}"), "no key, policy or role of the tenant is listed"
        volume = read("pvc", "database-data", "-n", f"tenant-{name}")["spec"]["volumeName"]
        assert exists("persistentvolume", volume)

        recipient = _customer_key(tmp_path)
        asked = ("offboard", "request", name, "--reason", "contract ended, TICKET-42", "--recipient", recipient)
        cloister(*asked).expect()
        offboarding = _offboarding(name)["metadata"]["name"]
        _one_person_is_not_enough(name, offboarding)
        cloister("offboard", "approve", name, "--statement", "I confirm TICKET-42", user="bob").expect()
        export = until("the export to be read back", lambda: _offboarding(name)["status"].get("export"), 120)
        done = until("the certificate", lambda: _at(name, "Certified"), 150, every=1)
        assert (
            datetime.fromisoformat(done["status"]["destroyAfter"]) - datetime.fromisoformat(export["verifiedAt"])
            == GRACE
        )

        opened = _customer_opens(objects, export, tmp_path)
        listed = _shows_the_document(opened, document, content)
        assert listed, "documents.json is empty"
        _is_gone(name, number, volume, objects, keys)
        assert keys.opens(f"cloister-{number}", sealed) is None, "what was sealed before still opens"
        _certificate_holds_without_a_cluster(name, number, volume, tmp_path)
        _name_is_not_given_out_again(leaver, tmp_path)


def _customer_key(folder) -> str:
    run("age-keygen", "-o", str(folder / "customer.key")).expect()
    return run("age-keygen", "-y", str(folder / "customer.key")).expect().out.strip()


def _offboarding(tenant: str):
    (found,) = [item for item in read("tenantoffboardings")["items"] if item["spec"]["tenant"] == tenant]
    return {**found, "status": found.get("status") or {}}


def _at(tenant: str, phase: str):
    found = _offboarding(tenant)
    now = found["status"].get("phase")
    stalled = {kind: one["message"] for kind, one in conditions(found).items() if one["status"] != "True"}
    assert now == phase, f"{tenant} is {now}, not {phase}: {stalled}"
    return found


def _one_person_is_not_enough(name: str, offboarding: str) -> None:
    """One approval starts nothing; the same person again, somebody in another's name, or with no right, is refused."""
    until("the operator to ask for approvals", lambda: _at(name, "AwaitingApprovals"), 30)
    cloister("offboard", "approve", name, "--statement", "I confirm TICKET-42", user="alice").expect()
    until(
        "alice's approval to be counted",
        lambda: _at(name, "AwaitingApprovals")["status"].get("approvals") == ["alice"],
        30,
    )
    again = cloister("offboard", "approve", name, "--statement", "once more", user="alice").expect(1)
    assert "exists" in again.err + again.out, again
    cloister("offboard", "approve", name, "--statement", "me too", user="carol").expect(1, 4)
    meta, uid = {"name": f"{offboarding}.alice2"}, _offboarding(name)["metadata"]["uid"]
    other = {"offboarding": offboarding, "offboardingUID": uid, "approver": "bob", "statement": "in bob's name"}
    forged = {"apiVersion": "cloister.dev/v1alpha1", "kind": "TenantApproval", "metadata": meta, "spec": other}
    for approver, words in (("bob", "nobody approves in another's name"), ("alice", "so that nobody approves twice")):
        forged["spec"]["approver"] = approver
        with pytest.raises(KubectlError, match=words):
            kubectl("create", "-f", "-", stdin=forged, user="alice", groups=("cloister:approvers",))
    found = _at(name, "AwaitingApprovals")
    assert found["status"]["approvals"] == ["alice"]
    assert "export" not in found["status"]
    assert read("deployment", "app", "-n", f"tenant-{name}")["status"].get("readyReplicas") == 1, (
        "one approval stopped the app"
    )


def _customer_opens(objects: Objects, export, folder):
    """Open the export with what everybody has: age, tar and pg_restore."""
    file = objects.fetch(export["bucket"], export["key"], folder / "export.tar.age")
    assert hashlib.sha256(file.read_bytes()).hexdigest() == export["sha256"]
    opened = folder / "opened"
    opened.mkdir()
    script = 'age -d -i "$1" "$2" | tar x -C "$3"'
    run("bash", "-o", "pipefail", "-c", script, "bash", str(folder / "customer.key"), str(file), str(opened)).expect()
    for item in json.loads((opened / "MANIFEST.json").read_bytes())["files"]:
        assert hashlib.sha256((opened / item["path"]).read_bytes()).hexdigest() == item["sha256"], item["path"]
    dump = run("pg_restore", "--list", str(opened / "database.dump")).expect().out
    assert "TABLE DATA" in dump, dump
    checked = run("cloister", "audit", "check", str(opened / "audit.bundle"), without=("KUBECONFIG",)).expect().out
    assert "all proven" in checked, checked
    return opened


def _shows_the_document(opened, document: str, content: bytes):
    found = [path for path in (opened / "documents" / document).rglob("*") if path.is_file()]
    assert [path.read_bytes() for path in found] == [content], f"not the one version that was uploaded: {found}"
    assert hashlib.sha256(content).hexdigest() in (opened / "documents.json").read_text()
    return json.loads((opened / "documents.json").read_text())


def _is_gone(name: str, number: str, volume: str, objects: Objects, keys: Keys) -> None:
    assert not exists("namespace", f"tenant-{name}")
    assert not exists("persistentvolume", volume)
    assert not objects.has_bucket(f"cloister-{number}")
    assert keys.names(f"cloister-{number}") == []


def _certificate_holds_without_a_cluster(name: str, number: str, volume: str, folder) -> None:
    file, key = folder / "certificate.json", folder / "platform.pem"
    cloister("offboard", "certificate", name, "-o", str(file)).expect()
    keys = read("configmap", f"cloister-signing-{REGION}", "-n", "cloister-system")["data"]
    payload = json.loads(file.read_bytes())["payload"]
    (pinned,) = [text for text in keys.values() if text == payload["issuer"]["publicKey"]]
    key.write_text(pinned)
    nowhere = {"HOME": str(folder)}
    alone = {"env": nowhere, "without": ("KUBECONFIG",)}
    run("cloister", "certificate", "verify", str(file), "--key", str(key), **alone).expect()
    said = run("cloister", "certificate", "verify", str(file), **alone).expect().out
    assert "holds" in said, said
    assert payload["tenant"]["id"] == number
    assert {item["approver"] for item in payload["approvals"]} == {"alice", "bob"}
    proved = {item["name"] for item in payload["evidence"]}
    assert proved >= {f"PersistentVolume {volume}", f"objectstore bucket cloister-{number}"}
    other = folder / "altered.json"
    other.write_bytes(file.read_bytes().replace(b"TICKET-42", b"TICKET-43", 1))
    assert other.read_bytes() != file.read_bytes(), "the certificate does not give the reason"
    run("cloister", "certificate", "verify", str(other), **alone).expect(1)


def _raw(pem: str) -> str:
    """Return the 32 bytes of an Ed25519 public key in PEM, as base64."""
    return base64.b64encode(base64.b64decode("".join(pem.strip().splitlines()[1:-1]))[-32:]).decode()


def _name_is_not_given_out_again(body, folder) -> None:
    """The same YAML is not taken up: the plan refuses it, and applied it says NameReserved and makes nothing."""
    name, file = body["metadata"]["name"], folder / "again.yaml"
    file.write_text(yaml.safe_dump(body))
    assert read("tenantrecord", name)["spec"]["state"] == "Destroyed"
    assert name in cloister("tenants", "--retained").expect().out
    planned = cloister("plan", "-f", str(file)).expect(1)
    assert "destroyed" in planned.out + planned.err, planned
    kubectl("delete", "tenant", name, "--ignore-not-found", "--timeout=30s")
    kubectl("apply", "--server-side", "-f", str(file))

    def reserved():
        found = conditions(read("tenant", name))
        return {one["reason"] for one in found.values()} & {"NameReserved"}

    until(f"NameReserved on the new Tenant {name}", reserved, 30)
    assert not exists("namespace", f"tenant-{name}")
