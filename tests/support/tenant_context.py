"""A Context as the operator would build it for examples/acme-pharma.yaml, for tests of parts and clients."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from tenant_operator.api.names import Names
from tenant_operator.api.region import RegionSpec
from tenant_operator.api.tenant import parse_spec
from tenant_operator.api.tenant_class import TenantClassSpec
from tenant_operator.stack.derive import Deriver
from tenant_operator.stack.part import Context, Images, Platform

EXAMPLES = Path(__file__).parents[2] / "examples"
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
IDENTITY = "6f1b9d3e-52a4-4f06-9c57-1f6b0f5c2a11"


def _example(file: str, name: str) -> dict[str, Any]:
    documents = yaml.safe_load_all((EXAMPLES / file).read_text())
    return next(
        document for document in documents if document["kind"] == "Tenant" or document["metadata"]["name"] == name
    )


def tenant_context(name: str = "acme-pharma", identity: str = IDENTITY, **changes: Any) -> Context:
    """Return the context of an example tenant; `changes` replace its fields."""
    body = _example(f"{name}.yaml", name)
    spec = parse_spec(body)
    context = Context(
        names=Names(body["metadata"]["name"], identity),
        generation=1,
        spec=spec,
        region=RegionSpec.model_validate(_example("regions.yaml", spec.region)["spec"]),
        klass=TenantClassSpec.model_validate(_example("classes.yaml", spec.class_)["spec"]),
        platform=Platform(
            Images("localhost/cloister/app:1", "localhost/cloister/postgres:1", "localhost/cloister/operator:1"), "1"
        ),
        derive=Deriver(b"s" * 32, datetime(2026, 1, 1, tzinfo=UTC)),
        now=NOW,
    )
    return replace(context, **changes)
