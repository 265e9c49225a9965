"""Who may ask, approve, hold and withdraw, as a real API server decides it while no operator runs."""

import json
import time
from typing import Any

import pytest
import yaml

from tenant_operator.offboarding.approvals import approval_name
from tests.support.helm import ROOT, template
from tests.support.kubectl import OPERATOR, KubectlError, exists, kubectl

pytestmark = pytest.mark.cluster

PREFIX = "admission-test"
MASTERS = ("system:masters",)
"""Every right that RBAC knows: what is refused here is refused by admission."""


@pytest.fixture(scope="module")
def policies():
    kinds = ("tenantapprovals", "tenantholds", "tenantoffboardings")
    crds = [yaml.safe_load((ROOT / f"crds/{kind}.yaml").read_text()) for kind in kinds]
    missing = [item for item in crds if not exists("crd", item["metadata"]["name"])]
    if missing:
        # Left in place afterwards: taking a kind away takes everybody's objects of it along.
        kubectl("apply", "--server-side", "-f", "-", stdin=missing)
        kubectl("wait", "--for=condition=Established", *(f"crd/{item['metadata']['name']}" for item in missing))
    ours = template("--show-only=templates/admission-offboarding.yaml")
    installed = exists("validatingadmissionpolicy", "cloister-approvals")
    if not installed:
        kubectl("apply", "--server-side", "-f", "-", stdin=ours)
    _until_in_force()
    yield
    for kind in kinds:
        kubectl("delete", kind, "-l", f"test={PREFIX}")
    if not installed:
        kubectl("delete", "--ignore-not-found", "-f", "-", stdin=ours)


def _until_in_force() -> None:
    deadline = time.monotonic() + 30
    wrong = body("TenantHold", f"{PREFIX}-probe", tenant="none", matter="probe", requestedBy="nobody-at-all")
    while time.monotonic() < deadline:
        try:
            kubectl("create", "--dry-run=server", "-f", "-", stdin=wrong)
        except KubectlError:
            time.sleep(1)
            return
        time.sleep(0.3)
    raise AssertionError("the policies are not in force after 30 s")


def body(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    meta = {"name": name, "labels": {"test": PREFIX}}
    return {"apiVersion": "cloister.dev/v1alpha1", "kind": kind, "metadata": meta, "spec": spec}


def offboarding(name: str, by: str = "alice") -> dict[str, Any]:
    recipient = {"age": "age1" + "q" * 58}
    return body("TenantOffboarding", name, tenant="none", requestedBy=by, reason="ticket 1", recipient=recipient)


def approval(approver: str, name: str = "", to: str = PREFIX) -> dict[str, Any]:
    spec = {"offboarding": to, "offboardingUID": "u1", "approver": approver, "statement": "I approve"}
    return body("TenantApproval", name or approval_name(to, approver) or f"{to}.free-name", **spec)


def create(manifest: dict[str, Any], user: str, *more: str) -> None:
    kubectl("create", "-f", "-", *more, stdin=manifest, user=user, groups=MASTERS)


def refused(words: str, manifest: dict[str, Any], user: str) -> None:
    with pytest.raises(KubectlError) as caught:
        create(manifest, user, "--dry-run=server")
    assert words in str(caught.value)


@pytest.mark.parametrize("who", ["alice", "Bob@Example.org", "oidc:carol_c", "Zoë", "cn=dan,ou=people"])
def test_a_person_approves_in_their_own_name(policies, who):
    create(approval(who), who, "--dry-run=server")


def test_nobody_approves_in_anothers_name(policies):
    refused("nobody approves in another", approval("bob"), "alice")


@pytest.mark.parametrize(
    "who", [OPERATOR, "system:serviceaccount:default:robot", "system:node:node-a", "system:kube-controller-manager"]
)
def test_no_program_approves(policies, who):
    refused("is no person", approval(who), who)


def test_one_person_approves_once(policies):
    create(approval("alice"), "alice")
    refused("already exists", approval("alice"), "alice")
    refused(
        f"name this approval {PREFIX}.alice, so that nobody approves twice", approval("alice", name="another"), "alice"
    )


def test_an_approval_is_not_changed_afterwards(policies):
    create(approval("dora"), "dora")
    patch = json.dumps({"spec": {"approver": "eve"}})
    with pytest.raises(KubectlError, match="cannot be changed"):
        kubectl("patch", "tenantapproval", f"{PREFIX}.dora", "--type=merge", "-p", patch, user="eve", groups=MASTERS)


def test_an_offboarding_and_a_hold_say_who_really_asked(policies):
    create(offboarding(f"{PREFIX}-own"), "alice", "--dry-run=server")
    refused("but you are bob", offboarding(f"{PREFIX}-own"), "bob")
    hold = body("TenantHold", f"{PREFIX}-h", tenant="none", matter="matter", requestedBy="carol")
    create(hold, "carol", "--dry-run=server")
    refused("but you are bob", hold, "bob")


def test_a_hold_stays_on_its_tenant_and_is_lifted_by_a_person(policies):
    name = f"{PREFIX}-kept"
    create(body("TenantHold", name, tenant="none", matter="matter", requestedBy="carol"), "carol")
    patch = json.dumps({"spec": {"tenant": "other"}})
    with pytest.raises(KubectlError, match="stays on its tenant"):
        kubectl("patch", "tenanthold", name, "--type=merge", "-p", patch, user="carol", groups=MASTERS)
    with pytest.raises(KubectlError, match="lifted by a person"):
        kubectl("delete", "tenanthold", name, user=OPERATOR, groups=MASTERS)
    kubectl("delete", "tenanthold", name, user="carol", groups=MASTERS)


def test_an_offboarding_is_withdrawn_until_it_has_begun_to_destroy(policies):
    early, late = f"{PREFIX}-early", f"{PREFIX}-late"
    for name in (early, late):
        create(offboarding(name), "alice")
    kubectl("delete", "tenantoffboarding", early, user="alice", groups=MASTERS)
    _status(late, phase="Destroying", steps=[{"name": "destruction began", "state": "Done"}])
    with pytest.raises(KubectlError, match="has begun to destroy none and cannot be withdrawn"):
        kubectl("delete", "tenantoffboarding", late, user="alice", groups=MASTERS)
    # An installed operator says Refused of it, there being no such tenant; without steps it may go in any phase.
    _status(late, phase="Certified", steps=[])
    kubectl("delete", "tenantoffboarding", late, user="alice", groups=MASTERS)


def _status(name: str, **status: Any) -> None:
    what = ("tenantoffboarding", name, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))
    kubectl("patch", *what, user=OPERATOR, groups=MASTERS)


def test_the_api_server_finds_no_fault_in_the_expressions(policies):
    for name in ("approvals", "offboardings", "holds"):
        found = json.loads(kubectl("get", "validatingadmissionpolicy", f"cloister-{name}", "-o", "json"))
        assert found.get("status", {}).get("typeChecking", {}).get("expressionWarnings", []) == []
