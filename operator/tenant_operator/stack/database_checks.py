"""What an observation of the database means: gates, DatabaseReady, and where a volume lies. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tenant_operator.api.common import ConditionStatus
from tenant_operator.api.reasons import ConditionType, Reason
from tenant_operator.stack.part import Context, Finding, Manifest, Observed, Trouble
from tenant_operator.stack.pods import why_not_ready

TOPOLOGY_REGION = "topology.kubernetes.io/region"


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
            return reason, f"{kind} {name} can make no pod: {text}"
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
    return _finding("False", *why_not_ready(seen, "database", Reason.DATABASE_STARTING))


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
