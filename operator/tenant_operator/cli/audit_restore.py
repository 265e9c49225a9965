"""`cloister audit restore`: a Job with the audit service's own pod does it; the service stands still meanwhile.

The Job is the Deployment's pod with another command: same image, keys, stores, network policies and database. It keeps the
readiness probe, which nothing answers, so that no request for the service is ever sent to it.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from tenant_operator.cli.audit import NAMESPACE, log_of
from tenant_operator.cli.kube import Kube, Object
from tenant_operator.cli.problems import ProblemError
from tenant_operator.cli.words import console

_DEPLOYMENT: Final = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/audit"
_JOBS: Final = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
_PODS: Final = f"/api/v1/namespaces/{NAMESPACE}/pods"
_EVERY_SECONDS: Final = 1.0
_STOPPING_SECONDS: Final = 120
_KEPT_SECONDS: Final = 86_400
_WORDS: Final = {
    1: "the copy was tampered with, or the database has other entries",
    2: "the copy is not whole",
    3: "it is refused: see the line above",
    4: "the copy or the database could not be read",
}


def restore(kube: Kube, origin: str, tenants: Sequence[str], *, check: bool) -> None:
    """Restore these logs, or all, from a Region's copies; with `check`, only prove that it could be done."""
    deployment = kube.call("GET", _DEPLOYMENT)
    logs = [log_of(kube, tenant) for tenant in tenants]
    command = ["restore", "--from", origin, *(["--check"] if check else [])]
    command += [part for log in logs for part in ("--log", log)] or ["--all"]
    if check:
        _run(kube, job(deployment, command))
        return
    with _stopped(kube, deployment):
        _run(kube, job(deployment, command))


def job(deployment: Object, command: Sequence[str]) -> Object:
    """Return the Job: the Deployment's pod, once, with this command. A check needs no database, so nothing is migrated."""
    template = deployment["spec"]["template"]
    spec = {**template["spec"], "restartPolicy": "Never"}
    (container,) = spec["containers"]
    left = {key: value for key, value in container.items() if key not in {"startupProbe", "livenessProbe", "ports"}}
    probe = {"tcpSocket": {"port": 8443}, "periodSeconds": 10}
    spec["containers"] = [{**left, "args": list(command), "readinessProbe": probe}]
    if "--check" in command:
        spec.pop("initContainers", None)
    labels = template["metadata"]["labels"]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"generateName": "audit-restore-", "namespace": NAMESPACE, "labels": dict(labels)},
        "spec": {
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": _KEPT_SECONDS,
            "template": {"metadata": {"labels": dict(labels)}, "spec": spec},
        },
    }


@contextmanager
def _stopped(kube: Kube, deployment: Object) -> Iterator[None]:
    """Have no audit service while this lasts: no change is made anywhere then, since none could be recorded."""
    replicas = int(deployment["spec"].get("replicas", 1)) or 1
    console.print("Stopping the audit service; until it is back, the operator changes nothing.")
    _scale(kube, 0)
    try:
        _wait_until_gone(kube, deployment)
        yield
    finally:
        _scale(kube, replicas)
        console.print("The audit service is started again.")


def _scale(kube: Kube, replicas: int) -> None:
    body = {"spec": {"replicas": replicas}}
    kube.call("PATCH", f"{_DEPLOYMENT}/scale", body, kind="application/merge-patch+json")


def _wait_until_gone(kube: Kube, deployment: Object) -> None:
    selector = ",".join(f"{key}={value}" for key, value in deployment["spec"]["selector"]["matchLabels"].items())
    deadline = time.monotonic() + _STOPPING_SECONDS
    while pods := [pod for pod in kube.items(_PODS, labelSelector=selector) if not _is_over(pod)]:
        if time.monotonic() > deadline:
            names = ", ".join(pod["metadata"]["name"] for pod in pods)
            raise ProblemError(f"the audit service's pods do not end: {names}", hint=f"kubectl -n {NAMESPACE} get pods")
        time.sleep(_EVERY_SECONDS)


def _is_over(pod: Object) -> bool:
    """Tell whether it is an earlier restore's pod, which has ended and is kept for its log."""
    return (pod.get("status") or {}).get("phase") in {"Succeeded", "Failed"}


def _run(kube: Kube, wanted: Object) -> None:
    """Run the Job and show what it says. Raises ProblemError when it does not end well."""
    name = kube.call("POST", _JOBS, wanted)["metadata"]["name"]
    with console.status(f"Job {NAMESPACE}/{name} reads the copy …"):
        pod = _ended(kube, name)
    if pod is None:
        hint = f"kubectl -n {NAMESPACE} describe job {name}"
        raise ProblemError(f"the Job {name} ended without a pod", hint=hint)
    for line in kube.lines(f"{_PODS}/{pod['metadata']['name']}/log", container="audit"):
        console.print(line, markup=False, soft_wrap=True)
    code = _exit_code(pod)
    if code:
        said = _WORDS.get(code, f"it ended with {code}")
        raise ProblemError(f"not everything could be restored: {said}", hint="docs/runbooks/audit-restore.md")


def _ended(kube: Kube, name: str) -> Object | None:
    """Wait for the Job's end, however long the copy is; return its pod."""
    while True:
        status = kube.call("GET", f"{_JOBS}/{name}").get("status") or {}
        if status.get("succeeded") or status.get("failed"):
            pods = kube.items(_PODS, labelSelector=f"batch.kubernetes.io/job-name={name}")
            return pods[0] if pods else None
        time.sleep(_EVERY_SECONDS)


def _exit_code(pod: Object) -> int:
    """Return the container's exit code; 4 when it never ran, such as when the database could not be migrated."""
    for status in (pod.get("status") or {}).get("containerStatuses", []):
        if "terminated" in status.get("state", {}):
            return int(status["state"]["terminated"]["exitCode"])
    return 4
