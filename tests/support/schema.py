"""The CRDs as data: every rule and every limit in them, and a wrong value for each, so that none goes untried."""

import re
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

CRDS = Path(__file__).resolve().parents[2] / "crds"
_TRIED = (
    "pattern", "enum", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "minProperties",
    "maxProperties",
)  # fmt: skip
_WRONG = ("", "!", "-", "no such thing", "http://x", "A_B", "x" * 30, "1")
Path_ = tuple[str | int, ...]


@dataclass(frozen=True)
class Limit:
    """One limit of one field."""

    kind: str
    path: Path_
    name: str
    value: Any

    @property
    def id(self) -> str:
        """The name of the test case."""
        return f"{self.kind}.{dotted(self.path)} {self.name}"


@cache
def documents() -> dict[str, dict[str, Any]]:
    """Return the CRDs by kind."""
    loaded = [yaml.safe_load(path.read_text()) for path in sorted(CRDS.glob("*.yaml"))]
    return {item["spec"]["names"]["kind"]: item for item in loaded}


def schema(kind: str) -> dict[str, Any]:
    """Return a kind's schema."""
    found: dict[str, Any] = documents()[kind]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


def dotted(path: Path_) -> str:
    """Return a path as the API server writes it."""
    return re.sub(r"\.\[", "[", ".".join(f"[{part}]" if isinstance(part, int) else part for part in path))


def _nodes(node: dict[str, Any], path: Path_ = ()) -> Iterator[tuple[Path_, dict[str, Any]]]:
    """Yield every node of a spec; lists by their first item. What is written by the operator alone (status) is left out."""
    yield path, node
    for name, child in node.get("properties", {}).items():
        if path or name == "spec":
            yield from _nodes(child, (*path, name))
    if "items" in node:
        yield from _nodes(node["items"], (*path, 0))


def rules() -> list[tuple[str, str, str]]:
    """Return every CEL rule: kind, path, message; status and all."""

    def walk(kind: str, node: Any, path: str) -> Iterator[tuple[str, str, str]]:
        if isinstance(node, dict):
            for rule in node.get("x-kubernetes-validations", ()):
                yield kind, path, rule["message"]
            for name, child in node.items():
                if name != "x-kubernetes-validations":
                    yield from walk(
                        kind, child, path if name in {"properties", "items"} else f"{path}.{name}".strip(".")
                    )

    return [found for kind in documents() for found in walk(kind, schema(kind), "")]


def limits() -> list[Limit]:
    """Return every limit of every field that a person writes."""
    found = []
    for kind in documents():
        for path, node in _nodes(schema(kind)):
            found += [Limit(kind, path, name, node[name]) for name in _TRIED if name in node]
            found += [Limit(kind, (*path, name), "required", True) for name in node.get("required", ()) if path or name]
    return found


def closed() -> list[tuple[str, Path_]]:
    """Return every object that knows its fields: an unknown one in it is refused."""
    return [(kind, path) for kind in documents() for path, node in _nodes(schema(kind)) if node.get("properties")]


def defaults(kind: str) -> list[tuple[Path_, Any]]:
    """Return the defaults that show in an object in which a person left everything out that may be left out."""
    nodes = dict(_nodes(schema(kind)))

    def shows(path: Path_) -> bool:
        """Tell whether an object is there although nobody wrote it: it must be, or has a default."""
        return len(path) <= 1 or (
            ("default" in nodes[path] or path[-1] in nodes[path[:-1]].get("required", ())) and shows(path[:-1])
        )

    return [
        (path, node["default"]) for path, node in nodes.items() if "default" in node and 0 not in path and shows(path)
    ]


def at(body: Any, path: Path_) -> Any:
    """Return the value at a path. Raises AssertionError naming what lacks."""
    value = body
    for part in path:
        try:
            value = value[part]
        except (KeyError, IndexError) as error:
            raise AssertionError(f"the sample has no {dotted(path)}: the accept case must fill every field") from error
    return value


def put(body: dict[str, Any], path: Path_, value: Any) -> dict[str, Any]:
    """Return a copy with another value at a path."""
    copy = deepcopy(body)
    at(copy, path[:-1])[path[-1]] = value
    return copy


def without(body: dict[str, Any], path: Path_) -> dict[str, Any]:
    """Return a copy that lacks a field."""
    copy = deepcopy(body)
    del at(copy, path[:-1])[path[-1]]
    return copy


def broken(body: dict[str, Any], limit: Limit) -> tuple[dict[str, Any], str]:
    """Return the sample with exactly this limit broken, and a word of the API server's complaint."""
    old, most = at(body, limit.path), limit.value
    if limit.name == "required":
        return without(body, limit.path), "Required value"
    node = next(n for p, n in _nodes(schema(limit.kind)) if p == limit.path)
    wrong, words = {
        "pattern": lambda: (_unlike(most, node), "should match"),
        "enum": lambda: ("nonsense", "supported values"),
        "minimum": lambda: (most - 1, "should be greater than or equal to"),
        "maximum": lambda: (most + 1, "should be less than or equal to"),
        "minLength": lambda: ("x" * (most - 1), "should be at least"),
        "maxLength": lambda: (str(old) + "x" * (most + 1 - len(str(old))), "may not be more than"),
        "minItems": lambda: (old[: most - 1], "should have at least"),
        "maxItems": lambda: ([old[0]] * (most + 1), "must have at most"),
        "minProperties": lambda: ({}, "should have at least"),
        "maxProperties": lambda: ({f"k{i}": "v" for i in range(most + 1)}, "must have at most"),
    }[limit.name]()
    return put(body, limit.path, wrong), words


def _unlike(pattern: str, node: dict[str, Any]) -> str:
    """Return a text that a pattern refuses and nothing else does."""
    low, high = node.get("minLength", 0), node.get("maxLength", 10**6)
    candidates = (wrong for wrong in _WRONG if low <= len(wrong) <= high and not re.search(pattern, wrong))
    found = next(candidates, None) or "! " * low
    assert not re.search(pattern, found), f"no text at hand that {pattern} refuses"
    return found
