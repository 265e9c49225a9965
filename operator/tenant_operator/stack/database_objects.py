"""The database's manifests: volume, credentials, certificate, configuration, Service and StatefulSet."""

from collections.abc import Mapping, Sequence
from typing import Any

from tenant_operator.api.names import ANNOTATION_WITH, LABEL_COMPONENT
from tenant_operator.stack import render
from tenant_operator.stack.database_config import HBA, PORT, SOCKETS, TLS, postgresql_conf, storage
from tenant_operator.stack.part import Context, Manifest
from tenant_operator.stack.text import digest

NAME = "database"
"""The generation of the roles' passwords: another one is another password for each role, in Secrets and server alike."""
SUPERUSER = "postgres"
_SECRETS: Mapping[str, str] = {
    "database-superuser": SUPERUSER,
    "database-owner": "app_owner",
    "database-app": "app",
    "database-audit-writer": "audit_writer",
    "database-backup": "backup",
}
_READY = ["test", "-e", f"{SOCKETS}/ready"]
"""The entry point's own mark: the server accepts and has its password. No connection, so no lines in the log at each probe."""
_ALIVE = [
    "pg_isready",
    "--quiet",
    f"--host={SOCKETS}",
    f"--port={PORT}",
    f"--username={SUPERUSER}",
    "--dbname=postgres",
]


def files(ctx: Context) -> Sequence[Manifest]:
    """Return what the server's pod mounts, and the Service in front of it."""
    return [_volume(ctx), *_credentials(ctx), _certificate(ctx), _config(ctx), _service(ctx)]


def _meta(ctx: Context, name: str, **more: Any) -> dict[str, Any]:
    return render.meta(ctx, NAME, name, "database", **more)


def _volume(ctx: Context) -> Manifest:
    return render.obj(
        "v1",
        "PersistentVolumeClaim",
        _meta(ctx, "database-data"),
        spec={
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": ctx.region.storage_class_name,
            "resources": {"requests": {"storage": storage(ctx)}},
        },
    )


def _credentials(ctx: Context) -> list[Manifest]:
    return [
        render.secret(
            _meta(ctx, name),
            {"username": role, "password": ctx.derive.password(ctx.names.id, role, ctx.spec.credentials.epoch)},
            "kubernetes.io/basic-auth",
        )
        for name, role in _SECRETS.items()
    ]


def _certificate(ctx: Context) -> Manifest:
    host = ctx.names.service_host("database")
    hosts = (host, f"{host}.{ctx.platform.cluster_domain}", f"database.{ctx.namespace}", "database", "localhost")
    pair = ctx.derive.certificate(f"{ctx.names.id}/database", hosts, ctx.now)
    values = {"tls.crt": pair.certificate, "tls.key": pair.key, "ca.crt": ctx.derive.ca.certificate}
    return render.secret(_meta(ctx, "database-tls"), values, "kubernetes.io/tls")


def _config(ctx: Context) -> Manifest:
    data = {"postgresql.conf": postgresql_conf(ctx), "pg_hba.conf": HBA}
    return render.obj("v1", "ConfigMap", _meta(ctx, "database-config"), data=data)


def _service(ctx: Context) -> Manifest:
    return render.obj(
        "v1",
        "Service",
        _meta(ctx, "database"),
        spec={
            "type": "ClusterIP",
            "selector": {LABEL_COMPONENT: "database"},
            "ports": [{"name": "postgres", "port": PORT, "targetPort": PORT, "protocol": "TCP"}],
        },
    )


def server(ctx: Context) -> Manifest:
    """Return the StatefulSet. A changed configuration replaces the pod; a changed certificate is reloaded in place."""
    template = {
        "metadata": {
            "labels": ctx.names.labels(NAME, "database"),
            "annotations": {ANNOTATION_WITH: digest(_config(ctx)["data"])},
        },
        "spec": render.pod_spec(
            ctx,
            "database",
            [_container(ctx)],
            # a fast shutdown writes a checkpoint; killed before that, the next start replays WAL, slower but whole
            terminationGracePeriodSeconds=60,
            volumes=_volumes(),
        ),
    }
    return render.obj(
        "apps/v1",
        "StatefulSet",
        _meta(ctx, "database"),
        spec={
            "serviceName": "database",
            "replicas": 1 if ctx.running else 0,
            "revisionHistoryLimit": 1,
            "selector": {"matchLabels": {LABEL_COMPONENT: "database"}},
            "template": template,
        },
    )


def _container(ctx: Context) -> Manifest:
    ready = {"exec": {"command": _READY}, "timeoutSeconds": 5}
    return render.container(
        ctx,
        "postgres",
        ctx.platform.images.postgres,
        ctx.klass.database.resources,
        ports=[{"name": "postgres", "containerPort": PORT, "protocol": "TCP"}],
        volumeMounts=[
            render.mount("data", "/var/lib/postgresql/data", read_only=False),
            render.mount("sockets", SOCKETS, read_only=False),
            render.mount("tmp", "/tmp", read_only=False),  # noqa: S108 - an emptyDir of this pod alone
            render.mount("superuser", "/var/run/cloister/database-superuser"),
            render.mount("tls", TLS),
            render.mount("config", "/etc/cloister/postgres"),
        ],
        # ten minutes: a crash recovery of the largest max_wal_size on a slow volume
        startupProbe={**ready, "periodSeconds": 1, "failureThreshold": 600},
        readinessProbe={**ready, "periodSeconds": 5},
        livenessProbe={"exec": {"command": _ALIVE}, "timeoutSeconds": 5, "periodSeconds": 60, "failureThreshold": 5},
    )


def _volumes() -> list[Manifest]:
    return [
        {"name": "data", "persistentVolumeClaim": {"claimName": "database-data"}},
        {"name": "sockets", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
        render.secret_volume("superuser", "database-superuser"),
        render.secret_volume("tls", "database-tls"),
        render.config_volume("config", "database-config"),
    ]
