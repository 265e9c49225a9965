"""Every admission rule of the chart, accepted and refused by a real API server. Nothing here needs the operator to run."""

import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.support.helm import ROOT, template
from tests.support.kubectl import OPERATOR, KubectlError, exists, kubectl

pytestmark = pytest.mark.cluster

POLICIES = ("tenant-pods", "tenant-data", "tenant-protection", "records", "namespaces", "operator", "operator-volumes")
PIN = {"key": "topology.kubernetes.io/region", "operator": "In", "values": ["eu-central-1"]}
ZONE = {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["a"]}
SELECTOR = "topology.kubernetes.io/region=eu-central-1,topology.kubernetes.io/zone=a"
SHOWN = ("admission", "admission-namespaces", "admission-operator", "rbac")


def refused(words: str, *args: str, **more: Any) -> None:
    """Check that the API server refuses it by one of our policies, with a message that holds the words."""
    with pytest.raises(KubectlError) as caught:
        kubectl(*args, **more)
    message = str(caught.value)
    assert "ValidatingAdmissionPolicy 'cloister-" in message
    assert words in message


@pytest.fixture(scope="session")
def policies() -> Iterator[None]:
    """Have the chart's policies in force: those of the installed chart, or our own for as long as these tests run."""
    if exists("validatingadmissionpolicy", "cloister-operator"):
        yield
        return
    crds = [yaml.safe_load(path.read_text()) for path in sorted((ROOT / "crds").glob("*.yaml"))]
    spaces = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": n}}
        for n in ("cloister-system", "cloister-audit")
    ]
    ours = [item for item in crds + spaces if not exists(item["kind"].lower(), item["metadata"]["name"])]
    ours += template(*(f"--show-only=templates/{name}.yaml" for name in SHOWN))
    try:
        kubectl("apply", "--server-side", "-f", "-", stdin=ours)
        kubectl("wait", "--for=condition=Established", "crd/tenants.cloister.dev", "crd/tenantrecords.cloister.dev")
        _until_in_force()
        yield
    finally:
        kubectl("delete", "--ignore-not-found", "--timeout=60s", "-f", "-", stdin=ours[::-1])


def _until_in_force() -> None:
    """Wait until each API server has compiled the policies; a dry run of what they refuse tells."""
    probe = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "tenant-in-force"}}
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            kubectl("create", "--dry-run=server", "-f", "-", stdin=probe)
        except KubectlError:
            time.sleep(1)  # the namesakes are compiled in the same pass
            return
        time.sleep(0.3)
    raise AssertionError("the policies are not in force after 30 s")


@pytest.fixture(scope="session")
def namespace(policies: None) -> Iterator[str]:
    """Have a tenant's namespace that no operator takes for a tenant of its own: there is no Tenant of that name."""
    name = f"admission-{uuid.uuid4().hex[:8]}"
    space = f"tenant-{name}"
    kubectl("create", "-f", "-", stdin=tenant_namespace(name), user=OPERATOR)
    kubectl("create", "-f", "-", stdin=claim(space), user=OPERATOR)
    yield space
    kubectl("delete", "namespace", space, "--wait=false", user=OPERATOR)


def tenant_namespace(tenant: str, **labels: str) -> dict[str, Any]:
    meta = {
        "name": f"tenant-{tenant}",
        "labels": {"cloister.dev/tenant": tenant, "pod-security.kubernetes.io/enforce": "restricted", **labels},
        "annotations": {"cloister.dev/region-selector": SELECTOR},
    }
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": meta}


def claim(namespace: str, name: str = "database-data") -> dict[str, Any]:
    spec = {"accessModes": ["ReadWriteOnce"], "storageClassName": "none", "resources": {"requests": {"storage": "1Mi"}}}
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec}


def pod(namespace: str, *terms: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """Return a pod under `restricted` whose required node affinity has these terms."""
    container = {
        "name": "main",
        "image": "none",
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    body: dict[str, Any] = {
        "serviceAccountName": "default",
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        **spec,
    }
    if terms:
        required = {"nodeSelectorTerms": list(terms)}
        body["affinity"] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": namespace}, "spec": body}


CREATE = ("create", "--dry-run=server", "-f", "-")


def term(*expressions: dict[str, Any]) -> dict[str, Any]:
    return {"matchExpressions": list(expressions)}


# ---- (a) pods stay in their Region


@pytest.fixture(scope="session")
def account(namespace: str) -> str:
    """Wait for the namespace's default service account, without which no pod is admitted."""
    deadline = time.monotonic() + 30
    while not exists("serviceaccount", "default", "-n", namespace):
        assert time.monotonic() < deadline, "no default service account"
        time.sleep(0.2)
    return namespace


@pytest.mark.parametrize("user", [None, OPERATOR], ids=["administrator", "operator"])
def test_a_pinned_pod_is_accepted(account, user):
    if user is None:
        kubectl(*CREATE, stdin=pod(account, term(PIN, ZONE)))
        kubectl(*CREATE, stdin=pod(account, term(ZONE, PIN, {"key": "disk", "operator": "Exists"})))
        kubectl(
            *CREATE, stdin=pod(account, term(PIN, ZONE), term(PIN, ZONE, {"key": "gpu", "operator": "DoesNotExist"}))
        )
    else:
        with pytest.raises(KubectlError, match="cannot create resource"):
            kubectl(*CREATE, stdin=pod(account, term(PIN, ZONE)), user=user)


@pytest.mark.parametrize(
    "terms",
    [
        pytest.param([], id="no affinity"),
        pytest.param([term(PIN)], id="one of two pins"),
        pytest.param([term(PIN, ZONE), term(PIN)], id="an alternative without a pin"),
        pytest.param([term({**PIN, "values": ["us-east-1"]}, ZONE)], id="another region"),
        pytest.param([term({**PIN, "values": ["eu-central-1", "us-east-1"]}, ZONE)], id="one of two regions"),
        pytest.param([term({**PIN, "operator": "NotIn"}, ZONE)], id="anywhere else"),
        pytest.param([term({"key": PIN["key"], "operator": "Exists"}, ZONE)], id="any region"),
        pytest.param(
            [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-b"]}]}], id="by node name"
        ),
        pytest.param([term(PIN, ZONE), {"matchFields": []}], id="an empty alternative"),
    ],
)
def test_an_unpinned_pod_is_refused_even_from_an_administrator(account, terms):
    refused(f"exactly one value for each of: {SELECTOR}", *CREATE, stdin=pod(account, *terms))


def test_a_node_selector_is_no_pin(account):
    refused("must stay in its tenant's Region", *CREATE, stdin=pod(account, nodeSelector={PIN["key"]: "eu-central-1"}))


def test_preferring_the_region_is_no_pin(account):
    preferred = [{"weight": 100, "preference": term(PIN, ZONE)}]
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}
    refused("must stay in its tenant's Region", *CREATE, stdin=pod(account, affinity=affinity))


def test_a_pod_that_names_its_node_is_refused(account):
    refused("must not set spec.nodeName", *CREATE, stdin=pod(account, term(PIN, ZONE), nodeName="node-a"))


def test_pods_elsewhere_are_none_of_our_business(policies):
    kubectl(*CREATE, stdin=pod("kube-system"))


# ---- (b) a tenant's namespace and volumes


def test_a_tenants_namespace_is_not_deleted_by_hand(namespace):
    refused(
        "To stop the tenant and keep its data: kubectl delete tenant",
        "delete",
        "namespace",
        namespace,
        "--dry-run=server",
    )


@pytest.mark.parametrize(
    "user",
    [
        None,
        "system:serviceaccount:kube-system:statefulset-controller",
        "system:serviceaccount:kube-system:generic-garbage-collector",
    ],
)
def test_a_tenants_volume_claim_is_not_deleted_by_hand_nor_by_controllers(namespace, user):
    refused(
        "holds a tenant's data",
        "delete",
        "pvc",
        "database-data",
        "-n",
        namespace,
        "--dry-run=server",
        user=user,
        groups=["system:masters"],
    )


def test_nor_are_all_volume_claims_at_once(namespace):
    refused(
        "holds a tenant's data", "delete", "--raw", f"/api/v1/namespaces/{namespace}/persistentvolumeclaims?dryRun=All"
    )


def test_the_operator_and_the_namespace_controller_may(namespace):
    kubectl("delete", "namespace", namespace, "--dry-run=server", user=OPERATOR)
    kubectl("delete", "pvc", "database-data", "-n", namespace, "--dry-run=server", user=OPERATOR)
    controller = "system:serviceaccount:kube-system:namespace-controller"
    kubectl("delete", "pvc", "database-data", "-n", namespace, "--dry-run=server", user=controller)


def test_a_namespace_the_operator_deletes_is_really_gone(policies):
    name = f"gone-{uuid.uuid4().hex[:8]}"
    kubectl("create", "-f", "-", stdin=[tenant_namespace(name), claim(f"tenant-{name}")], user=OPERATOR)
    kubectl("delete", "namespace", f"tenant-{name}", "--timeout=60s", user=OPERATOR)
    assert not exists("namespace", f"tenant-{name}")


# ---- (c) protected tenants


def tenant(name: str, *, protection: bool | None) -> dict[str, Any]:
    body = yaml.safe_load((ROOT / "examples" / "globex-bio.yaml").read_text())
    body["metadata"]["name"] = name
    body["spec"]["suspend"] = True
    body["spec"]["region"] = "nowhere"
    body["spec"]["deletion"] = {} if protection is None else {"protection": protection}
    return body


@pytest.fixture
def protected(policies: None) -> Iterator[str]:
    name = f"kept-{uuid.uuid4().hex[:8]}"
    kubectl("create", "-f", "-", stdin=tenant(name, protection=True))
    yield name
    kubectl("patch", "tenant", name, "--type=merge", "-p", '{"spec":{"deletion":{"protection":false}}}')
    kubectl("delete", "tenant", name)


def test_a_protected_tenant_is_not_deleted_and_the_message_says_how_to(protected):
    refused(f'kubectl patch tenant {protected} --type=merge -p \'{{"spec"', "delete", "tenant", protected)
    kubectl("delete", "tenant", protected, "--dry-run=server", user=OPERATOR)


def test_an_unprotected_tenant_is_deleted(policies):
    name = f"free-{uuid.uuid4().hex[:8]}"
    kubectl("create", "-f", "-", stdin=tenant(name, protection=None))
    kubectl("delete", "tenant", name)


# ---- (d) names, labels and annotations of namespaces


def plain(name: str | None, labels: dict[str, str] | None = None, **meta: Any) -> dict[str, Any]:
    named = {"name": name} if name else {}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {**named, "labels": labels or {}, **meta}}


def test_other_namespaces_are_made_as_ever(policies):
    kubectl(*CREATE, stdin=plain("team-a", {"team": "a"}, annotations={"a": "b"}))
    kubectl(*CREATE, stdin=plain("tenants", {"pod-security.kubernetes.io/enforce": "baseline"}))
    kubectl("label", "namespace", "default", "team=a", "--dry-run=server")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(plain("tenant-evil"), "create a Tenant instead", id="the name"),
        pytest.param(plain(None, generateName="tenant-"), "create a Tenant instead", id="a generated name"),
        pytest.param(
            plain("evil", {"cloister.dev/tenant": "acme-pharma"}), "only Cloister's operator sets them", id="the label"
        ),
        pytest.param(
            plain("evil", {"cloister.dev/x": "z"}), "only Cloister's operator sets them", id="any label of ours"
        ),
        pytest.param(
            plain("evil", annotations={"cloister.dev/region-selector": "a=b"}), "in which Region", id="the annotation"
        ),
    ],
)
def test_only_the_operator_makes_a_tenants_namespace(policies, body, words):
    refused(words, *CREATE, stdin=body)


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("label", "cloister.dev/tenant=globex-bio"),
        ("label", "cloister.dev/tenant-"),
        ("label", "cloister.dev/new=x"),
        ("label", "pod-security.kubernetes.io/enforce=privileged"),
        ("label", "pod-security.kubernetes.io/enforce-"),
        ("annotate", "cloister.dev/region-selector=topology.kubernetes.io/region=us-east-1"),
        ("annotate", "cloister.dev/region-selector-"),
    ],
)
def test_a_tenants_namespace_keeps_its_labels_and_annotations(namespace, what, change):
    refused(
        "only Cloister's operator sets them", what, "namespace", namespace, change, "--overwrite", "--dry-run=server"
    )


@pytest.mark.parametrize("subresource", ["status", "finalize"])
def test_a_subresource_is_no_way_around(namespace, subresource):
    live = json.loads(kubectl("get", "namespace", namespace, "-o", "json"))
    live["metadata"]["labels"]["cloister.dev/tenant"] = "globex-bio"
    path = f"/api/v1/namespaces/{namespace}/{subresource}?dryRun=All"
    refused("only Cloister's operator sets them", "replace", "--raw", path, "-f", "-", stdin=live)


def test_an_ordinary_namespace_cannot_become_a_tenants(policies):
    refused(
        "only Cloister's operator sets them",
        "label",
        "namespace",
        "default",
        "cloister.dev/tenant=acme",
        "--dry-run=server",
    )


def test_other_labels_of_a_tenants_namespace_are_free(namespace):
    kubectl("label", "namespace", namespace, "team=a", "--dry-run=server")
    kubectl("annotate", "namespace", namespace, "team=a", "--dry-run=server")


# ---- (e) the ledger and the status


def record(name: str) -> dict[str, Any]:
    spec = {
        "tenant": name,
        "id": str(uuid.uuid4()),
        "region": "eu-central-1",
        "state": "Retained",
        "since": "2026-11-23T00:00:00Z",
    }
    return {"apiVersion": "cloister.dev/v1alpha1", "kind": "TenantRecord", "metadata": {"name": name}, "spec": spec}


def test_the_ledger_is_the_operators_alone(policies):
    name = f"record-{uuid.uuid4().hex[:8]}"
    refused(f"the record of tenant {name}", *CREATE, stdin=record(name))
    kubectl("create", "-f", "-", stdin=record(name), user=OPERATOR)
    try:
        change = json.dumps({"spec": {"state": "Destroyed"}})
        refused("only the operator writes it", "patch", "tenantrecord", name, "--type=merge", "-p", change)
        status = json.dumps({"status": {"conditions": []}})
        refused(
            "only the operator writes it",
            "patch",
            "tenantrecord",
            name,
            "--subresource=status",
            "--type=merge",
            "-p",
            status,
        )
        refused("only the operator writes it", "delete", "tenantrecord", name)
    finally:
        kubectl("delete", "tenantrecord", name, user=OPERATOR)


def test_nobody_else_says_that_a_tenant_is_ready(protected):
    body = {"apiVersion": "cloister.dev/v1alpha1", "kind": "Tenant", "metadata": {"name": protected}}
    body["status"] = {"phase": "Ready"}
    apply = ("apply", "--server-side", "--subresource=status", "--force-conflicts", "--dry-run=server", "-f", "-")
    refused("the operator's own statement", *apply, stdin=body)
    kubectl(*apply, stdin=body, user=OPERATOR)


# ---- (f) the operator's confinement


def config_map(namespace: str, kind: str = "ConfigMap") -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": "admission-test", "namespace": namespace}}


def test_the_operator_writes_in_tenants_namespaces_and_its_own(namespace):
    for where in (
        config_map(namespace),
        config_map("cloister-system"),
        config_map("cloister-system", "Secret"),
        config_map("cloister-audit", "Secret"),
    ):
        kubectl(*CREATE, stdin=where, user=OPERATOR)


@pytest.mark.parametrize(
    "body", [config_map("default"), config_map("kube-system", "Secret"), config_map("cloister-audit")]
)
def test_the_operator_writes_nowhere_else(policies, body):
    refused("the operator writes only in tenants' namespaces", *CREATE, stdin=body, user=OPERATOR)


def test_the_operator_deletes_nowhere_else(policies):
    refused(
        "the operator writes only in",
        "delete",
        "configmap",
        "kube-root-ca.crt",
        "-n",
        "kube-system",
        "--dry-run=server",
        user=OPERATOR,
    )


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(plain("elsewhere"), id="no label"),
        pytest.param(plain("elsewhere", {"cloister.dev/tenant": "elsewhere"}), id="another name"),
        pytest.param(plain("tenant-b", {"cloister.dev/tenant": "a"}), id="another tenant's label"),
    ],
)
def test_the_operator_makes_tenants_namespaces_only(policies, body):
    refused("is not a tenant's namespace", *CREATE, stdin=body, user=OPERATOR)


def test_the_operator_neither_takes_nor_deletes_a_foreign_namespace(namespace):
    refused(
        "is not a tenant's namespace",
        "label",
        "namespace",
        "default",
        "cloister.dev/tenant=x",
        "--dry-run=server",
        user=OPERATOR,
    )
    refused("is not a tenant's namespace", "delete", "namespace", "cloister-audit", "--dry-run=server", user=OPERATOR)
    refused(
        "is not a tenant's namespace",
        "label",
        "namespace",
        namespace,
        "cloister.dev/tenant-",
        "--dry-run=server",
        user=OPERATOR,
    )


def test_the_operator_leaves_other_peoples_volumes_alone(policies):
    name = f"admission-{uuid.uuid4().hex[:8]}"
    spec: dict[str, Any] = {
        "capacity": {"storage": "1Mi"},
        "accessModes": ["ReadWriteOnce"],
        "hostPath": {"path": "/none"},
    }
    spec["claimRef"] = {"namespace": "default", "name": "x"}
    kubectl(
        "create",
        "-f",
        "-",
        stdin={"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec},
    )
    change = ("patch", "pv", name, "--type=merge", "-p", '{"metadata":{"labels":{"a":"b"}}}', "--dry-run=server")
    try:
        refused("does not belong to a tenant", *change, user=OPERATOR)
        kubectl("patch", "pv", name, "--type=merge", "-p", '{"spec":{"claimRef":{"namespace":"tenant-x"}}}')
        kubectl(*change, user=OPERATOR)
    finally:
        kubectl("delete", "pv", name, "--wait=false")


def test_the_operator_has_no_right_beyond_its_list(policies):
    for verb, what in [
        ("escalate", "clusterroles"),
        ("bind", "clusterroles"),
        ("impersonate", "users"),
        ("create", "pods"),
        ("delete", "nodes"),
    ]:
        with pytest.raises(KubectlError, match=r"no|Warning"):
            kubectl("auth", "can-i", verb, what, user=OPERATOR)


def test_the_api_server_finds_no_fault_in_the_expressions(policies):
    for name in POLICIES:
        live = json.loads(kubectl("get", "validatingadmissionpolicy", f"cloister-{name}", "-o", "json"))
        assert live["spec"]["failurePolicy"] == "Fail"
        assert not live.get("status", {}).get("typeChecking", {}).get("expressionWarnings"), live["status"]
