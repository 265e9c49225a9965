"""veraPDF for the tenant's app, in a pod of its own that can reach nothing (docs/adr/0011).

It is there when the installation names an image for it and the Tenant asks for PDF/A. It gets hostile files by design, so it
holds no token, no secret but the key of its certificate, and no way out: not even to the cluster's DNS.
"""

from collections.abc import Sequence
from typing import Any

from tenant_operator.api.names import ANNOTATION_WITH, LABEL_COMPONENT
from tenant_operator.api.reasons import ConditionType, Reason
from tenant_operator.api.tenant import InventoryItem
from tenant_operator.api.tenant_class import Amounts, Resources
from tenant_operator.stack.database_config import quantity
from tenant_operator.stack.part import Context, Desired, Evidence, Finding, Manifest, ObjectKey, Observed, Removal
from tenant_operator.stack.pods import why_not_ready
from tenant_operator.stack.render import container, meta, mount, obj, pod_spec, secret, secret_volume
from tenant_operator.stack.text import digest

NAME = COMPONENT = "pdfa-judge"
PORT = 8443
SECONDS = 50
"""What one file may take, its wait for others included."""
PATIENCE = 60
"""What the app waits: longer, so that the judge's own answer is what it gets."""
_TLS = "/var/run/cloister/tls"
_WAVE = 40
_MIB = 1024**2
_FIXED_MIB = 832
"""Java's heap of 512 MiB and what it needs beside it, and the server's own 100 MiB."""


def wanted(ctx: Context) -> bool:
    """Tell whether this tenant has one."""
    return bool(ctx.platform.images.pdfa_judge) and ctx.spec.records.pdfa == "claimed"


def app_settings(ctx: Context) -> dict[str, Any]:
    """Return what the app's `uploads` section says of it; nothing when there is none."""
    if not wanted(ctx):
        return {}
    return {
        "pdfaJudgeUrl": f"https://{ctx.names.service_host(COMPONENT)}:{PORT}/",
        "pdfaJudgeCaFile": "/var/run/cloister/ca/platform.crt",
        "pdfaJudgeSeconds": PATIENCE,
    }


def _max_bytes(ctx: Context) -> int:
    return int(quantity(ctx.spec.records.max_upload))


def _resources(ctx: Context) -> Resources:
    """Return room for the largest file three times: as received, as handed on, and as the validator keeps it in /tmp."""
    memory = f"{_FIXED_MIB + 3 * -(-_max_bytes(ctx) // _MIB)}Mi"
    return Resources(requests=Amounts(cpu="10m", memory="64Mi"), limits=Amounts(cpu="1", memory=memory))


def _certificate(ctx: Context) -> Manifest:
    hosts = (ctx.names.service_host(COMPONENT), "localhost")
    pair = ctx.derive.certificate(f"{ctx.names.id}/{COMPONENT}", hosts, ctx.now)
    values = {"tls.crt": pair.certificate, "tls.key": pair.key}
    return secret(meta(ctx, NAME, "pdfa-judge-tls", COMPONENT), values, "kubernetes.io/tls")


def _service(ctx: Context) -> Manifest:
    ports = [{"name": "https", "port": PORT, "targetPort": "https", "protocol": "TCP"}]
    spec = {"selector": {LABEL_COMPONENT: COMPONENT}, "ports": ports}
    return obj("v1", "Service", meta(ctx, NAME, COMPONENT, COMPONENT), spec=spec)


def _probe(**more: int) -> Manifest:
    return {"httpGet": {"path": "/healthz", "port": "https", "scheme": "HTTPS"}, "timeoutSeconds": 5, **more}


def _pod(ctx: Context) -> Manifest:
    size = _max_bytes(ctx)
    options = {"cert-file": f"{_TLS}/tls.crt", "key-file": f"{_TLS}/tls.key", "seconds": SECONDS, "max-bytes": size}
    judge = container(
        ctx,
        COMPONENT,
        ctx.platform.images.pdfa_judge,
        _resources(ctx),
        args=[f"--{name}={value}" for name, value in options.items()],
        ports=[{"name": "https", "containerPort": PORT, "protocol": "TCP"}],
        startupProbe=_probe(periodSeconds=2, failureThreshold=60),
        readinessProbe=_probe(periodSeconds=5, failureThreshold=3),
        livenessProbe=_probe(periodSeconds=20, failureThreshold=6),
        volumeMounts=[
            mount("tls", _TLS),
            mount("tmp", "/tmp", read_only=False),  # noqa: S108 - an emptyDir of the pod's own
        ],
    )
    volumes = [
        secret_volume("tls", "pdfa-judge-tls"),
        # In memory: what people upload touches no disk in the clear.
        {"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": f"{-(-size // _MIB) + 16}Mi"}},
    ]
    # A file that is being looked at may be looked at to its end.
    return pod_spec(ctx, COMPONENT, [judge], volumes=volumes, terminationGracePeriodSeconds=SECONDS + 10)


def _deployment(ctx: Context) -> Manifest:
    rolled = digest([_certificate(ctx)["data"]])
    template = {
        "metadata": {"labels": ctx.names.labels(NAME, COMPONENT), "annotations": {ANNOTATION_WITH: rolled}},
        "spec": _pod(ctx),
    }
    return obj(
        "apps/v1",
        "Deployment",
        meta(ctx, NAME, COMPONENT, COMPONENT),
        spec={
            "replicas": 1 if ctx.running else 0,
            "revisionHistoryLimit": 1,
            "selector": {"matchLabels": {LABEL_COMPONENT: COMPONENT}},
            # The quota is sized for one; while a new one starts, an upload is told to come again.
            "strategy": {"type": "Recreate"},
            "template": template,
        },
    )


def desired(ctx: Context) -> Sequence[Desired]:
    """Return the judge, with the app's configuration and before the app; nothing for a tenant without one."""
    if not wanted(ctx):
        return []
    account = obj("v1", "ServiceAccount", meta(ctx, NAME, COMPONENT, COMPONENT), automountServiceAccountToken=False)
    manifests = (account, _certificate(ctx), _service(ctx), _deployment(ctx))
    return [Desired(manifest, wave=_WAVE) for manifest in manifests]


def checks(ctx: Context, seen: Observed) -> Sequence[Finding]:
    """Return that the app is not ready while its judge is not: PDFs would be refused. Nothing else is claimed."""
    if not (wanted(ctx) and ctx.running):
        return []
    live = seen.objects.get(ObjectKey("apps/v1", "Deployment", ctx.namespace, COMPONENT))
    if live is not None and live.get("status", {}).get("availableReplicas", 0) >= 1:
        return []
    reason, message = why_not_ready(seen, COMPONENT, Reason.PROGRESSING, live)
    return [Finding(ConditionType.APP_READY, "False", reason, f"PDFs wait for their PDF/A validator: {message}")]


def teardown(ctx: Context) -> Sequence[Removal]:
    """Return the workload: it goes with the app."""
    if not wanted(ctx):
        return []
    key = ObjectKey("apps/v1", "Deployment", ctx.namespace, COMPONENT)
    return [Removal(key, "no pod of the PDF/A validator is listed in the namespace")]


def inventory(ctx: Context, seen: Observed) -> Sequence[InventoryItem]:  # noqa: ARG001 - one of the five questions
    """Return nothing: a file is in memory until its verdict."""
    return []


def proof(ctx: Context, seen: Observed) -> Sequence[Evidence]:
    """Return the image that was specified and the one that runs."""
    if not wanted(ctx):
        return []
    running = {item["image"] for pod in seen.pods(COMPONENT) for item in pod["spec"]["containers"]}
    return [Evidence("image of the PDF/A validator", ctx.platform.images.pdfa_judge, ", ".join(sorted(running)))]
