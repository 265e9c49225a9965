"""The tenant's own PostgreSQL server: volume, credentials, certificate, StatefulSet, roles and the `app` database."""

from collections.abc import Mapping, Sequence
from typing import Any

from tenant_operator.api.tenant import InventoryItem
from tenant_operator.stack.database_checks import checks, database_ready, provisioned, volume_region
from tenant_operator.stack.database_config import DATABASE, PORT, storage_error
from tenant_operator.stack.database_objects import NAME, SUPERUSER, files, server
from tenant_operator.stack.part import (
    Context,
    Desired,
    Evidence,
    External,
    ExternalKey,
    ObjectKey,
    Observed,
    Removal,
    Resource,
)

__all__ = [
    "DATABASE",
    "NAME",
    "PORT",
    "ROLES",
    "SUPERUSER",
    "checks",
    "database_ready",
    "desired",
    "inventory",
    "proof",
    "provisioned",
    "storage_error",
    "teardown",
]

ROLES: Mapping[str, Mapping[str, Any]] = {
    "app_owner": {"replication": False, "memberOf": []},
    "app": {"replication": False, "memberOf": []},
    "audit_writer": {"replication": False, "memberOf": []},
    "backup": {"replication": True, "memberOf": ["pg_read_all_data"]},
}
"""The roles that may log in besides the superuser, and what differs between them."""
_WAVE_SERVER, _WAVE_ROLES, _WAVE_DATABASE = 3, 4, 5


def desired(ctx: Context) -> Sequence[Resource]:
    """Return what should exist, in wave order."""
    return [
        *(Desired(manifest, _WAVE_SERVER) for manifest in (*files(ctx), server(ctx))),
        *(_role(ctx, role) for role in ROLES),
        External(
            ExternalKey("postgres", "database", DATABASE),
            {"owner": "app_owner", "publicConnect": False, "connect": sorted(ROLES)},
            _WAVE_DATABASE,
            gate=database_ready,
        ),
    ]


def _role(ctx: Context, role: str) -> External:
    spec = {"login": True, "superuser": False, "createDatabase": False, "createRole": False, "bypassRowSecurity": False}
    return External(
        ExternalKey("postgres", "role", role),
        {**spec, **ROLES[role], "passwordEpoch": ctx.spec.credentials.epoch},
        _WAVE_ROLES,
        gate=database_ready,
        secret={"password": ctx.derive.password(ctx.names.id, role, ctx.spec.credentials.epoch)},
    )


def teardown(ctx: Context) -> Sequence[Removal]:
    """Return what goes at destruction, in the order it was made. Roles and database lie in the volume and go with it."""
    return [
        Removal(
            ObjectKey("v1", "PersistentVolumeClaim", ctx.namespace, "database-data"),
            "a list of the namespace's claims and of the cluster's volumes bound to them does not hold it",
        ),
        Removal(
            ObjectKey("apps/v1", "StatefulSet", ctx.namespace, "database"),
            "a list of the namespace's StatefulSets and pods does not hold it",
        ),
    ]


def inventory(ctx: Context, seen: Observed) -> Sequence[InventoryItem]:
    """Return where the volume is, in the region that its PersistentVolume's node affinity says."""
    return [
        InventoryItem(
            location=f"volume {ctx.namespace}/database-data",
            kind="Volume",
            region=volume_region(ctx, seen, "database-data"),
            encrypted_by=(
                f"the storage class {ctx.region.storage_class_name} "
                f"(documents inside are sealed with Vault key {ctx.names.transit_key})"
            ),
        )
    ]


def proof(ctx: Context, seen: Observed) -> Sequence[Evidence]:
    """Return what shows the part installed as specified."""
    claim = seen.get("PersistentVolumeClaim", ctx.namespace, "database-data") or {}
    pods = seen.pods("database")
    image = pods[0]["spec"]["containers"][0]["image"] if pods else "no pod"
    lines = [
        Evidence(
            "the database's volume is of the Region's storage class",
            ctx.region.storage_class_name,
            str(claim.get("spec", {}).get("storageClassName", "no volume")),
        ),
        Evidence(
            "the database's volume lies in the region", ctx.spec.region, volume_region(ctx, seen, "database-data")
        ),
        Evidence("the database runs the released image", ctx.platform.images.postgres, image),
    ]
    for wanted in desired(ctx):
        if isinstance(wanted, External):
            what = seen.external.get(wanted.key)
            found = str(dict(sorted(what.items()))) if isinstance(what, Mapping) else "not observed"
            lines.append(Evidence(f"{wanted.key} is as specified", str(dict(sorted(wanted.spec.items()))), found))
    return lines
