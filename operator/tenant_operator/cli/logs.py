"""`cloister logs`: what a part of a tenant says."""

import re

from tenant_operator.api.names import LABEL_COMPONENT
from tenant_operator.cli.kube import Kube, Object
from tenant_operator.cli.problems import Exit, ProblemError
from tenant_operator.cli.words import console

_STYLES = ("cyan", "magenta", "green", "yellow")
_SAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def show(kube: Kube, tenant: str, component: str, *, follow: bool, tail: int) -> None:
    """Print the logs of a component's pods; of the newest one when following."""
    namespace = f"tenant-{tenant}"
    pods = kube.items(f"/api/v1/namespaces/{namespace}/pods", labelSelector=f"{LABEL_COMPONENT}={component}")
    if not pods:
        raise _nothing(kube, tenant, component)
    pods.sort(key=lambda pod: str(pod["metadata"]["creationTimestamp"]))
    shown = pods[-1:] if follow else pods
    for number, pod in enumerate(shown):
        for container in _containers(pod):
            style = _STYLES[number % len(_STYLES)]
            name = pod["metadata"]["name"]
            if len(shown) > 1 or container != component:
                console.rule(f"[{style}]{name} {container}[/]", align="left", style="dim")
            query = {"container": container, "tailLines": str(tail), "follow": str(follow).lower()}
            for line in kube.lines(f"/api/v1/namespaces/{namespace}/pods/{name}/log", **query):
                console.print(_SAFE.sub("", line), markup=False, soft_wrap=True)


def _containers(pod: Object) -> list[str]:
    """Return the containers that have run."""
    status = pod.get("status") or {}
    states = status.get("initContainerStatuses", []) + status.get("containerStatuses", [])
    return [each["name"] for each in states if "waiting" not in each.get("state", {}) or each.get("restartCount")]


def _nothing(kube: Kube, tenant: str, component: str) -> ProblemError:
    pods = kube.items(f"/api/v1/namespaces/tenant-{tenant}/pods")
    known = sorted({pod["metadata"].get("labels", {}).get(LABEL_COMPONENT, "") for pod in pods} - {""})
    hint = f"There are logs of: {', '.join(known)}" if known else f"Nothing runs there: cloister describe {tenant}"
    return ProblemError(f"{tenant} has no pod of {component}", hint=hint, code=Exit.NOT_FOUND)
