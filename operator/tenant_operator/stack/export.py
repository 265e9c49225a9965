"""The export of an offboarding: its Job, what it mounts and what it may reach. Not a part: it exists only while it runs.

The pod holds no credential of the object store, only addresses that are signed for one object each and expire. Plaintext (the
documents and the dump) lies in memory only, in an emptyDir as large as the class lets a job have memory; a tenant with more
needs a class with larger jobs. Ciphertext is spooled to an ordinary emptyDir, so that its size is known when it is uploaded.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from tenant_operator.stack import app_config, network
from tenant_operator.stack.part import Context, Manifest, ObjectKey
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

NAME = "export"
ACCOUNT = "export"
URLS_VALID = timedelta(hours=12)
DEADLINE = timedelta(hours=11)
"""A job ends before its addresses do."""
WORK = "/work/export"
"""The emptyDir itself, so that it is there even when there is no document to write into it."""
SPOOL = "/spool"
_RUN = "/var/run/cloister"
_CONFIG = "/etc/cloister/export"


@dataclass(frozen=True)
class ExportRequest:
    """One export: for which offboarding, to whom it is sealed, and where it goes."""

    offboarding: str
    uid: str
    recipient: Mapping[str, str]
    bucket: str
    urls: Mapping[str, str]
    """Signed addresses: put and get of the export, putReceipt of the receipt."""


def job_key(ctx: Context, uid: str) -> ObjectKey:
    """Return the key of an offboarding's export Job."""
    return ObjectKey("batch/v1", "Job", ctx.namespace, f"export-{uid[:8]}")


def object_name(tenant: str, uid: str, recipient: Mapping[str, Any]) -> str:
    """Return the export's name in the bucket; the end says what opens it."""
    return f"{tenant}/{uid}/export.tar.{'age' if recipient.get('age') else 'cms'}"


def receipt_name(tenant: str, uid: str) -> str:
    """Return the name of the receipt beside it."""
    return f"{tenant}/{uid}/receipt.json"


def manifests(ctx: Context, request: ExportRequest) -> Sequence[Manifest]:
    """Return what the export needs, in the order it is made; the Job comes last."""
    return [
        _policy(ctx),
        obj("v1", "ConfigMap", meta(ctx, NAME, "export-config", NAME), data=_config(ctx, request)),
        secret(meta(ctx, NAME, "export-upload", NAME), {"urls.json": _text(dict(request.urls))}),
        _job(ctx, request),
    ]


def leftovers(ctx: Context, uid: str) -> Sequence[ObjectKey]:
    """Return what can go once the export is verified."""
    return [
        job_key(ctx, uid),
        ObjectKey("v1", "Secret", ctx.namespace, "export-upload"),
        ObjectKey("v1", "ConfigMap", ctx.namespace, "export-config"),
        ObjectKey("networking.k8s.io/v1", "NetworkPolicy", ctx.namespace, "export"),
    ]


def _text(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _policy(ctx: Context) -> Manifest:
    audit = {"to": [network.namespace_peer(ctx.platform.audit_namespace)], "ports": [{"protocol": "TCP", "port": 8443}]}
    database = {"to": [network.component("database")], "ports": [{"protocol": "TCP", "port": 5432}]}
    outside = [network.url_rule(ctx.region.vault.address), network.url_rule(ctx.region.object_store.endpoint)]
    return network.policy(ctx, NAME, NAME, egress=[database, audit, *outside])


def _config(ctx: Context, request: ExportRequest) -> dict[str, str]:
    """Return the files: the app's own configuration with the export's Vault role, and the job's."""
    documents = app_config.config(ctx)
    documents["vault"]["role"] = ctx.names.vault_role(ACCOUNT)
    vault = documents["vault"]
    job = {
        "tenant": {"id": ctx.names.id, "name": ctx.names.tenant, "region": ctx.spec.region},
        "offboarding": {"name": request.offboarding, "uid": request.uid},
        "recipient": dict(request.recipient),
        "folder": WORK,
        "spool": SPOOL,
        "bucket": request.bucket,
        "key": object_name(ctx.names.tenant, request.uid, request.recipient),
        "storeCaFile": f"{_CONFIG}/store.crt" if ctx.platform.object_store_ca else "",
        "urlsFile": f"{_RUN}/export-upload/urls.json",
        "database": {
            "host": ctx.names.service_host("database"),
            "port": 5432,
            "name": "app",
            "user": "backup",
            "passwordFile": f"{_RUN}/database-backup/password",
            "caFile": f"{_RUN}/ca/platform.crt",
        },
        "vault": {**vault, "caFile": vault["caFile"] if ctx.platform.vault_ca else ""},
        "audit": documents["audit"],
        "image": ctx.platform.images.jobs,
        "version": ctx.platform.version,
    }
    files = {"app.json": _text(documents), "job.json": _text(job)}
    return {**files, "store.crt": ctx.platform.object_store_ca} if ctx.platform.object_store_ca else files


def _job(ctx: Context, request: ExportRequest) -> Manifest:
    labels = ctx.names.labels(NAME, NAME)
    return obj(
        "batch/v1",
        "Job",
        meta(ctx, NAME, job_key(ctx, request.uid).name, NAME),
        spec={
            "backoffLimit": 2,
            "activeDeadlineSeconds": int(DEADLINE.total_seconds()),
            "template": {"metadata": {"labels": labels}, "spec": _pod(ctx)},
        },
    )


def _pod(ctx: Context) -> Manifest:
    resources = ctx.klass.jobs
    shared = [
        mount("config", _CONFIG),
        mount("ca", f"{_RUN}/ca"),
        mount("tokens", f"{_RUN}/tokens"),
        mount("work", WORK, read_only=False),
        mount("tmp", "/tmp", read_only=False),  # noqa: S108 - an emptyDir of the pod's own, in memory
    ]
    documents = container(
        ctx,
        "documents",
        app_config.image(ctx),
        resources,
        args=["export", "--out", WORK],
        env=[{"name": "CLOISTER_APP_CONFIG", "value": f"{_CONFIG}/app.json"}],
        terminationMessagePolicy="FallbackToLogsOnError",
        volumeMounts=[
            *shared,
            mount("database-app", f"{_RUN}/database-app"),
            mount("database-audit-writer", f"{_RUN}/database-audit-writer"),
        ],
    )
    pack = container(
        ctx,
        "export",
        ctx.platform.images.jobs,
        resources,
        command=["python", "-m", "tenant_operator.jobs.export", f"{_CONFIG}/job.json"],
        terminationMessagePolicy="FallbackToLogsOnError",
        volumeMounts=[
            *shared,
            mount("spool", SPOOL, read_only=False),
            mount("database-backup", f"{_RUN}/database-backup"),
            mount("upload", f"{_RUN}/export-upload"),
        ],
    )
    memory = resources.limits.memory
    volumes = [
        config_volume("config", "export-config"),
        config_volume("ca", "trust"),
        token_volume(),
        secret_volume("database-app", "database-app"),
        secret_volume("database-audit-writer", "database-audit-writer"),
        secret_volume("database-backup", "database-backup"),
        secret_volume("upload", "export-upload"),
        {"name": "work", "emptyDir": {"medium": "Memory", "sizeLimit": memory}},
        {"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}},
        {"name": "spool", "emptyDir": {}},
    ]
    return pod_spec(ctx, ACCOUNT, [pack], initContainers=[documents], volumes=volumes, restartPolicy="Never")
