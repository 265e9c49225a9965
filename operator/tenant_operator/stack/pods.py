"""Why a workload is not ready, in words a person can act on, from what its pods say."""

from collections.abc import Mapping
from typing import Any

from tenant_operator.api.reasons import Reason
from tenant_operator.stack.part import Manifest, Observed

_IMAGE_TROUBLE = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}


def why_not_ready(seen: Observed, component: str, default: Reason, owner: Manifest | None = None) -> tuple[Reason, str]:
    """Return the reason and message of a component that should run and does not."""
    pods = seen.pods(component)
    if not pods:
        return _no_pod(component, default, owner)
    pod = pods[0]
    name = pod["metadata"]["name"]
    status = pod.get("status", {})
    for condition in status.get("conditions", ()):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return Reason.UNSCHEDULABLE, f"pod {name} cannot be scheduled: {condition.get('message', '')}"
    for item in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
        found = _container_trouble(name, item)
        if found:
            return found
    return default, f"pod {name} is {status.get('phase', 'Pending')}, not ready yet"


def _container_trouble(pod: str, status: Mapping[str, Any]) -> tuple[Reason, str] | None:
    waiting = status.get("state", {}).get("waiting", {})
    why = waiting.get("reason", "")
    where = f"container {status['name']} of pod {pod}"
    if why in _IMAGE_TROUBLE:
        return Reason.IMAGE_UNAVAILABLE, f"{where} has no image: {waiting.get('message', why)}"
    if why == "CrashLoopBackOff":
        last = status.get("lastState", {}).get("terminated", {})
        text = (last.get("message") or last.get("reason") or "").strip()[-300:]
        return Reason.CRASH_LOOPING, f"{where} ends with code {last.get('exitCode')} again and again: {text}"
    return None


def _no_pod(component: str, default: Reason, owner: Manifest | None) -> tuple[Reason, str]:
    for condition in (owner or {}).get("status", {}).get("conditions", ()):
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            text = condition.get("message", "")
            return (Reason.QUOTA_EXCEEDED if "quota" in text else default), f"no pod can be made: {text}"
    return default, f"no pod of {component} is there yet"
