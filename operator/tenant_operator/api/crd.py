"""CRDs generated from the models: `python -m tenant_operator.api.crd [--check] DIRECTORY`.

A structural schema (KEP-1693) knows no $ref, no anyOf with null and no additionalProperties beside properties; pydantic's
JSON schema has all three, so they are resolved here.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tenant_operator.api.common import API_VERSION, GROUP, VERSION, ApiModel
from tenant_operator.api.kinds import KINDS, Kind
from tenant_operator.api.names import LABEL_PART_OF, PART_OF

_DROPPED = {"title", "$defs", "additionalProperties", "discriminator", "const"}


def structural(model: type[ApiModel]) -> dict[str, Any]:
    """Return the structural OpenAPI v3 schema of a model."""
    schema = model.model_json_schema(by_alias=True, mode="validation")
    return _resolve(schema, schema.get("$defs", {}))


def _resolve(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    if "$ref" in node:
        target = definitions[node["$ref"].rsplit("/", 1)[-1]]
        siblings = {key: value for key, value in node.items() if key != "$ref"}
        return _resolve({**target, **siblings}, definitions)
    if "anyOf" in node:
        (only,) = [choice for choice in node["anyOf"] if choice.get("type") != "null"]
        siblings = {key: value for key, value in node.items() if key not in {"anyOf", "default"}}
        return _resolve({**only, **siblings}, definitions)
    out: dict[str, Any] = {key: value for key, value in node.items() if key not in _DROPPED}
    _resolve_children(node, out, definitions)
    if out.get("type") == "object":  # pydantic says length for maps, a structural schema says properties
        for ours, theirs in (("minLength", "minProperties"), ("maxLength", "maxProperties")):
            if ours in out:
                out[theirs] = out.pop(ours)
    if out.get("type") == "integer":
        out.setdefault("format", "int64")
    if _is_conditions(out):
        out["x-kubernetes-list-type"] = "map"
        out["x-kubernetes-list-map-keys"] = ["type"]
    return out


def _resolve_children(node: Mapping[str, Any], out: dict[str, Any], definitions: Mapping[str, Any]) -> None:
    if "properties" in node:
        out["properties"] = {name: _resolve(child, definitions) for name, child in node["properties"].items()}
        for name, child in out["properties"].items():
            if name not in node.get("required", ()) and _fully_defaulted(child):
                child.setdefault("default", {})
    elif isinstance(node.get("additionalProperties"), dict):
        out["additionalProperties"] = _resolve(node["additionalProperties"], definitions)
    if "items" in node:
        out["items"] = _resolve(node["items"], definitions)


def _fully_defaulted(schema: Mapping[str, Any]) -> bool:
    """Tell whether an object may be left out: then `{}` is its default, and its fields' own defaults show in the API."""
    fields = schema.get("properties", {})
    return bool(fields) and not schema.get("required") and any("default" in field for field in fields.values())


def _is_conditions(schema: Mapping[str, Any]) -> bool:
    properties = schema.get("items", {}).get("properties", {})
    return {"type", "status", "reason", "lastTransitionTime"} <= set(properties)


def crd(kind: Kind) -> dict[str, Any]:
    """Return the CustomResourceDefinition of a kind."""
    properties: dict[str, Any] = {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
        "spec": structural(kind.spec),
    }
    if kind.status:
        properties["status"] = {**structural(kind.status), "description": "What the operator observed."}
    schema: dict[str, Any] = {
        "type": "object",
        "description": kind.description,
        "required": ["spec"],
        "properties": properties,
    }
    if kind.rules:
        schema["x-kubernetes-validations"] = list(kind.rules)
    version: dict[str, Any] = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "additionalPrinterColumns": [
            {"name": c.name, "jsonPath": c.path, "type": c.type} | ({"priority": c.priority} if c.priority else {})
            for c in kind.columns
        ],
    }
    if kind.status:
        version["subresources"] = {"status": {}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}", "labels": {LABEL_PART_OF: PART_OF}},
        "spec": {
            "group": GROUP,
            "scope": "Cluster",
            "names": {
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "singular": kind.singular,
                "categories": ["cloister"],
            },
            "versions": [version],
        },
    }


class _Dumper(yaml.SafeDumper):
    """Writes shared pieces in full: anchors are hard to read and some tools refuse them."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the signature is PyYAML's
        """Never write an anchor."""
        return True


def render(kind: Kind) -> str:
    """Return a kind's CRD as YAML."""
    head = f"# Generated from tenant_operator.api ({API_VERSION}) by `make crds`. Edit the models, not this file.\n"
    return head + yaml.dump(crd(kind), Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


def main() -> int:
    """Write the CRDs into a directory, or with --check say which differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when a file differs")
    arguments = parser.parse_args()
    wanted = {arguments.directory / f"{kind.plural}.yaml": render(kind) for kind in KINDS}
    if arguments.check:
        stale = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
        extra = set(arguments.directory.glob("*.yaml")) - set(wanted)
        for path in [*stale, *sorted(extra)]:
            sys.stderr.write(f"{path} does not match the models: run `make crds`\n")
        return 1 if stale or extra else 0
    arguments.directory.mkdir(parents=True, exist_ok=True)
    for path, text in wanted.items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
