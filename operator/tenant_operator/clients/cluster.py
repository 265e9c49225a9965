"""The Kubernetes API as `ports.Cluster`: reads from the store, writes by POST and by server-side apply without force."""

import asyncio
import logging
import sys
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tenant_operator.api.names import FIELD_MANAGER
from tenant_operator.clients.resources import BY_KIND, OURS, Resource, resource_of
from tenant_operator.clients.store import Store
from tenant_operator.clients.transport import APPLY, JSON_PATCH, MERGE, Transport
from tenant_operator.errors import Missing, Retryable
from tenant_operator.stack.part import Manifest, ObjectKey

_MANAGER = {"fieldManager": FIELD_MANAGER}
_AGAIN_SECONDS = 0.5
_log = logging.getLogger(__name__)
_NOT_PAYLOAD = frozenset({"apiVersion", "kind", "metadata", "status"})


class KubernetesCluster:
    """One API server."""

    def __init__(self, transport: Transport, store: Store) -> None:
        self.transport = transport
        self.store = store

    def get(self, key: ObjectKey) -> Manifest | None:
        """Return an object from the store, or None."""
        return self.store.get(key)

    def list(
        self, kind: str, *, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> list[Manifest]:
        """Return the watched objects of a kind."""
        wanted = (labels or {}).items()
        return [
            item
            for item in self.store.of_kind(kind)
            if (namespace is None or item["metadata"].get("namespace") == namespace)
            and wanted <= (item["metadata"].get("labels") or {}).items()
        ]

    async def prime(self, kinds: Iterable[str]) -> set[ObjectKey]:
        """List our own kinds, so that nothing is judged before the regions and classes are known; return what changed.

        A kind that is not installed has no objects. A server that is not ready yet is asked again until it is.
        """
        changed: set[ObjectKey] = set()
        for resource in OURS:
            if resource.kind in kinds:
                found, version = await self._list_when_ready(resource)
                changed |= self.store.replace(resource.kind, found, version)
        return changed

    async def _list_when_ready(self, resource: Resource) -> tuple[Sequence[Manifest], int]:
        while True:
            try:
                return await self._list(resource)
            except Missing:  # every object of a kind went with it
                return [], sys.maxsize
            except Retryable as error:  # such as "storage is (re)initializing" just after a CRD was installed
                _log.info("list of %s: %s", resource.plural, error.message)
                await asyncio.sleep(_AGAIN_SECONDS)

    async def read(self, key: ObjectKey) -> Manifest | None:
        """Return an object by a live, quorum read; None when it does not exist."""
        try:
            found: Manifest = await self.transport.request("GET", resource_of(key).path(key))
        except Missing:
            return None
        return found

    async def read_list(self, api_version: str, kind: str, namespace: str | None = None) -> Sequence[Manifest]:
        """Return all objects of a kind by a live, quorum list."""
        return (await self._list(BY_KIND[api_version, kind], namespace or ""))[0]

    async def _list(self, resource: Resource, namespace: str = "") -> tuple[Sequence[Manifest], int]:
        """Return all objects of a kind and the resourceVersion of the list."""
        found: list[Manifest] = []
        query = {"limit": "500"}
        while True:
            page = await self.transport.request("GET", resource.collection(namespace), query=query)
            found += [{"apiVersion": resource.api_version, "kind": resource.kind, **item} for item in page["items"]]
            token = page["metadata"].get("continue")
            if not token:
                return found, int(page["metadata"]["resourceVersion"])
            query = {"limit": "500", "continue": token}

    async def create(self, manifest: Manifest) -> Manifest:
        """POST. A third cheaper than an apply when the store says that the object is absent. Raises AlreadyThere."""
        key = ObjectKey.of(manifest)
        path = resource_of(key).collection(key.namespace)
        return self._keep(await self.transport.request("POST", path, manifest, query=_MANAGER))

    async def apply(self, manifest: Manifest, *, force: bool = False) -> Manifest:
        """Server-side apply. Raises Conflict when another manager owns a field, unless `force` takes it back."""
        key = ObjectKey.of(manifest)
        await self._own_by_apply(key)
        query = {**_MANAGER, "force": "true"} if force else _MANAGER
        return self._keep(
            await self.transport.request("PATCH", resource_of(key).path(key), manifest, content_type=APPLY, query=query)
        )

    async def _own_by_apply(self, key: ObjectKey) -> None:
        """Turn the ownership that our POST left (operation Update) into Apply, so that an apply can drop fields.

        The same move as client-go's csaupgrade; without it a field we no longer render would stay, owned by our own past.
        """
        kept = self.store.get(key)
        brief = (kept or {"metadata": {}})["metadata"].get("managedFields", ())
        if not any(_is_our_update(entry) for entry in brief):
            return
        live = await self.read(key)
        if live is None:
            return
        entries = live["metadata"].get("managedFields", [])
        if any(entry.get("manager") == FIELD_MANAGER and entry["operation"] == "Apply" for entry in entries):
            moved = [entry for entry in entries if not _is_our_update(entry)]
        else:
            moved = [{**entry, "operation": "Apply"} if _is_our_update(entry) else entry for entry in entries]
        patch = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": live["metadata"]["resourceVersion"]},
            {"op": "replace", "path": "/metadata/managedFields", "value": moved},
        ]
        path = resource_of(key).path(key)
        self._keep(await self.transport.request("PATCH", path, patch, content_type=JSON_PATCH, query=_MANAGER))

    async def replace(self, manifest: Manifest, live: Manifest) -> Manifest:
        """Set every payload field whole, over exactly the object that was seen: the way to drop what others added."""
        key = ObjectKey.of(manifest)
        meta = live["metadata"]
        patch: list[dict[str, Any]] = [
            {"op": "test", "path": "/metadata/uid", "value": meta["uid"]},
            {"op": "test", "path": "/metadata/resourceVersion", "value": meta["resourceVersion"]},
        ]
        payload = [name for name in live if name not in _NOT_PAYLOAD and name not in manifest]
        patch += [{"op": "remove", "path": f"/{name}"} for name in payload]
        patch += [
            {"op": "add", "path": f"/{n}", "value": value} for n, value in manifest.items() if n not in _NOT_PAYLOAD
        ]
        path = resource_of(key).path(key)
        self._keep(await self.transport.request("PATCH", path, patch, content_type=JSON_PATCH, query=_MANAGER))
        return await self.apply(manifest, force=True)

    async def delete(self, live: Manifest, *, propagation: str = "Background") -> None:
        """Delete exactly this object: preconditions on its UID and resourceVersion. An object already gone is fine."""
        key = ObjectKey.of(live)
        meta = live["metadata"]
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": propagation,
            "preconditions": {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"]},
        }
        try:
            await self.transport.request("DELETE", resource_of(key).path(key), body)
        except Missing:
            self.store.remove(live)

    async def patch(self, live: Manifest, patch: Mapping[str, Any]) -> Manifest:
        """Merge-patch exactly this object (precondition on resourceVersion)."""
        key = ObjectKey.of(live)
        version = live["metadata"]["resourceVersion"]
        body = {**patch, "metadata": {**patch.get("metadata", {}), "resourceVersion": version}}
        path = resource_of(key).path(key)
        return self._keep(await self.transport.request("PATCH", path, body, content_type=MERGE, query=_MANAGER))

    async def write_status(self, live: Manifest, status: Mapping[str, Any]) -> Manifest:
        """Replace the status of exactly this object. Its single writer is the operator, so nothing of others is lost."""
        key = ObjectKey.of(live)
        dropped = {name: None for name in live.get("status") or {} if name not in status}
        version = live["metadata"]["resourceVersion"]
        body = {"metadata": {"resourceVersion": version}, "status": {**dropped, **status}}
        path = f"{resource_of(key).path(key)}/status"
        try:
            return self._keep(await self.transport.request("PATCH", path, body, content_type=MERGE, query=_MANAGER))
        except Missing:
            self.store.remove(live)  # its deletion was not seen, as when its CRD went and took the watch along
            raise

    async def post_event(self, about: Manifest, kind: str, reason: str, message: str) -> None:
        """Post a Kubernetes Event (kind Normal or Warning). Events of cluster-scoped objects live in `default`."""
        key = ObjectKey.of(about)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        namespace = key.namespace or "default"
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{key.name}.{uuid.uuid4().hex[:16]}", "namespace": namespace},
            "involvedObject": {
                "apiVersion": key.api_version,
                "kind": key.kind,
                "name": key.name,
                "namespace": key.namespace,
                "uid": about["metadata"].get("uid"),
            },
            "type": kind,
            "reason": reason,
            "message": message[:1024],
            "eventTime": now,
            "reportingComponent": "cloister.dev/operator",
            "reportingInstance": "cloister-operator",
            "action": reason,
            "source": {"component": "cloister-operator"},
        }
        await self.transport.request("POST", f"/api/v1/namespaces/{namespace}/events", body)

    def _keep(self, manifest: Manifest) -> Manifest:
        """Put an answer into the store at once: the watch's echo is then no news, and the next look sees our own write."""
        self.store.put(manifest)
        return manifest


def _is_our_update(entry: Mapping[str, Any]) -> bool:
    return entry.get("manager") == FIELD_MANAGER and entry.get("operation") == "Update" and not entry.get("subresource")
