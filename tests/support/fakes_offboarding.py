"""A small world for offboardings: an API server, Vault, an object store, an audit log and a clock, all in memory.

Every effect goes through `World.effect`, which can end the process there, before or after the effect (as kill -9 would), and
which asks the judge before anything is destroyed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any

from tenant_operator.api.common import API_VERSION
from tenant_operator.offboarding.offboarder import GUARD, WAIT, Offboarder
from tenant_operator.stack.part import ExternalKey, ObjectKey
from tenant_operator.stack.parts import PARTS
from tests.support.offboarding_cluster import FakeCluster
from tests.support.offboarding_effects import Killed, stamp
from tests.support.offboarding_outside import FakeLog, FakeOutside, FakeStore, FakeVault
from tests.support.tenant_context import IDENTITY, NOW, tenant_context

TENANT = "globex-bio"


@dataclass
class World(FakeCluster, FakeVault, FakeLog):
    """Everything outside."""


async def _context(tenant: Any, record: Mapping[str, Any]) -> Any:
    return _tenant()


@lru_cache
def _tenant() -> Any:
    return tenant_context(TENANT, IDENTITY)


def offboarder(world: World) -> Offboarder:
    """Return a new operator process over the world."""
    outside = {"vault": FakeOutside(world), "objectstore": FakeOutside(world)}
    return Offboarder(world, outside, world, FakeStore(world), world, world, PARTS, _context)  # type: ignore[arg-type]


def populated(**more: Any) -> World:
    """Return a world with a living tenant and an offboarding of it without approvals."""
    world = World(**more)
    ctx = _tenant()
    for part in PARTS:
        for removal in part.teardown(ctx):
            if isinstance(removal.key, ExternalKey):
                world.outside.add(removal.key)
            else:
                body = {"metadata": {"name": removal.key.name, "namespace": removal.key.namespace}}
                world.put(
                    {"apiVersion": removal.key.api_version, "kind": removal.key.kind, **body, "spec": {"replicas": 1}}
                )
    world.keys = {
        ctx.names.transit_key: "aes256-gcm96",
        ctx.names.signing_key: "ed25519",
        "cloister-other": "aes256-gcm96",
    }
    _volume(world, ctx.namespace)
    server = world.objects[ObjectKey("apps/v1", "StatefulSet", ctx.namespace, "database")]
    server["status"] = {"readyReplicas": 1}
    for name, component in (("app-1", "app"), ("database-0", "database")):
        labels = {"app.kubernetes.io/component": component}
        world.put(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "namespace": ctx.namespace, "labels": labels},
            }
        )
    spec = ctx.spec.manifest()
    world.put({"apiVersion": API_VERSION, "kind": "Tenant", "metadata": {"name": TENANT}, "spec": spec})
    record = {
        "tenant": TENANT,
        "id": IDENTITY,
        "region": ctx.spec.region,
        "state": "Live",
        "since": stamp(NOW),
        "lastSpec": spec,
    }
    items = [{"location": "volume", "kind": "Volume", "region": ctx.spec.region, "encryptedBy": "storage class"}]
    meta = {"name": TENANT}
    world.put(
        {
            "apiVersion": API_VERSION,
            "kind": "TenantRecord",
            "metadata": meta,
            "spec": record,
            "status": {"inventory": items},
        }
    )
    world.put({
        "apiVersion": API_VERSION, "kind": "TenantOffboarding", "metadata": {"name": "bye", "generation": 1},
        "spec": {
            "tenant": TENANT, "requestedBy": "alice", "reason": "contract ended, T-1", "gracePeriod": "1h",
            "recipient": {"age": "age1" + "q" * 58},
        },
    })  # fmt: skip
    return world


def _volume(world: World, inside: str) -> None:
    claim = world.objects[ObjectKey("v1", "PersistentVolumeClaim", inside, "database-data")]
    claim["spec"] = {"volumeName": "pv-1"}
    spec = {
        "claimRef": {"namespace": inside, "name": "database-data"}, "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": "local", "capacity": {"storage": "1Gi"},
    }  # fmt: skip
    world.put({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "pv-1"}, "spec": spec})


def offboarding_key(name: str = "bye") -> ObjectKey:
    return ObjectKey(API_VERSION, "TenantOffboarding", "", name)


def approve(world: World, approver: str, name: str = "", uid: str = "") -> None:
    """Let somebody approve."""
    owner = world.objects[offboarding_key()]["metadata"]["uid"]
    spec = {"offboarding": "bye", "offboardingUID": uid or owner, "approver": approver, "statement": "I approve"}
    meta = {"name": name or f"bye.{approver.lower()}"}
    world.put({"apiVersion": API_VERSION, "kind": "TenantApproval", "metadata": meta, "spec": spec})


def hold(world: World, name: str = "litigation") -> None:
    """Place a hold."""
    spec = {"tenant": TENANT, "matter": "Globex v. Initech", "requestedBy": "carol"}
    world.put({"apiVersion": API_VERSION, "kind": "TenantHold", "metadata": {"name": name}, "spec": spec})


async def run(world: World, limit: int = 200) -> dict[str, Any]:
    """Let the operator work until the offboarding rests; it is started anew after each kill. Time passes as it is asked to."""
    process = offboarder(world)
    for _ in range(limit):
        try:
            again = await process.reconcile("bye")
        except Killed:
            world.kill_at = None
            process = offboarder(world)
            continue
        status = world.objects[offboarding_key()].get("status", {})
        resting = {"Held": WAIT, "AwaitingApprovals": WAIT, "Certified": GUARD}
        if again is None or again == resting.get(status.get("phase")):
            return status
        world.now_ += max(again, timedelta(seconds=1))
    raise AssertionError(f"no rest after {limit} looks: {world.objects[offboarding_key()].get('status')}")
