"""Tenants that live on the cluster: made from an example's own words, waited for, and removed with all they left."""

import contextlib
import json
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from tests.support import api, outside
from tests.support.kubectl import MASTERS, OPERATOR, KubectlError, get, kubectl
from tests.support.tenants import documents
from tests.support.waiting import NotYetError, say, until

DEMO = ("acme-pharma", "globex-bio")
EU, US = "eu-central-1", "us-east-1"
READY_SECONDS = 240


def named(word: str) -> str:
    """Return a name that no other run uses."""
    return f"t-{word}-{uuid.uuid4().hex[:5]}"


def body(name: str, region: str = EU, **spec: Any) -> dict[str, Any]:
    """Return a Tenant with the spec of globex-bio, the least one has to say, and its own name everywhere."""
    (item,) = [item for item in documents("globex-bio") if item["kind"] == "Tenant"]
    item["metadata"]["name"] = name
    item["spec"] |= {"displayName": f"Test {name}", "region": region, "hostname": f"{name}.cloister.localhost", **spec}
    if "identity" not in spec:
        item["spec"]["identity"]["ldap"]["bindSecret"] = f"{name}-directory"
    return item


def bind_secret(name: str) -> dict[str, Any]:
    """Return a bind secret of the tenant's own; what globex-bio's reader may read is enough for a directory to answer."""
    data = get("secret", "globex-bio-directory", "-n", "cloister-system")["data"]
    meta = {"name": f"{name}-directory", "namespace": "cloister-system", "labels": {"cloister.dev/tenant": name}}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": "Opaque", "data": data}


def apply(*items: dict[str, Any]) -> None:
    """Apply objects as a person would."""
    kubectl("apply", "--server-side", "-f", "-", stdin=list(items))


@contextmanager
def tenant(name: str, region: str = EU, *, secret: bool = True, **spec: Any) -> Iterator[str]:
    """Have a tenant for the length of a test; whatever becomes of it, nothing of it stays."""
    try:
        apply(*([bind_secret(name)] if secret else []), body(name, region, **spec))
        say(f"{name}: applied")
        yield name
    finally:
        remove(name)


def live(name: str) -> dict[str, Any]:
    """Return the Tenant. Raises ApiError."""
    return api.call("GET", api.cloister("tenants", name))


def record(name: str) -> dict[str, Any] | None:
    """Return the TenantRecord, or None."""
    return api.find(api.cloister("tenantrecords", name))


def identity(name: str) -> str:
    """Return the tenant's id, waiting until it has one."""
    found = until(f"{name} has a record", lambda: record(name), 30)
    return str(found["spec"]["id"])


def condition(name: str, kind: str) -> dict[str, Any]:
    """Return a condition. Raises AssertionError when there is none yet."""
    item = live(name)
    found = [c for c in item.get("status", {}).get("conditions", []) if c["type"] == kind]
    assert found, f"{name} has no condition {kind} yet"
    assert found[0]["observedGeneration"] == item["metadata"]["generation"], (
        f"{kind} of {name} is about an older generation"
    )
    return found[0]


def says(name: str, kind: str, status: str, reason: str = "", words: str = "", seconds: float = 30) -> dict[str, Any]:
    """Wait until a condition has a status, and a reason and words when given; return it."""

    def look() -> dict[str, Any]:
        found = condition(name, kind)
        said = f"{kind}={found['status']} {found['reason']}: {found['message']}"
        assert found["status"] == status, said
        assert reason in {"", found["reason"]}, said
        assert words in found["message"], said
        return found

    return until(f"{name} says {kind}={status} {reason}".rstrip(), look, seconds)


def ready(*names: str, seconds: float = READY_SECONDS) -> float:
    """Wait until tenants are Ready; return how long it took."""
    began = time.monotonic()
    for name in names:
        try:
            says(name, "Ready", "True", seconds=max(1.0, seconds - (time.monotonic() - began)))
        except NotYetError as error:
            raise AssertionError(f"{error}\n{_trouble(name)}") from error
    return time.monotonic() - began


def _trouble(name: str) -> str:
    """Return what a person would look at next."""
    said = [kubectl("get", "pods", "-n", f"tenant-{name}", "-o", "wide")]
    with contextlib.suppress(KubectlError):
        said.append(kubectl("-n", "cloister-system", "logs", "deploy/cloister-operator", "--tail=25"))
    return "\n".join(said)


def objects(name: str, kinds: Sequence[str]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return what the operator rendered in a tenant's namespace, by kind and name."""
    listed = get(",".join(kinds), "-n", f"tenant-{name}", "-l", "cloister.dev/part")["items"]
    return {
        (item["kind"], item["metadata"]["name"]): item for item in listed if "ownerReferences" not in item["metadata"]
    }


def remove(name: str) -> None:
    """Remove a tenant of the tests with all it left: no offboarding, because it has no customer."""
    if api.find(api.cloister("tenants", name)):
        open_ = json.dumps({"spec": {"deletion": {"protection": False}}})
        kubectl("patch", "tenant", name, "--type=merge", "-p", open_)
        kubectl("delete", "tenant", name, "--timeout=30s")
    with contextlib.suppress(NotYetError):
        until(f"{name} is let go", lambda: _let_go(name), 20)
    found = record(name)
    space = f"tenant-{name}"
    for volume in get("pv")["items"]:
        if volume["spec"].get("claimRef", {}).get("namespace") == space:
            patch = '{"spec":{"persistentVolumeReclaimPolicy":"Delete"}}'
            kubectl("patch", "pv", volume["metadata"]["name"], "--type=merge", "-p", patch)
    _drop(name)
    kubectl("delete", "secret", f"{name}-directory", "-n", "cloister-system", "--ignore-not-found")
    absent = 0

    def gone() -> bool:
        nonlocal absent, found
        live = api.find(f"/api/v1/namespaces/{space}")
        seen = record(name)
        back, found = seen is not None, seen or found
        # Twice, because a reconcile that began before may still write the record it read: the operator's writes are applies.
        absent = 0 if live or back else absent + 1
        if absent == 2:
            return True
        if back or (live and not live["metadata"].get("deletionTimestamp")):
            _drop(name)  # the operator mended what it took for drift before it heard that the record is gone
        if live:
            force = ("--grace-period=0", "--force", "--ignore-not-found", "--wait=false")
            kubectl("delete", "pods", "--all", "-n", space, *force)
        raise AssertionError(
            f"{space} is {'still' if live else 'not'} there; its record is {'back' if back else 'gone'}"
        )

    until(f"{space} and its record are gone", gone, 90, every=1)
    if found:  # last: as long as there was a record, keys and bucket would have been made again
        outside.forget_in_vault(found["spec"]["region"], found["spec"]["id"])
        outside.forget_in_store(found["spec"]["region"], found["spec"]["id"])
    say(f"{name}: removed")


def _drop(name: str) -> None:
    """Delete namespace and record. The namespace first: a record that is gone while it lives is made anew from its labels.

    No record is ever deleted but by a test: the operator itself has no right to.
    """
    kubectl("delete", "namespace", f"tenant-{name}", "--ignore-not-found", "--wait=false", user=OPERATOR)
    kubectl("delete", "tenantrecord", name, "--ignore-not-found", user=OPERATOR, groups=MASTERS)


def remove_all(names: Sequence[str]) -> None:
    """Remove several tenants at once."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(remove, names))


def _let_go(name: str) -> bool:
    found = record(name)
    assert found is None or found["spec"]["state"] != "Live", (
        f"the record of {name} says {found and found['spec']['state']}"
    )
    return True
