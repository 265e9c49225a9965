"""Evidence that a pod brings: a CronJob and its first run, and the report the newest run left as its termination message."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tenant_operator.stack.part import Context, Desired, Gate, Manifest, Observed
from tenant_operator.stack.render import meta, obj
from tenant_operator.stack.text import digest

JOB_DEADLINE_SECONDS = 3600


def cron_and_first_job(
    ctx: Context,
    part: str,
    component: str,
    schedule: str,
    time_zone: str,
    pod: Manifest,
    *,
    wave: int,
    gate: Gate | None = None,
) -> Sequence[Desired]:
    """Return a CronJob, and a Job that runs at once when this version of the pod has not run yet.

    The first Job's name carries the pod's digest: a changed pod is run anew, an unchanged one never twice.
    """
    labels = ctx.names.labels(part, component)
    template = {"metadata": {"labels": labels}, "spec": pod}
    job_spec = {"backoffLimit": 1, "activeDeadlineSeconds": JOB_DEADLINE_SECONDS, "template": template}
    cron = obj(
        "batch/v1",
        "CronJob",
        meta(ctx, part, component, component),
        spec={
            "schedule": schedule,
            "timeZone": time_zone,
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": 600,
            "successfulJobsHistoryLimit": 1,
            "failedJobsHistoryLimit": 1,
            "suspend": not ctx.running,
            "jobTemplate": {"metadata": {"labels": labels}, "spec": job_spec},
        },
    )
    found = [Desired(cron, wave=wave, gate=gate)]
    if ctx.running:
        name = f"{component}-{digest(pod, 8)}"
        first = obj("batch/v1", "Job", meta(ctx, part, name, component), spec=job_spec)
        found.append(Desired(first, wave=wave, gate=gate, create_only=True))
    return found


def reports(seen: Observed, component: str) -> list[Mapping[str, Any]]:
    """Return the reports of a component's finished pods, newest first; a pod that left none reports its failure."""
    found: list[tuple[str, Mapping[str, Any]]] = []
    for pod in seen.pods(component):
        for status in pod.get("status", {}).get("containerStatuses", ()):
            ended = status.get("state", {}).get("terminated")
            if ended:
                found.append((ended.get("finishedAt", ""), _parse(ended)))
    return [report for _, report in sorted(found, key=lambda pair: pair[0], reverse=True)]


def newest_report(seen: Observed, component: str) -> Mapping[str, Any] | None:
    """Return the newest report, or None when no run has ended yet."""
    return next(iter(reports(seen, component)), None)


def _parse(ended: Mapping[str, Any]) -> Mapping[str, Any]:
    text = ended.get("message", "")
    try:
        report = json.loads(text)
    except ValueError:
        report = None
    if not isinstance(report, dict):
        report = {"error": text.strip()[-500:] or f"exit code {ended.get('exitCode')}, {ended.get('reason', '')}"}
    report.setdefault("at", ended.get("finishedAt", ""))
    return report
