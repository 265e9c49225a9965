"""What the watches saw, by key and by tenant. A look costs no request; an object costs a few hundred bytes.

Objects are kept as compressed JSON: a thousand tenants are some thirty thousand objects, which as dictionaries would be
most of the operator's memory (docs/adr/0004). `managedFields` are cut down to who manages what how; that is all we ask.
"""

import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from tenant_operator.api.names import LABEL_TENANT_ID
from tenant_operator.stack.part import Manifest, ObjectKey

GONE_KEPT = timedelta(days=1)
"""How long a deletion is remembered as the cause of what is made anew."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One object as kept."""

    version: int
    uid: str
    tenant: str
    blob: bytes

    def load(self) -> Manifest:
        """Return the object."""
        loaded: Manifest = orjson.loads(zlib.decompress(self.blob))
        return loaded


@dataclass(frozen=True, slots=True)
class Gone:
    """What is known of an object that was deleted: when we saw it."""

    uid: str
    at: datetime


@dataclass
class Store:
    """All objects we watch. Single-threaded: used from the event loop only."""

    _objects: dict[ObjectKey, Kept] = field(default_factory=dict)
    _by_kind: dict[str, set[ObjectKey]] = field(default_factory=lambda: defaultdict(set))
    _by_tenant: dict[str, set[ObjectKey]] = field(default_factory=lambda: defaultdict(set))
    gone: dict[ObjectKey, Gone] = field(default_factory=dict)

    def put(self, manifest: Manifest) -> bool:
        """Keep an object as it is now. Return False when the store already knew this version or a newer one."""
        key = ObjectKey.of(manifest)
        meta = manifest["metadata"]
        version, uid = int(meta["resourceVersion"]), meta["uid"]
        old = self._objects.get(key)
        if old and old.uid == uid and old.version >= version:
            return False
        lost = self.gone.get(key)
        if lost and lost.uid == uid:
            return False  # a late answer about an object whose deletion was already seen
        self.gone.pop(key, None)
        if old:
            self._drop(key)
        tenant = tenant_id(manifest)
        self._objects[key] = Kept(version, uid, tenant, zlib.compress(orjson.dumps(slim(manifest)), 1))
        self._by_kind[key.kind].add(key)
        if tenant:
            self._by_tenant[tenant].add(key)
        return True

    def remove(self, manifest: Manifest) -> bool:
        """Forget an object that was deleted. Return False when it was not known."""
        key = ObjectKey.of(manifest)
        old = self._objects.get(key)
        uid = manifest["metadata"].get("uid", "")
        if old is None or (uid and old.uid != uid):
            return False
        self._drop(key)
        self._note_gone(key, old.uid)
        return True

    def _note_gone(self, key: ObjectKey, uid: str) -> None:
        """Remember a deletion for a while, the newest last. Names of pods and Jobs come once: kept for good they would add up."""
        now = datetime.now(UTC)
        while self.gone and now - next(iter(self.gone.values())).at > GONE_KEPT:
            del self.gone[next(iter(self.gone))]
        self.gone.pop(key, None)
        self.gone[key] = Gone(uid, now)

    def _drop(self, key: ObjectKey) -> None:
        kept = self._objects.pop(key)
        self._by_kind[key.kind].discard(key)
        if kept.tenant:
            keys = self._by_tenant[kept.tenant]
            keys.discard(key)
            if not keys:
                del self._by_tenant[kept.tenant]

    def replace(self, kind: str, manifests: Iterable[Manifest], version: int) -> set[ObjectKey]:
        """Take a full list of a kind, made at a resourceVersion, as the truth. Return the keys that changed or are gone.

        What the store learned after the list was made (resourceVersions are comparable, KEP-5504) is kept.
        """
        changed: set[ObjectKey] = set()
        listed: set[ObjectKey] = set()
        for manifest in manifests:
            key = ObjectKey.of(manifest)
            listed.add(key)
            if self.put(manifest):
                changed.add(key)
        for key in self._by_kind[kind] - listed:
            if self._objects[key].version > version:
                continue
            uid = self._objects[key].uid
            self._drop(key)
            self._note_gone(key, uid)
            changed.add(key)
        return changed

    def get(self, key: ObjectKey) -> Manifest | None:
        """Return an object, or None."""
        kept = self._objects.get(key)
        return kept.load() if kept else None

    def of_kind(self, kind: str) -> list[Manifest]:
        """Return all objects of a kind."""
        return [self._objects[key].load() for key in sorted(self._by_kind.get(kind, ()))]

    def of_tenant(self, identity: str) -> dict[ObjectKey, Manifest]:
        """Return all objects labelled with a tenant's id."""
        return {key: self._objects[key].load() for key in self._by_tenant.get(identity, ())}

    def __len__(self) -> int:
        """Return how many objects are kept."""
        return len(self._objects)


def tenant_id(manifest: Mapping[str, Any]) -> str:
    """Return the id of the tenant an object is labelled with, or nothing."""
    labels: Mapping[str, str] = manifest["metadata"].get("labels") or {}
    return labels.get(LABEL_TENANT_ID, "")


def slim(manifest: Manifest) -> Manifest:
    """Return the object with `managedFields` reduced to manager, operation and subresource."""
    managed = manifest["metadata"].get("managedFields")
    if not managed:
        return manifest
    brief = [
        {key: entry[key] for key in ("manager", "operation", "subresource", "time") if key in entry}
        for entry in managed
    ]
    return {**manifest, "metadata": {**manifest["metadata"], "managedFields": brief}}
