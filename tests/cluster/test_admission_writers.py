"""Admission of who may write what, tried on a real API server: tenants' namespaces, the ledger, and the operator's own hands."""

# ruff: noqa: F811 - fixtures are imported and then asked for by name

import json
import uuid
from typing import Any

import pytest

from tests.support.admission import (  # noqa: F401
    CREATE,
    POLICIES,
    namespace,
    pod,
    policies,
    protected,
    refused,
    tenant,
)
from tests.support.kubectl import MASTERS, OPERATOR, KubectlError, kubectl

pytestmark = pytest.mark.cluster

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
        kubectl("delete", "tenantrecord", name, user=OPERATOR, groups=MASTERS)


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
        ("delete", "tenantrecords"),
        ("get", "leases"),
    ]:
        with pytest.raises(KubectlError, match=r"no|Warning"):
            kubectl("auth", "can-i", verb, what, user=OPERATOR)


def test_the_api_server_finds_no_fault_in_the_expressions(policies):
    for name in POLICIES:
        live = json.loads(kubectl("get", "validatingadmissionpolicy", f"cloister-{name}", "-o", "json"))
        assert live["spec"]["failurePolicy"] == "Fail"
        assert not live.get("status", {}).get("typeChecking", {}).get("expressionWarnings"), live["status"]
