"""The isolation probe: a pod of the tenant's that tries what must not work, and what must (docs/conditions.md)."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tenant_operator.api.reasons import ConditionType, Reason
from tenant_operator.stack.database_checks import database_ready
from tenant_operator.stack.evidence import cron_and_first_job, newest_report
from tenant_operator.stack.part import Context, Desired, Finding, Observed
from tenant_operator.stack.render import container, pod_spec

COMPONENT = "isolation-probe"
SCHEDULE = "17 * * * *"
BEACON_PORT = 8090


def targets(ctx: Context) -> list[dict[str, Any]]:
    """Return what the probe tries: name, host, port, and whether a connection is expected."""
    platform = ctx.platform
    return [
        {"name": "own database", "host": ctx.names.service_host("database"), "port": 5432, "open": True},
        {"name": "beacon", "host": f"beacon.{platform.operator_namespace}.svc", "port": BEACON_PORT, "open": False},
        {
            "name": "audit database",
            "host": f"audit-database.{platform.audit_namespace}.svc",
            "port": 5432,
            "open": False,
        },
        {"name": "Kubernetes API", "host": "kubernetes.default.svc", "port": 443, "open": False},
        {"name": "metadata address", "host": "169.254.169.254", "port": 80, "open": False},
    ]


def desired(ctx: Context, part: str) -> Sequence[Desired]:
    """Return the probe's CronJob and its first Job, once the database is there to be the positive control."""
    pod = container(
        ctx,
        COMPONENT,
        ctx.platform.images.jobs,
        ctx.klass.jobs,
        command=["python", "-m", "tenant_operator.jobs.probe"],
        args=[json.dumps(targets(ctx), sort_keys=True)],
        terminationMessagePolicy="File",
    )
    spec = pod_spec(ctx, COMPONENT, [pod], restartPolicy="Never")
    return cron_and_first_job(ctx, part, COMPONENT, SCHEDULE, "Etc/UTC", spec, wave=60, gate=database_ready)


def check(ctx: Context, seen: Observed) -> Finding:
    """Return IsolationProven from the newest report."""
    kind = ConditionType.ISOLATION_PROVEN
    if not ctx.running:
        return Finding(kind, "Unknown", Reason.SUSPENDED, "nothing runs, nothing can be probed")
    report = newest_report(seen, COMPONENT)
    if report is None:
        return Finding(kind, "Unknown", Reason.NOT_PROBED, "the isolation probe has not reported yet")
    return _judge(report)


def _judge(report: Mapping[str, Any]) -> Finding:
    kind = ConditionType.ISOLATION_PROVEN
    at = report.get("at", "an unknown time")
    if "error" in report:
        return Finding(kind, "Unknown", Reason.PROBE_FAILED, f"the probe of {at} failed: {report['error']}")
    results = {item["name"]: item for item in report.get("results", ())}
    reached = [name for name, item in results.items() if not item["open"] and item["connected"]]
    if reached:
        message = f"at {at} the tenant could reach {', '.join(reached)}: the cluster does not enforce network policies"
        return Finding(kind, "False", Reason.POLICY_NOT_ENFORCED, message)
    closed = [name for name, item in results.items() if item["open"] and not item["connected"]]
    if closed or not results:
        message = f"at {at} the positive control failed ({', '.join(closed) or 'no result'}): nothing is proven"
        return Finding(kind, "Unknown", Reason.PROBE_INCONCLUSIVE, message)
    refused = [name for name, item in results.items() if not item["open"]]
    message = f"at {at} the probe reached its own database and none of: {', '.join(refused)}"
    return Finding(kind, "True", Reason.ISOLATED, message)
