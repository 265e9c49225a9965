"""A small client of the local cluster's API server: JSON over one kept connection.

kubectl takes a tenth of a second to start, and its output has to be read back; with this a second
`up` over everything it manages takes a moment.
"""

from __future__ import annotations

import http.client
import json
import ssl
import string
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from localcluster import facts
from localcluster.errors import LocalClusterError
from localcluster.paths import Layout
from localcluster.waiting import Seen, wait_for

Object = dict[str, Any]


class ApiError(LocalClusterError):
    """The API server answered with an error."""

    def __init__(self, method: str, path: str, status: int, body: str) -> None:
        try:
            message = str(json.loads(body)["message"])
        except (ValueError, KeyError, TypeError):
            message = body[:500]
        super().__init__(f"{method} {path}: {status} {message}")
        self.status = status


@dataclass(frozen=True)
class _Kind:
    prefix: str
    plural: str
    namespaced: bool = True


_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_KINDS = {
    "Namespace": _Kind("/api/v1", "namespaces", namespaced=False),
    "ConfigMap": _Kind("/api/v1", "configmaps"),
    "Secret": _Kind("/api/v1", "secrets"),
    "Service": _Kind("/api/v1", "services"),
    "ServiceAccount": _Kind("/api/v1", "serviceaccounts"),
    "PersistentVolumeClaim": _Kind("/api/v1", "persistentvolumeclaims"),
    "Pod": _Kind("/api/v1", "pods"),
    "Node": _Kind("/api/v1", "nodes", namespaced=False),
    "Deployment": _Kind("/apis/apps/v1", "deployments"),
    "StatefulSet": _Kind("/apis/apps/v1", "statefulsets"),
    "EndpointSlice": _Kind("/apis/discovery.k8s.io/v1", "endpointslices"),
    "NetworkPolicy": _Kind("/apis/networking.k8s.io/v1", "networkpolicies"),
    "StorageClass": _Kind("/apis/storage.k8s.io/v1", "storageclasses", namespaced=False),
    "ClusterRole": _Kind(_RBAC, "clusterroles", namespaced=False),
    "ClusterRoleBinding": _Kind(_RBAC, "clusterrolebindings", namespaced=False),
    "Role": _Kind(_RBAC, "roles"),
    "RoleBinding": _Kind(_RBAC, "rolebindings"),
    "CustomResourceDefinition": _Kind("/apis/apiextensions.k8s.io/v1", "customresourcedefinitions", namespaced=False),
}


def path_of(kind: str, name: str = "", namespace: str = "") -> str:
    """Give the path of an object or, without a name, of its collection."""
    known = _KINDS[kind]
    within = f"/namespaces/{quote(namespace)}" if known.namespaced and namespace else ""
    return f"{known.prefix}{within}/{known.plural}" + (f"/{quote(name)}" if name else "")


class Api:
    """The API server, as its administrator."""

    def __init__(self, layout: Layout) -> None:
        self._context = ssl.create_default_context(cafile=str(layout.pki / "cluster-ca.crt"))
        self._context.load_cert_chain(layout.pki / "user-admin.crt", layout.pki / "user-admin.key")
        self._connection: http.client.HTTPSConnection | None = None
        self._log = layout.log("kube-apiserver")

    def request(self, method: str, path: str, body: object = None, content_type: str = "application/json") -> str:
        """Send one request; an idle connection that the server has closed is opened again once."""
        payload = None if body is None else json.dumps(body)
        for attempt in (1, 2):
            if self._connection is None:
                self._connection = http.client.HTTPSConnection(
                    str(facts.GATEWAY), facts.API_PORT, timeout=30, context=self._context
                )
            try:
                self._connection.request(method, path, payload, {"Content-Type": content_type})
                answer = self._connection.getresponse()
                text = answer.read().decode()
            except (TimeoutError, http.client.HTTPException, ConnectionError, ssl.SSLError) as error:
                self._connection.close()
                self._connection = None
                if attempt == 2:  # noqa: PLR2004 - the second of two
                    raise ApiError(method, path, 0, f"no answer: {error}") from error
            else:
                if answer.status >= http.client.BAD_REQUEST:
                    raise ApiError(method, path, answer.status, text)
                return text
        raise AssertionError

    def get(self, kind: str, name: str = "", namespace: str = "", query: str = "") -> Object | None:
        """Read an object or a list; None when it does not exist."""
        try:
            text = self.request("GET", path_of(kind, name, namespace) + (f"?{query}" if query else ""))
        except ApiError as error:
            if error.status == http.client.NOT_FOUND:
                return None
            raise
        found: Object = json.loads(text)
        return found

    def items(self, kind: str, namespace: str = "", query: str = "") -> list[Object]:
        """List a collection."""
        found = self.get(kind, namespace=namespace, query=query)
        return list(found["items"]) if found else []

    def apply(self, *objects: Object) -> None:
        """Apply objects server-side: an unchanged one stays untouched, to its resourceVersion."""
        for item in objects:
            meta = item["metadata"]
            path = path_of(item["kind"], meta["name"], meta.get("namespace", ""))
            query = f"?fieldManager={facts.FIELD_MANAGER}&force=true"
            self.request("PATCH", path + query, item, "application/apply-patch+yaml")

    def delete(self, kind: str, name: str, namespace: str = "") -> None:
        """Delete an object, if it is there."""
        try:
            self.request("DELETE", path_of(kind, name, namespace))
        except ApiError as error:
            if error.status != http.client.NOT_FOUND:
                raise

    def wait_ready(self, alive: Callable[[], object], seconds: float = 90) -> None:
        """Wait until the API server says it is ready; `alive` raises when its process has ended."""

        def look() -> Seen:
            alive()
            try:
                return Seen(self.request("GET", "/readyz") == "ok")
            except (ApiError, OSError) as error:
                return Seen(ok=False, detail=str(error))

        wait_for("the API server", look, seconds=seconds, log=self._log)

    def wait_workloads(self, workloads: Iterable[tuple[str, str, str]], seconds: float = 180) -> None:
        """Wait until Deployments and StatefulSets, as (kind, namespace, name), are fully rolled out."""
        waiting = list(workloads)
        end = time.monotonic() + seconds
        for kind, namespace, name in waiting:
            wait_for(
                f"{kind} {namespace}/{name}",
                lambda kind=kind, namespace=namespace, name=name: self._rolled_out(kind, namespace, name),  # type: ignore[misc]
                seconds=max(1.0, end - time.monotonic()),
                every=0.3,
            )

    def _rolled_out(self, kind: str, namespace: str, name: str) -> Seen:
        found = self.get(kind, name, namespace)
        if found is None:
            return Seen(ok=False, detail="it does not exist")
        status, wanted = found.get("status", {}), found["spec"].get("replicas", 1)
        current = status.get("observedGeneration", 0) >= found["metadata"]["generation"]
        ready, updated = status.get("readyReplicas", 0), status.get("updatedReplicas", 0)
        if current and ready == updated == wanted and status.get("replicas", 0) == wanted:
            return Seen(ok=True)
        return Seen(ok=False, detail=f"{ready} of {wanted} ready; {self._pods_say(namespace, name)}")

    def _pods_say(self, namespace: str, name: str) -> str:
        """Tell why a workload's pods are not ready, from their own status."""
        said = []
        for pod in self.items("Pod", namespace):
            if not pod["metadata"]["name"].startswith(name):
                continue
            status = pod.get("status", {})
            reasons = [
                state.get("message") or state["reason"]
                for container in status.get("containerStatuses", [])
                for state in container.get("state", {}).values()
                if "reason" in state
            ]
            reasons += [
                item["message"]
                for item in status.get("conditions", [])
                if item.get("status") == "False" and "message" in item
            ]
            said.append(f"pod {pod['metadata']['name']} {status.get('phase', '?')}: {'; '.join(reasons[:2])}")
        return " | ".join(said[:3]) or "no pod yet"


def load_yaml(path: Path, **values: str) -> list[Object]:
    """Read a manifest of ours, with `$NAME` filled in."""
    return read_yaml(string.Template(path.read_text()).substitute(values))


def read_yaml(text: str) -> list[Object]:
    """Read the objects of a manifest."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the one in C is ten times as fast
    return [item for item in yaml.load_all(text, Loader=loader) if item]
