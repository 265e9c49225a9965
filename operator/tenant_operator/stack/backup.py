"""Backups of the tenant's database: a bucket of its own with Object Lock, a CronJob, and a first run at once."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tenant_operator.api.common import seconds
from tenant_operator.api.tenant import InventoryItem
from tenant_operator.stack.backup_checks import bucket_made, bucket_present, checks, schedule_error
from tenant_operator.stack.database_checks import provisioned
from tenant_operator.stack.database_config import DATABASE, PORT
from tenant_operator.stack.evidence import cron_and_first_job
from tenant_operator.stack.keys import keys_ready
from tenant_operator.stack.part import (
    Context,
    Desired,
    Evidence,
    External,
    ExternalKey,
    Manifest,
    ObjectKey,
    Observed,
    Removal,
    Resource,
)
from tenant_operator.stack.render import (
    config_volume,
    container,
    meta,
    mount,
    obj,
    pod_spec,
    secret,
    secret_volume,
    token_volume,
)

__all__ = [
    "ACTIONS",
    "NAME",
    "bucket_present",
    "checks",
    "desired",
    "inventory",
    "proof",
    "schedule_error",
    "secret_key",
    "teardown",
]

NAME = "backup"
ACTIONS = (
    "s3:AbortMultipartUpload",
    "s3:DeleteObjectVersion",
    "s3:GetBucketObjectLockConfiguration",
    "s3:GetObject",
    "s3:GetObjectRetention",
    "s3:GetObjectVersion",
    "s3:ListBucket",
    "s3:ListBucketMultipartUploads",
    "s3:ListBucketVersions",
    "s3:ListMultipartUploadParts",
    "s3:PutObject",
    "s3:PutObjectRetention",
)
"""What the tenant's own key may do in its bucket: write, read, and remove what is no longer locked. Never bypass a lock."""
_WAVE_BUCKET, _WAVE_FILES, _WAVE_JOBS = 2, 3, 5
_RUN = "/var/run/cloister"
_CONFIG = "/etc/cloister/backup"


def secret_key(ctx: Context) -> str:
    """Return the secret key of the tenant's object storage user."""
    return ctx.derive.password(ctx.names.id, "objectstore", ctx.spec.credentials.epoch)


def desired(ctx: Context) -> Sequence[Resource]:
    """Return the bucket and its user, what the job mounts, the CronJob and the first run."""

    def gate(seen: Observed) -> bool:
        return provisioned(seen) and bucket_present(seen) and keys_ready(ctx, seen)

    backup = ctx.spec.backup
    files = [
        secret(meta(ctx, NAME, "objectstore"), _credentials(ctx)),
        obj("v1", "ConfigMap", meta(ctx, NAME, "backup-config"), data=_config_data(ctx)),
    ]
    return [
        *_externals(ctx),
        *(Desired(manifest, _WAVE_FILES) for manifest in files),
        *cron_and_first_job(
            ctx, NAME, "backup", backup.schedule, backup.time_zone, _pod(ctx), wave=_WAVE_JOBS, gate=gate
        ),
    ]


def _externals(ctx: Context) -> list[External]:
    bucket = ctx.names.bucket
    return [
        External(
            ExternalKey("objectstore", "bucket", bucket),
            {"objectLock": True, "versioning": True, "region": ctx.region.object_store.region},
            _WAVE_BUCKET,
        ),
        External(
            ExternalKey("objectstore", "bucket-user", bucket),
            {"bucket": bucket, "actions": list(ACTIONS), "secretEpoch": ctx.spec.credentials.epoch},
            _WAVE_FILES,
            gate=bucket_made,
            secret={"secretKey": secret_key(ctx)},
        ),
    ]


def _credentials(ctx: Context) -> dict[str, str]:
    return {"accessKey": ctx.names.bucket, "secretKey": secret_key(ctx), "ca.crt": ctx.platform.object_store_ca}


def config(ctx: Context) -> dict[str, Any]:
    """Return the job's configuration: paths to secrets, never a secret."""
    names, vault, store = ctx.names, ctx.region.vault, ctx.region.object_store
    return {
        "tenant": {"id": names.id, "name": names.tenant, "region": ctx.spec.region},
        "retentionSeconds": seconds(ctx.spec.backup.retention),
        "database": {
            "host": names.service_host("database"),
            "port": PORT,
            "name": DATABASE,
            "user": "backup",
            "passwordFile": f"{_RUN}/database-backup/password",
            "caFile": f"{_CONFIG}/platform.crt",
        },
        "store": {
            "endpoint": store.endpoint,
            "region": store.region,
            "bucket": names.bucket,
            "accessKeyFile": f"{_RUN}/objectstore/accessKey",
            "secretKeyFile": f"{_RUN}/objectstore/secretKey",
            "caFile": f"{_RUN}/objectstore/ca.crt",
        },
        "vault": {
            "address": vault.address,
            "caFile": f"{_CONFIG}/vault.crt",
            "authMount": vault.auth_mount,
            "role": names.vault_role("backup"),
            "transitMount": vault.transit_mount,
            "key": names.transit_key,
            "tokenFile": f"{_RUN}/tokens/vault",
        },
        "audit": {
            "url": ctx.platform.audit_url,
            "caFile": f"{_CONFIG}/platform.crt",
            "log": names.audit_log,
            "tokenFile": f"{_RUN}/tokens/audit",
        },
    }


def _config_data(ctx: Context) -> dict[str, str]:
    return {
        "config.json": json.dumps(config(ctx), indent=2, sort_keys=True) + "\n",
        "platform.crt": ctx.derive.ca.certificate,
        "vault.crt": ctx.platform.vault_ca,
    }


def _pod(ctx: Context) -> Manifest:
    fields = {"POD_NAME": "metadata.name", "POD_UID": "metadata.uid"}
    job = container(
        ctx,
        "backup",
        ctx.platform.images.jobs,
        ctx.klass.jobs,
        command=["python", "-m", "tenant_operator.jobs.backup"],
        env=[
            {"name": "CLOISTER_BACKUP_CONFIG", "value": f"{_CONFIG}/config.json"},
            *({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields.items()),
        ],
        volumeMounts=[
            mount("config", _CONFIG),
            mount("database", f"{_RUN}/database-backup"),
            mount("objectstore", f"{_RUN}/objectstore"),
            mount("tokens", f"{_RUN}/tokens"),
            mount("tmp", "/tmp", read_only=False),  # noqa: S108 - an emptyDir of this pod alone
        ],
    )
    volumes = [
        config_volume("config", "backup-config"),
        secret_volume("database", "database-backup"),
        secret_volume("objectstore", "objectstore"),
        token_volume(),
        {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
    ]
    return pod_spec(ctx, "backup", [job], restartPolicy="Never", volumes=volumes)


def teardown(ctx: Context) -> Sequence[Removal]:
    """Return what goes at destruction, in the order it was made: the bucket with every version in it."""
    bucket = ctx.names.bucket
    return [
        Removal(ExternalKey("objectstore", "bucket", bucket), "a list of the store's buckets does not hold it"),
        Removal(ExternalKey("objectstore", "bucket-user", bucket), "a list of the store's users does not hold it"),
        Removal(
            ObjectKey("batch/v1", "CronJob", ctx.namespace, "backup"),
            "a list of the namespace's CronJobs does not hold it",
        ),
    ]


def inventory(ctx: Context, seen: Observed) -> Sequence[InventoryItem]:
    """Return where the backups lie, by what the store says of the bucket's location."""
    found = seen.external.get(ExternalKey("objectstore", "bucket", ctx.names.bucket))
    located = found.get("region", "") if isinstance(found, Mapping) else ""
    return [
        InventoryItem(
            location=f"bucket {ctx.names.bucket} at {ctx.region.object_store.endpoint}",
            kind="Bucket",
            region=ctx.spec.region if located == ctx.region.object_store.region else located,
            encrypted_by=f"AES-256-GCM with a data key for each backup, wrapped by Vault key {ctx.names.transit_key}",
        )
    ]


def proof(ctx: Context, seen: Observed) -> Sequence[Evidence]:
    """Return what shows the part installed as specified."""
    lines = []
    for wanted in _externals(ctx):
        what = seen.external.get(wanted.key)
        found = {name: what.get(name) for name in wanted.spec} if isinstance(what, Mapping) else "not observed"
        lines.append(Evidence(f"{wanted.key} is as specified", str(dict(wanted.spec)), str(found)))
    cron = seen.get("CronJob", ctx.namespace, "backup") or {}
    schedule = cron.get("spec", {}).get("schedule", "no CronJob")
    return [*lines, Evidence("backups are scheduled as specified", ctx.spec.backup.schedule, schedule)]
