"""The API server as the command line sees it, in memory: objects by path, and a note of every request."""

import itertools
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl

import yaml

from tenant_operator.api.kinds import BY_KIND
from tenant_operator.cli.kube import Object, ours
from tenant_operator.cli.problems import Exit, ProblemError
from tests.support.helm import ROOT

CONFIG = {
    "images": {"app": "r/app:1", "postgres": "r/postgres:1", "jobs": "r/operator:1"},
    "version": "1",
    "auditNamespace": "cloister-audit",
    "auditUrl": "https://audit.cloister-audit.svc:8443",
    "clusterDomain": "cluster.local",
    "dns": {"k8s-app": "kube-dns"},
    "imagePullPolicy": "IfNotPresent",
    "extraIngressCidrs": [],
}


class FakeKube:
    """Stands in for `cli.kube.Kube`."""

    context = kubeconfig = None

    def __init__(self, user: str = "alice") -> None:
        self.user = user
        self.objects: dict[str, Object] = {}
        self.requests: list[tuple[str, str, Any]] = []
        self.log_lines: list[str] = []
        self.refusal: ProblemError | None = None
        self._numbers = itertools.count(1)
        for name in ("regions", "classes"):
            for item in yaml.safe_load_all((ROOT / "examples" / f"{name}.yaml").read_text()):
                self.put(item)
        data = {"data": {"config.json": json.dumps(CONFIG)}, "metadata": {"name": "cloister-operator"}}
        self.objects["/api/v1/namespaces/cloister-system/configmaps/cloister-operator"] = data

    def put(self, item: Object, **status: Any) -> Object:
        """Have one of our own objects exist."""
        meta = {"creationTimestamp": "2026-11-23T00:00:00Z", "generation": 1, "uid": f"uid-{next(self._numbers)}"}
        whole = {**item, "metadata": {**meta, **item["metadata"]}}
        if status:
            whole["status"] = status
        self.objects[ours(BY_KIND[item["kind"]].plural, item["metadata"]["name"])] = whole
        return whole

    def call(self, method: str, path: str, body: Any = None, *, kind: str = "", query: Any = None) -> Object:
        """Answer as the API server would."""
        self.requests.append((method, path, body))
        if self.refusal and method != "GET":
            raise self.refusal
        if method == "POST":
            meta = body["metadata"]
            name = meta.get("name") or f"{meta['generateName']}{next(self._numbers)}"
            return self.put({**body, "metadata": {"name": name}})
        if method == "GET" and path not in self.objects:
            prefix = f"{path}/"
            return {"items": [item for key, item in self.objects.items() if key.startswith(prefix)]}
        if method == "DELETE":
            self.objects.pop(path)
        return self.objects.get(path, {})

    def find(self, path: str) -> Object | None:
        """Return an object or None."""
        return self.objects.get(path)

    def items(self, path: str, **query: str) -> list[Object]:
        """Return the objects below a path that carry the label asked for."""
        found = list(self.call("GET", path)["items"])
        for key, value in parse_qsl(query.get("labelSelector", "")):
            found = [item for item in found if item["metadata"].get("labels", {}).get(key) == value]
        return found

    def lines(self, path: str, **query: str) -> Iterator[str]:
        """Return the log."""
        self.requests.append(("LOG", path, query))
        return iter(self.log_lines)

    def me(self) -> str:
        """Return the user."""
        return self.user


def missing(path: str) -> ProblemError:
    """Return what the API server says of something that is not there."""
    return ProblemError(f"{path} not found", code=Exit.NOT_FOUND)
