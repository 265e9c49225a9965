"""Small builders that every part uses, so that pods look alike and nothing forgets a rule (Pod Security `restricted`)."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from tenant_operator.api.names import AUDIT_AUDIENCE, UID, VAULT_AUDIENCE
from tenant_operator.api.tenant_class import Resources
from tenant_operator.stack.part import Context, Manifest

TOKEN_SECONDS = 600


def meta(ctx: Context, part: str, name: str, component: str | None = None, **more: Any) -> dict[str, Any]:
    """Return metadata of an object in the tenant's namespace."""
    return {"name": name, "namespace": ctx.namespace, "labels": ctx.names.labels(part, component), **more}


def obj(api_version: str, kind: str, metadata: dict[str, Any], **body: Any) -> Manifest:
    """Return a manifest."""
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **body}


def secret(metadata: dict[str, Any], values: Mapping[str, str], kind: str = "Opaque") -> Manifest:
    """Return a Secret. `data`, not `stringData`: what is applied is what is read back."""
    data = {key: base64.b64encode(value.encode()).decode() for key, value in sorted(values.items())}
    return obj("v1", "Secret", metadata, type=kind, data=data)


def region_affinity(ctx: Context) -> dict[str, Any]:
    """Return the required node affinity that pins a pod to its tenant's Region (and to its own nodes, if dedicated)."""
    expressions = [
        {"key": key, "operator": "In", "values": [value]} for key, value in sorted(ctx.region.node_selector.items())
    ]
    if ctx.spec.isolation.nodes == "dedicated":
        expressions.append({"key": "cloister.dev/tenant", "operator": "In", "values": [ctx.names.tenant]})
    terms = [{"matchExpressions": expressions}]
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}


def tolerations(ctx: Context) -> list[dict[str, Any]]:
    """Return the tolerations of a tenant with nodes of its own."""
    if ctx.spec.isolation.nodes != "dedicated":
        return []
    return [{"key": "cloister.dev/tenant", "operator": "Equal", "value": ctx.names.tenant, "effect": "NoSchedule"}]


def pod_spec(ctx: Context, service_account: str, containers: Sequence[Manifest], **more: Any) -> Manifest:
    """Return a pod spec: restricted, pinned to the Region, no mounted token, no service links."""
    spec: Manifest = {
        "serviceAccountName": service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "affinity": region_affinity(ctx),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": UID,
            "runAsGroup": UID,
            "fsGroup": UID,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": list(containers),
        **more,
    }
    if wanted := tolerations(ctx):
        spec["tolerations"] = wanted
    return spec


def container(ctx: Context, name: str, image: str, resources: Resources, **more: Any) -> Manifest:
    """Return a container that may do nothing special."""
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": ctx.platform.image_pull_policy,
        "resources": resources.manifest(),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        **more,
    }


def token_volume(name: str = "tokens", *, vault: bool = True, audit: bool = True) -> Manifest:
    """Return a projected volume with service account tokens for Vault and the audit service (docs/contracts.md)."""
    wanted = [("vault", VAULT_AUDIENCE)] * vault + [("audit", AUDIT_AUDIENCE)] * audit
    sources = [
        {"serviceAccountToken": {"path": path, "audience": audience, "expirationSeconds": TOKEN_SECONDS}}
        for path, audience in wanted
    ]
    return {"name": name, "projected": {"defaultMode": 0o440, "sources": sources}}


def secret_volume(name: str, secret_name: str) -> Manifest:
    """Return a volume of a Secret, readable by the pod's group only."""
    return {"name": name, "secret": {"secretName": secret_name, "defaultMode": 0o440}}


def config_volume(name: str, config_map: str) -> Manifest:
    """Return a volume of a ConfigMap."""
    return {"name": name, "configMap": {"name": config_map, "defaultMode": 0o444}}


def mount(name: str, path: str, *, read_only: bool = True) -> Manifest:
    """Return a volume mount."""
    found: Manifest = {"name": name, "mountPath": path}
    if read_only:
        found["readOnly"] = True
    return found
