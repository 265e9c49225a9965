"""The chart's admission policies in force, a tenant's namespace and a protected Tenant, for the tests of every rule."""

import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.support.helm import ROOT, template
from tests.support.kubectl import OPERATOR, KubectlError, exists, kubectl

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
