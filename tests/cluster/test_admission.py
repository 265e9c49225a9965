"""Admission in a tenant's namespace, accepted and refused by a real API server: where pods run, and what is not deleted."""

# ruff: noqa: F811 - fixtures are imported and then asked for by name

import time
import uuid

import pytest

from tests.support.admission import (  # noqa: F401
    CREATE,
    PIN,
    SELECTOR,
    ZONE,
    claim,
    namespace,
    pod,
    policies,
    protected,
    refused,
    tenant,
    tenant_namespace,
    term,
)
from tests.support.kubectl import OPERATOR, KubectlError, exists, kubectl

pytestmark = pytest.mark.cluster

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


def test_a_protected_tenant_is_not_deleted_and_the_message_says_how_to(protected):
    refused(f'kubectl patch tenant {protected} --type=merge -p \'{{"spec"', "delete", "tenant", protected)
    kubectl("delete", "tenant", protected, "--dry-run=server", user=OPERATOR)


def test_an_unprotected_tenant_is_deleted(policies):
    name = f"free-{uuid.uuid4().hex[:8]}"
    kubectl("create", "-f", "-", stdin=tenant(name, protection=None))
    kubectl("delete", "tenant", name)
