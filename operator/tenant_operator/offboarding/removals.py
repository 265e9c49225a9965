"""What is destroyed, in which order, by which action: the walk over the parts in reverse, pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tenant_operator.stack.part import Context, ExternalKey, ObjectKey, Part, Removal

WORKLOADS = (
    ("batch/v1", "CronJob"),
    ("batch/v1", "Job"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
)
"""Kinds that run something: whatever else of them is in the namespace goes too, rendered by us or not."""

VOLUME_GROUP = 2
_GROUPS: Mapping[str, int] = {"PersistentVolumeClaim": 1, "PersistentVolume": VOLUME_GROUP, "Namespace": 9}
_OUTSIDE: Mapping[tuple[str, str], int] = {
    ("objectstore", "bucket-user"): 4,
    ("vault", "role"): 5,
    ("vault", "policy"): 5,
    ("vault", "key"): 6,
}
_BUCKET_GROUP = 3
_ACTIONS: Mapping[tuple[str, str], str] = {
    ("vault", "key"): "operator:vault-key:delete",
    ("vault", "policy"): "operator:vault-policy:delete",
    ("vault", "role"): "operator:vault-role:delete",
    ("objectstore", "bucket"): "operator:bucket:delete",
    ("objectstore", "bucket-user"): "operator:bucket-user:delete",
}


@dataclass(frozen=True)
class Item:
    """One thing to destroy. Groups are destroyed one after the other; the next waits until the one before is proved absent."""

    group: int
    key: ObjectKey | ExternalKey
    proof: str

    @property
    def name(self) -> str:
        """How the status, the audit log and the certificate call it."""
        return str(self.key)

    @property
    def action(self) -> str:
        """What destroying it is called in the audit log."""
        if isinstance(self.key, ObjectKey):
            return "operator:object:delete"
        return _ACTIONS.get((self.key.system, self.key.kind), "operator:offboarding:destroy")


def plan(ctx: Context, parts: Sequence[Part]) -> list[Item]:
    """Return everything to destroy: workloads, volumes, bucket and its user, Vault's roles and keys, the namespace last.

    Within a group the order is that of the parts in reverse. What lies in the database goes with its volume, and the audit
    log is kept: neither is an item.
    """
    removals = [removal for part in parts for removal in part.teardown(ctx)]
    items = [_item(removal) for removal in reversed(removals) if _is_destroyed(removal)]
    namespace = ObjectKey("v1", "Namespace", "", ctx.namespace)
    if all(item.key != namespace for item in items):
        items.append(_item(Removal(namespace, "the list of namespaces does not hold it")))
    return sorted(items, key=lambda item: item.group)


def _is_destroyed(removal: Removal) -> bool:
    return isinstance(removal.key, ObjectKey) or removal.key.system not in {"postgres", "audit"}


def _item(removal: Removal) -> Item:
    key = removal.key
    if isinstance(key, ObjectKey):
        return Item(_GROUPS.get(key.kind, 0), key, removal.proof)
    return Item(_OUTSIDE.get((key.system, key.kind), _BUCKET_GROUP), key, removal.proof)
