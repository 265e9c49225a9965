"""Builders of tenants, regions and classes for tests: the examples themselves, so that what is shown is what is tested."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import yaml

from tenant_operator.api.names import Names
from tenant_operator.api.region import RegionSpec
from tenant_operator.api.tenant import TenantSpec
from tenant_operator.api.tenant_class import TenantClassSpec
from tenant_operator.stack.derive import Deriver
from tenant_operator.stack.part import Context, Images, Platform

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ACME = Names("acme-pharma", "0a1b2c3d-0000-4000-8000-000000000001")
GLOBEX = Names("globex-bio", "0a1b2c3d-0000-4000-8000-000000000002")
DERIVE = Deriver(bytes(range(32)), datetime(2026, 1, 1, tzinfo=UTC))
PLATFORM = Platform(
    images=Images("localhost/cloister/app:1", "localhost/cloister/postgres:1", "localhost/cloister/operator:1"),
    version="0.1.0",
    vault_ca="VAULT CA",
    object_store_ca="STORE CA",
)


def documents(name: str) -> list[dict]:
    """Return the objects of an example file."""
    return [item for item in yaml.safe_load_all((EXAMPLES / f"{name}.yaml").read_text()) if item]


def tenant_body(names: Names = ACME) -> dict:
    """Return the example Tenant of that name."""
    (body,) = [item for item in documents(names.tenant) if item["kind"] == "Tenant"]
    return body


def context(names: Names = ACME, *, running: bool = True, **spec: object) -> Context:
    """Return the context of an example tenant, its spec's top-level fields replaced as given."""
    parsed = TenantSpec.model_validate({**tenant_body(names)["spec"], **spec})
    regions = {item["metadata"]["name"]: item["spec"] for item in documents("regions")}
    classes = {item["metadata"]["name"]: item["spec"] for item in documents("classes")}
    return Context(
        names=names,
        generation=1,
        spec=parsed,
        region=RegionSpec.model_validate(regions[parsed.region]),
        klass=TenantClassSpec.model_validate(classes[parsed.class_]),
        platform=PLATFORM,
        derive=DERIVE,
        now=NOW,
        running=running,
        bind_secret={"bindDN": "cn=reader", "password": "directory-password", "ca.crt": "DIRECTORY CA"},
    )


def with_pdfa_judge(ctx: Context) -> Context:
    """Return the context in an installation that names an image for the PDF/A validator."""
    images = replace(ctx.platform.images, pdfa_judge="localhost/cloister/pdfa-judge:1")
    return replace(ctx, platform=replace(ctx.platform, images=images))


def at(ctx: Context, now: datetime) -> Context:
    """Return the context at another time."""
    return replace(ctx, now=now)
