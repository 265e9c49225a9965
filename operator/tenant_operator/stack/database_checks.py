"""What an observation of the database means: gates, DatabaseReady, and where a volume lies. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tenant_operator.api.common import ConditionStatus
from tenant_operator.api.reasons import ConditionType, Reason
from tenant_operator.stack.part import Context, Finding, Manifest, Observed, Trouble

TOPOLOGY_REGION = "topology.kubernetes.io/region"
_IMAGE = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"}
_ADVICE = {
    Reason.IMAGE_UNAVAILABLE: "Check the image's name and that the nodes may pull it.",
    Reason.CRASH_LOOPING: "Read its log with: kubectl -n {namespace} logs {pod} --previous.",
    Reason.UNSCHEDULABLE: "Add a node to the Region, or free room on its nodes.",
    Reason.QUOTA_EXCEEDED: "Raise the TenantClass's quota, or remove what uses it up.",
}


def pod_ready(pod: Manifest) -> bool:
    """Tell whether a pod serves: Ready, and not on its way out."""
    if pod["metadata"].get("deletionTimestamp"):
        return False
    conditions = pod.get("status", {}).get("conditions", [])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def database_ready(seen: Observed) -> bool:
    """Gate: the database's pod is Ready, so roles can be made in it."""
    return any(pod_ready(pod) for pod in seen.pods("database"))


def provisioned(seen: Observed) -> bool:
    """Gate: the database and its roles were seen; what needs to log in may start."""
    found = {key.name: what for key, what in seen.external.items() if key.system == "postgres"}
    return len(found) > 1 and all(isinstance(what, Mapping) for what in found.values())


def pod_trouble(pod: Manifest) -> tuple[Reason, str] | None:
    """Return why a pod does not come up, with what a person can do about it; None when nothing is wrong."""
    found = _scheduling(pod) or _containers(pod)
    if found is None:
        return None
    reason, message = found
    meta = pod["metadata"]
    advice = _ADVICE.get(reason, "").format(namespace=meta.get("namespace", ""), pod=meta["name"])
    return reason, f"pod {meta['name']}: {message.rstrip('. ')}. {advice}".strip()


def _scheduling(pod: Manifest) -> tuple[Reason, str] | None:
    for condition in pod.get("status", {}).get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return Reason.UNSCHEDULABLE, condition.get("message", "no node takes it")
    return None


def _containers(pod: Manifest) -> tuple[Reason, str] | None:
    status = pod.get("status", {})
    for container in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        waiting = container.get("state", {}).get("waiting", {})
        why, text = waiting.get("reason", ""), waiting.get("message", "")
        if why in _IMAGE:
            return Reason.IMAGE_UNAVAILABLE, f"image {container.get('image', '')}: {text or why}"
        if why == "CrashLoopBackOff":
            return Reason.CRASH_LOOPING, f"container {container['name']} ended {_last_exit(container)}"
        if why in {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}:
            return Reason.PROGRESSING, f"container {container['name']}: {text or why}"
    return None


def _last_exit(container: Mapping[str, Any]) -> str:
    last = container.get("lastState", {}).get("terminated", {})
    message = last.get("message") or last.get("reason") or "no reason given"
    return f"{container.get('restartCount', 0)} times, last with code {last.get('exitCode', '?')} ({message.strip()})"


def refused_creation(seen: Observed, kind: str, name: str) -> tuple[Reason, str] | None:
    """Return why a controller could not make its pods, from the event it left, if events are watched."""
    for key, event in seen.other.items():
        about = event.get("involvedObject") or event.get("regarding") or {}
        if key.kind != "Event" or about.get("kind") != kind or about.get("name") != name:
            continue
        text = event.get("message") or event.get("note") or ""
        if event.get("reason") == "FailedCreate":
            quota = "exceeded quota" in text
            reason = Reason.QUOTA_EXCEEDED if quota else Reason.API_REFUSED
            return reason, f"{kind} {name}: {text.rstrip('. ')}. {_ADVICE.get(reason, '')}".strip()
    return None


def checks(ctx: Context, seen: Observed) -> Sequence[Finding]:
    """Return DatabaseReady: from the pod, and from the roles and the database as seen in the server."""
    if not ctx.running:
        reason = Reason.SUSPENDED if ctx.spec.suspend else Reason.RETAINED
        return [_finding("False", reason, "the server is stopped; its volume is kept")]
    return [_server(ctx, seen) or _inside(seen)]


def _finding(status: ConditionStatus, reason: Reason, message: str) -> Finding:
    return Finding(ConditionType.DATABASE_READY, status, reason, message)


def _server(ctx: Context, seen: Observed) -> Finding | None:
    server = seen.get("StatefulSet", ctx.namespace, "database")
    if server is None:
        return _finding("False", Reason.PROGRESSING, "StatefulSet database is not there yet")
    pods = seen.pods("database")
    if not pods:
        why = refused_creation(seen, "StatefulSet", "database")
        hint = f"no pod yet; if it stays so: kubectl -n {ctx.namespace} describe statefulset database"
        return _finding("False", *(why or (Reason.DATABASE_STARTING, hint)))
    if database_ready(seen):
        return None
    if trouble := pod_trouble(pods[0]):
        return _finding("False", *trouble)
    return _finding("False", Reason.DATABASE_STARTING, f"pod {pods[0]['metadata']['name']} is starting")


def _inside(seen: Observed) -> Finding:
    found = {f"{key.kind} {key.name}": what for key, what in seen.external.items() if key.system == "postgres"}
    for name, what in found.items():
        if isinstance(what, Trouble):
            return _finding("Unknown", what.reason, f"{name}: {what.message}")
    missing = sorted(name for name, what in found.items() if what is None)
    if missing:
        return _finding("False", Reason.DATABASE_STARTING, f"to be made in the server: {', '.join(missing)}")
    if not found:
        return _finding("Unknown", Reason.NOT_OBSERVED, "the server is up; its roles were not looked at yet")
    return _finding("True", Reason.DATABASE_RUNNING, f"the server answers and holds {', '.join(sorted(found))}")


def volume_region(ctx: Context, seen: Observed, claim: str) -> str:
    """Return the region a volume lies in by its PersistentVolume's node affinity; empty when that says nothing."""
    bound = seen.get("PersistentVolumeClaim", ctx.namespace, claim) or {}
    volume = seen.volumes.get(bound.get("spec", {}).get("volumeName", ""))
    terms = ((volume or {}).get("spec", {}).get("nodeAffinity", {}).get("required", {})).get("nodeSelectorTerms", [])
    labels = [node for node in seen.nodes.values() if any(_matches(term, node) for term in terms)]
    if not labels:
        return ""
    wanted = ctx.region.node_selector.items()
    outside = [node for node in labels if not wanted <= node.items()]
    return outside[0].get(TOPOLOGY_REGION, "") if outside else ctx.spec.region


def _matches(term: Mapping[str, Any], node: Mapping[str, str]) -> bool:
    return _all(
        node.get(rule["key"]) in rule.get("values", ())
        if rule.get("operator", "In") == "In"
        else rule.get("operator") == "Exists" and rule["key"] in node
        for rule in term.get("matchExpressions", ())
    )


def _all(rules: Iterable[bool]) -> bool:
    """Tell whether all rules hold; a term without rules matches no node (core/v1 NodeSelectorTerm)."""
    found = list(rules)
    return bool(found) and all(found)
