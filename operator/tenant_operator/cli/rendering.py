"""The stack that a Tenant would become, rendered here as the operator would render it, but without its secrets.

The root seed is the operator's alone, so values derived from it are stand-ins. Rendering twice with two different stand-ins
tells which paths depend on them; those say nothing about a live object and are left out of every comparison.
"""

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from tenant_operator.api.names import Names
from tenant_operator.api.region import RegionSpec
from tenant_operator.api.tenant import TenantSpec
from tenant_operator.api.tenant_class import TenantClassSpec
from tenant_operator.cli.kube import Kube, ours
from tenant_operator.cli.problems import Exit, ProblemError
from tenant_operator.reconcile import preflight
from tenant_operator.reconcile.compare import differences
from tenant_operator.stack.app_config import secrets_named
from tenant_operator.stack.derive import Deriver
from tenant_operator.stack.part import Context, Desired, ExternalKey, Images, Manifest, ObjectKey, Platform
from tenant_operator.stack.parts import PARTS

SYSTEM = "cloister-system"
UNKNOWN_ID = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True)
class Stack:
    """What a Tenant becomes: objects, what is outside Kubernetes, and which part makes each."""

    objects: dict[ObjectKey, Manifest]
    hidden: dict[ObjectKey, frozenset[str]]
    outside: dict[ExternalKey, dict[str, Any]]
    part_of: dict[ObjectKey | ExternalKey, str]
    create_only: frozenset[ObjectKey]


def parse(body: dict[str, Any], where: str) -> TenantSpec:
    """Return the spec of a Tenant. Raises ProblemError that names each wrong field."""
    try:
        return TenantSpec.model_validate(body.get("spec") or {})
    except ValidationError as error:
        said = "\n".join(f"  spec.{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise ProblemError(f"{where} is not a valid Tenant:\n{said}", hint="kubectl explain tenant.spec") from error


def context(kube: Kube, tenant: str, number: str | None, spec: TenantSpec) -> Context:
    """Return what the parts need to know. Raises ProblemError when the operator would refuse the Tenant."""
    region, klass = kube.find(ours("regions", spec.region)), kube.find(ours("tenantclasses", spec.class_))
    served = [item["metadata"]["name"] for item in kube.items(ours("regions"))]
    offered = [item["metadata"]["name"] for item in kube.items(ours("tenantclasses"))]
    wrong = (
        preflight.region(spec, region, served) or preflight.klass(spec, klass, offered) or preflight.spec_errors(spec)
    )
    if wrong or region is None or klass is None:
        raise ProblemError(wrong.message if wrong else "the Region or the class is gone")
    ca_key = spec.identity.ldap.tls.ca_secret_key
    return Context(
        names=Names(tenant, number or UNKNOWN_ID),
        generation=1,
        spec=spec,
        region=RegionSpec.model_validate(region["spec"]),
        klass=TenantClassSpec.model_validate(klass["spec"]),
        platform=_platform(kube),
        derive=Deriver(bytes(32), datetime(2024, 1, 1, tzinfo=UTC)),
        now=datetime.now(UTC),
        running=not spec.suspend,
        bind_secret={"bindDN": "one", "password": "one", ca_key: "one"},
        workflow="one" if spec.signatures.workflow else "",
        secrets={item.name: dict.fromkeys(item.keys, "one") for item in secrets_named(spec)},
    )


def _platform(kube: Kube) -> Platform:
    """Return the installation's facts, as the chart wrote them for the operator."""
    found = kube.find(f"/api/v1/namespaces/{SYSTEM}/configmaps/cloister-operator")
    if found is None:
        hint = "Install the chart first: helm install cloister charts/cloister -n cloister-system --create-namespace"
        raise ProblemError(f"Cloister is not installed in {SYSTEM}", hint=hint, code=Exit.NOT_FOUND)
    config = json.loads(found["data"]["config.json"])
    images = config["images"]
    return Platform(
        images=Images(images["app"], images["postgres"], images["jobs"], images.get("pdfaJudge", "")),
        version=config["version"],
        audit_namespace=config["auditNamespace"],
        audit_url=config["auditUrl"],
        cluster_domain=config["clusterDomain"],
        dns=config["dns"],
        image_pull_policy=config["imagePullPolicy"],
        ingress_class=config.get("ingressClass"),
        extra_ingress_cidrs=tuple(config["extraIngressCidrs"]),
        vault_ca="one",
        object_store_ca="one",
    )


def stack(ctx: Context) -> Stack:
    """Return the whole stack."""
    other = replace(
        ctx,
        derive=Deriver(bytes([1]) * 32, ctx.derive.created),
        bind_secret=dict.fromkeys(ctx.bind_secret, "two"),
        workflow="two" if ctx.workflow else "",
        secrets={name: dict.fromkeys(values, "two") for name, values in ctx.secrets.items()},
        platform=replace(ctx.platform, vault_ca="two", object_store_ca="two"),
    )
    objects: dict[ObjectKey, Manifest] = {}
    outside: dict[ExternalKey, dict[str, Any]] = {}
    part_of: dict[ObjectKey | ExternalKey, str] = {}
    once = set()
    for part in PARTS:
        for item in part.desired(ctx):
            part_of[item.key] = part.NAME
            if isinstance(item, Desired):
                objects[item.key] = item.manifest
                once |= {item.key} if item.create_only else set()
            else:
                outside[item.key] = dict(item.spec)
    twins = {item.key: item.manifest for part in PARTS for item in part.desired(other) if isinstance(item, Desired)}
    hidden = {key: frozenset(differences(manifest, twins[key])) for key, manifest in objects.items() if key in twins}
    return Stack(objects, hidden, outside, part_of, frozenset(once))
