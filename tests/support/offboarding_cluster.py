"""The API server of the offboarding's tests, with the controllers that an offboarding waits for: volumes, pods, the export job."""

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from tenant_operator.errors import Conflict
from tenant_operator.stack.part import ObjectKey
from tests.support.offboarding_effects import Effects, stamp

EXPORT = b"sealed to the customer" * 100


@dataclass
class FakeCluster(Effects):
    """Keeps objects with UIDs and resourceVersions. `job_writes` is what an export job stores; None lets it fail."""

    objects: dict[ObjectKey, dict[str, Any]] = field(default_factory=dict)
    stored: dict[tuple[str, str], bytes] = field(default_factory=dict)
    """The export store's objects, by bucket and name."""
    versions: Any = field(default_factory=lambda: count(1))
    job_writes: bytes | None = EXPORT

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
            claim = volume["spec"].get("claimRef")
            if not claim:  # available to the next claim, and kept
                continue
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
