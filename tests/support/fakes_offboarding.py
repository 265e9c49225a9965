"""A small world for offboardings: an API server, Vault, an object store, an audit log and a clock, all in memory.

Every effect goes through `World.effect`, which can end the process there, before or after the effect (as kill -9 would), and
which asks the judge before anything is destroyed.
"""

import base64
import copy
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import count
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit_contract.checkpoint import Checkpoint
from audit_contract.merkle import inclusion_ranges, leaf_hash, root_of
from audit_contract.proof import InclusionProof
from tenant_operator.api.common import API_VERSION
from tenant_operator.errors import Conflict, Missing
from tenant_operator.offboarding.offboarder import GUARD, WAIT, Offboarder
from tenant_operator.offboarding.ports import Stored
from tenant_operator.stack.part import ExternalKey, ObjectKey
from tenant_operator.stack.parts import PARTS
from tests.support.tenant_context import IDENTITY, NOW, tenant_context

TENANT = "globex-bio"
EXPORT = b"sealed to the customer" * 100


class Killed(BaseException):
    """kill -9."""


@dataclass
class World:
    """Everything outside. `judge` is called with what is about to be destroyed; `kill_at` ends the process at an effect."""

    judge: Callable[["World", str], None] = lambda world, what: None
    kill_at: tuple[int, str] | None = None
    after_effect: Callable[["World", int], None] = lambda world, number: None
    now_: datetime = NOW
    objects: dict[ObjectKey, dict[str, Any]] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    sealed: dict[str, str] = field(default_factory=dict)
    outside: set[ExternalKey] = field(default_factory=set)
    stored: dict[tuple[str, str], bytes] = field(default_factory=dict)
    logs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    destroyed: list[str] = field(default_factory=list)
    effects: int = 0
    versions: Any = field(default_factory=lambda: count(1))
    signing: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    audit_down: bool = False
    checkpoint_lags: int = 0
    job_writes: bytes | None = EXPORT
    canaries: Any = field(default_factory=lambda: count(1))

    def now(self) -> datetime:
        return self.now_

    def effect(self, what: str, act: Callable[[], Any], *, destroys: bool = False) -> Any:
        number = self.effects
        self.effects += 1
        if self.kill_at == (number, "before"):
            raise Killed(what)
        if destroys:
            self.judge(self, what)
            self.destroyed.append(what)
        found = act()
        self.after_effect(self, number)
        if self.kill_at == (number, "after"):
            raise Killed(what)
        return found

    def put(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        body = copy.deepcopy(dict(manifest))
        key = ObjectKey.of(body)
        old = self.objects.get(key)
        meta = body["metadata"]
        meta["uid"] = old["metadata"]["uid"] if old else meta.get("uid") or f"uid-{next(self.versions)}"
        meta["resourceVersion"] = str(next(self.versions))
        meta.setdefault("creationTimestamp", old["metadata"]["creationTimestamp"] if old else stamp(self.now_))
        self.objects[key] = body
        return copy.deepcopy(body)

    # Cluster

    def get(self, key: ObjectKey) -> dict[str, Any] | None:
        return copy.deepcopy(self.objects.get(key))

    async def read(self, key: ObjectKey) -> dict[str, Any] | None:
        return self.get(key)

    async def read_list(self, api_version: str, kind: str, namespace: str | None = None) -> Sequence[dict[str, Any]]:
        wanted = [
            item
            for key, item in sorted(self.objects.items())
            if (key.api_version, key.kind) == (api_version, kind) and namespace in {None, key.namespace}
        ]
        return copy.deepcopy(wanted)

    async def apply(self, manifest: dict[str, Any], *, force: bool = False) -> dict[str, Any]:
        def act() -> dict[str, Any]:
            made = self.put(manifest)
            if manifest["kind"] == "Job":
                self._run_job(made)
            return made

        return self.effect(f"apply {ObjectKey.of(manifest)}", act)

    async def patch(self, live: dict[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
        return self.effect(f"patch {ObjectKey.of(live)}", lambda: self._merge(live, patch))

    async def write_status(self, live: dict[str, Any], status: Mapping[str, Any]) -> dict[str, Any]:
        def act() -> dict[str, Any]:
            current = self._same(live)
            return self.put({**current, "status": copy.deepcopy(dict(status))})

        return self.effect(f"status {ObjectKey.of(live)}", act)

    async def delete(self, live: dict[str, Any], *, propagation: str = "Background") -> None:
        key = ObjectKey.of(live)
        mine = key.kind in {"Job", "Secret", "ConfigMap", "NetworkPolicy", "Tenant"}
        self.effect(f"delete {key}", lambda: self._remove(key), destroys=not mine)

    async def post_event(self, about: Mapping[str, Any], kind: str, reason: str, message: str) -> None:
        pass

    def _same(self, live: Mapping[str, Any]) -> dict[str, Any]:
        current = self.objects.get(ObjectKey.of(live))
        if current is None or current["metadata"]["resourceVersion"] != live["metadata"]["resourceVersion"]:
            raise Conflict(f"{ObjectKey.of(live)} is not the one that was read")
        return current

    def _merge(self, live: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
        def merge(into: dict[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
            for name, value in more.items():
                into[name] = merge(into.get(name) or {}, value) if isinstance(value, Mapping) else value
            return into

        body = self.put(merge(copy.deepcopy(self._same(live)), patch))
        if body["kind"] == "Deployment" and body["spec"].get("replicas") == 0:
            self._remove(ObjectKey("v1", "Pod", body["metadata"]["namespace"], "app-1"))
        if body["kind"] == "PersistentVolume":
            self._collect()
        return body

    def _remove(self, key: ObjectKey) -> None:
        self.objects.pop(key, None)
        if key.kind == "Namespace":
            for other in [other for other in self.objects if other.namespace == key.name]:
                del self.objects[other]
        pods = {"StatefulSet": "database-0", "Deployment": "app-1", "Job": "export-pod"}
        if key.kind in pods:
            self.objects.pop(ObjectKey("v1", "Pod", key.namespace, pods[key.kind]), None)
        self._collect()

    def _collect(self) -> None:
        """What the volume controller does: a released volume whose policy says so is deleted."""
        for key, volume in list(self.objects.items()):
            if key.kind != "PersistentVolume":
                continue
            claim = volume["spec"]["claimRef"]
            bound = ObjectKey("v1", "PersistentVolumeClaim", claim["namespace"], claim["name"]) in self.objects
            if not bound and volume["spec"]["persistentVolumeReclaimPolicy"] == "Delete":
                del self.objects[key]

    def _run_job(self, job: dict[str, Any]) -> None:
        config = self.objects[ObjectKey("v1", "ConfigMap", job["metadata"]["namespace"], "export-config")]
        told = json.loads(config["data"]["job.json"])
        said: dict[str, Any] = {"error": "pg_dump: connection refused"}
        if self.job_writes is not None:
            self.stored[told["bucket"], told["key"]] = self.job_writes
            sha256 = hashlib.sha256(self.job_writes).hexdigest()
            said = {"bucket": told["bucket"], "key": told["key"], "sha256": sha256, "size": len(self.job_writes)}
            said["documents"] = 3
        ended = {"exitCode": 0 if self.job_writes else 1, "message": json.dumps(said)}
        meta = job["metadata"]
        self.put({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "export-pod", "namespace": meta["namespace"], "ownerReferences": [{"uid": meta["uid"]}]},
            "status": {"containerStatuses": [{"name": "export", "state": {"terminated": ended}}]},
        })  # fmt: skip
        kind = "Complete" if self.job_writes is not None else "Failed"
        condition = {"type": kind, "status": "True", "lastTransitionTime": stamp(self.now_)}
        self.put({**job, "status": {"conditions": [condition]}})

    # Vault and the object store as outside systems

    async def observe(self, ctx: Any, wanted: Any) -> Mapping[str, Any] | None:
        return {"type": self.keys[wanted.key.name]} if wanted.key.name in self.keys else None

    async def ensure(self, ctx: Any, wanted: Any, seen: Any) -> str:
        self.effect(f"ensure {wanted.key}", lambda: self.keys.setdefault(wanted.key.name, wanted.spec["type"]))
        return "create"

    async def is_absent(self, ctx: Any, key: ExternalKey) -> bool:
        return key.name not in self.keys if key.kind == "key" else key not in self.outside

    # The keys' operations

    async def encrypt(self, ctx: Any, key: str, plaintext: bytes) -> str:
        def act() -> str:
            text = f"vault:v1:{next(self.canaries)}"
            self.sealed[text] = key
            return text

        return self.effect(f"encrypt {key}", act)

    async def opens(self, ctx: Any, key: str, ciphertext: str) -> bool:
        return key in self.keys and self.sealed[ciphertext] == key

    async def sign(self, ctx: Any, key: str, message: bytes) -> str:
        return "vault:v1:" + base64.b64encode(self.signing.sign(message)).decode()

    async def public_keys(self, ctx: Any, key: str) -> dict[int, bytes]:
        raw = self.signing.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return {1: raw} if key in self.keys else {}

    # The recorder

    async def open_log(self, ctx: Any) -> None:
        pass

    def _append(self, log: str, body: dict[str, Any]) -> int:
        from tenant_operator.api.reasons import Reason
        from tenant_operator.errors import Retryable

        if self.audit_down:
            raise Retryable("the audit service cannot be reached", reason=Reason.AUDIT_UNAVAILABLE)
        entries = self.logs.setdefault(log, [])
        entries.append(body)
        return len(entries) - 1

    @asynccontextmanager
    async def acts(self, log: str, planned: Sequence[Any]):
        for item in planned:
            self._append(log, {"phase": "intent", "action": item.action, "object": item.object_id})
        held = [_Act() for _ in planned]
        try:
            yield held
        finally:
            for item, act in zip(planned, held, strict=True):
                self._append(
                    log, {"phase": "outcome", "action": item.action, "object": item.object_id, "result": act.result}
                )

    async def note(self, log: str, observed: Any, result: str = "ok") -> Mapping[str, Any]:
        body = {
            "phase": "single",
            "action": observed.action,
            "text": observed.text,
            "actor": observed.actor,
            "result": result,
        }
        index = self.effect(f"note {observed.action}", lambda: self._append(log, body))
        return {"id": f"{log}-{index}", "index": index, "leafHash": _leaf(body).hex()}

    async def proof(self, log: str, index: int) -> bytes:
        if self.checkpoint_lags:
            self.checkpoint_lags -= 1
            raise Missing("a tree of that size has no such leaf")
        leaves = [_leaf(body) for body in self.logs[log]]
        path = tuple(root_of(leaves[begin:end]) for begin, end in inclusion_ranges(index, len(leaves)))
        point = Checkpoint(f"cloister.example/{log}", len(leaves), root_of(leaves)).text()
        signature = "— cloister.example " + base64.b64encode(b"\0" * 68).decode()
        return InclusionProof(index, path, f"{point}\n{signature}\n".encode()).encode()


class _Act:
    result = "error"

    def done(self, result: str = "ok", text: str = "") -> None:
        self.result = result


def _leaf(body: Mapping[str, Any]) -> bytes:
    return leaf_hash(json.dumps(body, sort_keys=True).encode())


def stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class FakeOutside:
    """Vault's or the object store's side of OutsideSystem; their deletions differ."""

    world: World

    async def observe(self, ctx: Any, wanted: Any) -> Any:
        return await self.world.observe(ctx, wanted)

    async def ensure(self, ctx: Any, wanted: Any, seen: Any) -> str:
        return await self.world.ensure(ctx, wanted, seen)

    async def is_absent(self, ctx: Any, key: ExternalKey) -> bool:
        return await self.world.is_absent(ctx, key)

    async def delete(self, ctx: Any, key: ExternalKey) -> None:
        def act() -> None:
            self.world.keys.pop(key.name, None) if key.kind == "key" else self.world.outside.discard(key)

        self.world.effect(f"delete {key}", act, destroys=True)


@dataclass
class FakeStore:
    """The export store."""

    world: World

    async def ensure_export_bucket(self, ctx: Any) -> str:
        return ctx.region.object_store.export_bucket

    async def presign(self, ctx: Any, method: str, bucket: str, key: str, seconds: int) -> str:
        return f"https://store/{bucket}/{key}?{method}"

    async def stat(self, ctx: Any, bucket: str, key: str) -> Stored | None:
        found = self.world.stored.get((bucket, key))
        return None if found is None else Stored(len(found))

    async def stream(self, ctx: Any, bucket: str, key: str):
        yield self.world.stored[bucket, key]


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
