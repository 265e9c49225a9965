"""The chart as Helm renders it, for tests that look at it or put it in force."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "cloister"
NEEDED = ("--set=apiServer.cidrs={10.89.0.1/32}",)
"""What `helm template` cannot look up without a cluster."""


def find_helm() -> str:
    """Return the helm on the PATH, or the one that the local cluster built. Raises AssertionError when there is none."""
    cache = Path(os.environ.get("CLOISTER_CACHE") or Path.home() / ".cache" / "cloister")
    built = sorted(cache.glob("bin/helm-*/helm"), key=lambda path: path.stat().st_mtime)
    found = shutil.which("helm") or (str(built[-1]) if built else None)
    assert found, f"no helm on the PATH nor under {cache}: run `make up` first, it builds one"
    return found


def helm(*args: str) -> subprocess.CompletedProcess[str]:
    """Run helm; the caller judges its exit code."""
    return subprocess.run([find_helm(), *args], capture_output=True, text=True, check=False, timeout=120)


class _Strict(yaml.SafeLoader):
    """Refuses a key that is there twice, which YAML and Helm take for the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        assert not twice, f"{', '.join(sorted(twice))}: there twice in one mapping, {node.start_mark}"
        return super().construct_mapping(node, deep)


def template(*args: str, chart: Path = CHART) -> list[dict[str, Any]]:
    """Return the objects the chart renders. Raises AssertionError with Helm's own words when it does not."""
    done = helm("template", "cloister", str(chart), "--namespace=cloister-system", *NEEDED, *args)
    assert done.returncode == 0, done.stderr
    return [item for item in yaml.load_all(done.stdout, _Strict) if item]


def of(objects: list[dict[str, Any]], kind: str, name: str | None = None) -> list[dict[str, Any]]:
    """Return the objects of a kind, or of one name."""
    return [item for item in objects if item["kind"] == kind and name in {None, item["metadata"]["name"]}]


def pod_specs(objects: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the pods of Deployments and StatefulSets."""
    for item in of(objects, "Deployment") + of(objects, "StatefulSet"):
        yield item["spec"]["template"]["spec"]


def rules(objects: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each rule of each role, with the role's name."""
    for item in of(objects, "ClusterRole") + of(objects, "Role"):
        for rule in item["rules"]:
            yield item["metadata"]["name"], rule


def webhooks(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the two registrations of the admission webhook."""
    return of(objects, "MutatingWebhookConfiguration") + of(objects, "ValidatingWebhookConfiguration")
