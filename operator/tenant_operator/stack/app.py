"""The document platform of one tenant: its configuration, its pods, its Service, and what it may reach."""

import json
from collections.abc import Sequence
from typing import Any

from tenant_operator.api.names import ANNOTATION_WITH
from tenant_operator.api.reasons import ConditionType, Reason
from tenant_operator.api.tenant import InventoryItem
from tenant_operator.stack import keys
from tenant_operator.stack.app_config import PORT, WORKFLOW_FILE, config, image, named_secrets, version
from tenant_operator.stack.app_config import RUN as _RUN
from tenant_operator.stack.database import provisioned
from tenant_operator.stack.part import Context, Desired, Evidence, Finding, Manifest, ObjectKey, Observed, Removal
from tenant_operator.stack.pods import why_not_ready
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
from tenant_operator.stack.text import digest

NAME = "app"
WAVE_CONFIG = 40
WAVE_WORKLOAD = 50


def _configuration(ctx: Context) -> list[Manifest]:
    bind = ctx.bind_secret
    directory = {
        "bindDN": bind.get("bindDN", ""),
        "password": bind.get("password", ""),
        "ca.crt": bind.get(ctx.spec.identity.ldap.tls.ca_secret_key, ""),
    }
    trust = {"platform.crt": ctx.derive.ca.certificate, "vault.crt": ctx.platform.vault_ca}
    return [
        _certificate(ctx),
        secret(meta(ctx, NAME, "directory"), directory),
        *_named(ctx),
        obj("v1", "ConfigMap", meta(ctx, NAME, "trust"), data=trust),
        obj("v1", "ConfigMap", meta(ctx, NAME, "app-config"), data=_files(ctx)),
    ]


def _files(ctx: Context) -> dict[str, str]:
    own = {WORKFLOW_FILE.rpartition("/")[2]: ctx.workflow} if ctx.workflow else {}
    return {"config.json": _text(config(ctx)), **own}


def _named(ctx: Context) -> list[Manifest]:
    values = named_secrets(ctx)
    return [secret(meta(ctx, NAME, "app-named"), values)] if values else []


def _certificate(ctx: Context) -> Manifest:
    """Return the Secret `app-tls` from our own authority, or the request that makes cert-manager fill it (DESIGN §5)."""
    hosts = (ctx.spec.hostname, ctx.names.service_host("app"), "localhost")
    if ctx.platform.cert_manager_issuer:
        spec = {
            "secretName": "app-tls",
            "dnsNames": [ctx.spec.hostname],
            "issuerRef": {
                "group": "cert-manager.io",
                "kind": "ClusterIssuer",
                "name": ctx.platform.cert_manager_issuer,
            },
            "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"},
        }
        return obj("cert-manager.io/v1", "Certificate", meta(ctx, NAME, "app-tls"), spec=spec)
    serving = ctx.derive.certificate(f"app/{ctx.names.id}", hosts, ctx.now)
    tls = {"tls.crt": serving.certificate, "tls.key": serving.key, "ca.crt": ctx.derive.ca.certificate}
    return secret(meta(ctx, NAME, "app-tls"), tls, "kubernetes.io/tls")


def _text(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _probe(path: str, **more: int) -> Manifest:
    return {"httpGet": {"path": path, "port": "https", "scheme": "HTTPS"}, "timeoutSeconds": 3, **more}


def _pod(ctx: Context) -> Manifest:
    base = [
        mount("config", "/etc/cloister/app"),
        mount("ca", f"{_RUN}/ca"),
        mount("tmp", "/tmp", read_only=False),  # noqa: S108 - an emptyDir of the pod's own
    ]
    serve = [
        *base,
        mount("tls", f"{_RUN}/tls"),
        mount("tokens", f"{_RUN}/tokens"),
        mount("directory", f"{_RUN}/directory"),
        mount("database-app", f"{_RUN}/database-app"),
        mount("database-audit-writer", f"{_RUN}/database-audit-writer"),
    ]
    if named_secrets(ctx):
        serve.append(mount("named", f"{_RUN}/named"))
    environment = [{"name": "CLOISTER_APP_CONFIG", "value": "/etc/cloister/app/config.json"}]
    common = {"env": environment}
    resources = ctx.klass.app.resources
    owner = mount("database-owner", f"{_RUN}/database-owner")
    migrate = container(ctx, "migrate", image(ctx), resources, args=["migrate"], volumeMounts=[*base, owner], **common)
    main = container(
        ctx,
        "app",
        image(ctx),
        resources,
        args=["serve"],
        ports=[{"name": "https", "containerPort": PORT, "protocol": "TCP"}],
        startupProbe=_probe("/healthz", periodSeconds=1, failureThreshold=60),
        readinessProbe=_probe("/readyz", periodSeconds=3, failureThreshold=3),
        livenessProbe=_probe("/healthz", periodSeconds=10, failureThreshold=6),
        volumeMounts=serve,
        **common,
    )
    volumes = [
        config_volume("config", "app-config"),
        config_volume("ca", "trust"),
        secret_volume("tls", "app-tls"),
        secret_volume("directory", "directory"),
        secret_volume("database-app", "database-app"),
        secret_volume("database-audit-writer", "database-audit-writer"),
        secret_volume("database-owner", "database-owner"),
        token_volume(),
        {"name": "tmp", "emptyDir": {"sizeLimit": "256Mi"}},
    ]
    if named_secrets(ctx):
        volumes.append(secret_volume("named", "app-named"))
    return pod_spec(ctx, "app", [main], initContainers=[migrate], volumes=volumes, terminationGracePeriodSeconds=20)


def _deployment(ctx: Context) -> Manifest:
    labels = ctx.names.labels(NAME, "app")
    # Raised credentials replace the pods too: they hold connections that were opened with the old password.
    rolled = digest([ctx.spec.credentials.epoch, *(item.get("data") for item in _configuration(ctx))])
    return obj(
        "apps/v1",
        "Deployment",
        meta(ctx, NAME, "app", "app"),
        spec={
            "replicas": ctx.klass.app.replicas if ctx.running else 0,
            "selector": {"matchLabels": {"app.kubernetes.io/component": "app"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {"metadata": {"labels": labels, "annotations": {ANNOTATION_WITH: rolled}}, "spec": _pod(ctx)},
        },
    )


def _around(ctx: Context) -> list[Manifest]:
    select = {"app.kubernetes.io/component": "app"}
    service = obj(
        "v1",
        "Service",
        meta(ctx, NAME, "app", "app"),
        spec={
            "selector": select,
            "ports": [{"name": "https", "port": PORT, "targetPort": "https", "protocol": "TCP"}],
        },
    )
    budget = obj(
        "policy/v1",
        "PodDisruptionBudget",
        meta(ctx, NAME, "app", "app"),
        spec={"maxUnavailable": 1, "selector": {"matchLabels": select}},
    )
    return [service, budget, *_ingress(ctx)]


def _ingress(ctx: Context) -> list[Manifest]:
    if not ctx.platform.ingress_class:
        return []
    backend = {"service": {"name": "app", "port": {"name": "https"}}}
    rule = {"host": ctx.spec.hostname, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
    annotations = {"nginx.ingress.kubernetes.io/backend-protocol": "HTTPS"}
    metadata = meta(ctx, NAME, "app", "app", annotations=annotations)
    spec = {"ingressClassName": ctx.platform.ingress_class, "rules": [rule], "tls": [{"hosts": [ctx.spec.hostname]}]}
    return [obj("networking.k8s.io/v1", "Ingress", metadata, spec=spec)]


def desired(ctx: Context) -> Sequence[Desired]:
    """Return the configuration, and the workload last: when the keys are there and the database is provisioned."""

    def gate(seen: Observed) -> bool:
        return keys.keys_ready(ctx, seen) and provisioned(seen)

    before = [Desired(manifest, wave=WAVE_CONFIG) for manifest in (*_configuration(ctx), *_around(ctx))]
    return [*before, Desired(_deployment(ctx), wave=WAVE_WORKLOAD, gate=gate if ctx.running else None)]


def checks(ctx: Context, seen: Observed) -> Sequence[Finding]:
    """Return AppReady."""
    kind = ConditionType.APP_READY
    if not ctx.running:
        return [Finding(kind, "False", Reason.SUSPENDED, "the app is stopped")]
    live = seen.objects.get(ObjectKey("apps/v1", "Deployment", ctx.namespace, "app"))
    if live is None:
        return [Finding(kind, "False", Reason.WAITING, "waits for the keys and the database")]
    status = live.get("status", {})
    wanted = ctx.klass.app.replicas
    fresh = status.get("observedGeneration", 0) >= live["metadata"].get("generation", 0)
    if fresh and status.get("updatedReplicas", 0) == wanted and status.get("availableReplicas", 0) >= wanted:
        if status.get("replicas", 0) > wanted:
            return [Finding(kind, "True", Reason.ROLLING_OUT, "the new version serves, the old one is going")]
        return [Finding(kind, "True", Reason.SERVING, f"{wanted} of {wanted} pods serve version {version(ctx)}")]
    reason, message = why_not_ready(seen, "app", Reason.ROLLING_OUT, live)
    return [Finding(kind, "False", reason, message)]


def teardown(ctx: Context) -> Sequence[Removal]:
    """Return the workload: it goes first."""
    key = ObjectKey("apps/v1", "Deployment", ctx.namespace, "app")
    return [Removal(key, "no pod of the app is listed in the namespace")]


def inventory(ctx: Context, seen: Observed) -> Sequence[InventoryItem]:  # noqa: ARG001 - one of the five questions
    """Return nothing: the app keeps no bytes but in its database; its /tmp goes with the pod."""
    return []


def proof(ctx: Context, seen: Observed) -> Sequence[Evidence]:
    """Return the image that was specified and the ones that run."""
    running = {c["image"] for pod in seen.pods("app") for c in pod["spec"]["containers"]}
    return [Evidence("image of the app", image(ctx), ", ".join(sorted(running)))]
