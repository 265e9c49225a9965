"""From findings to the status people read: kstatus's three conditions, one a promise, and a phase derived from them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tenant_operator.api.common import ConditionStatus
from tenant_operator.api.reasons import ConditionType, Reason
from tenant_operator.stack.part import Finding

PROMISES: tuple[ConditionType, ...] = (
    ConditionType.AUDIT_CURRENT,
    ConditionType.NAMESPACE_READY,
    ConditionType.NETWORK_ISOLATED,
    ConditionType.KEYS_READY,
    ConditionType.DATABASE_READY,
    ConditionType.RESIDENCY_VERIFIED,
    ConditionType.APP_READY,
    ConditionType.BACKUP_CURRENT,
    ConditionType.ISOLATION_PROVEN,
    ConditionType.DRIFT_FREE,
)
"""What Ready rests on, in the order in which the first that fails is named."""
UNPROMISED: tuple[ConditionType, ...] = (ConditionType.RESTORE_VERIFIED, ConditionType.QUALIFIED)
"""Said as they are, without making a tenant unready: their evidence comes later in a tenant's life."""
_WEIGHT: Mapping[ConditionStatus, int] = {"False": 0, "Unknown": 1, "True": 2}


@dataclass(frozen=True)
class Verdict:
    """What the status says in short."""

    ready: bool
    phase: str
    conditions: list[dict[str, Any]]


def worst(findings: Iterable[Finding]) -> dict[ConditionType, Finding]:
    """Return for each condition the finding that counts: False before Unknown before True, the first of equals."""
    found: dict[ConditionType, Finding] = {}
    for finding in findings:
        old = found.get(finding.type)
        if old is None or _WEIGHT[finding.status] < _WEIGHT[old.status]:
            found[finding.type] = finding
    return found


def judge(
    findings: Sequence[Finding],
    *,
    previous: Sequence[Mapping[str, Any]],
    generation: int,
    now: datetime,
    running: bool = True,
    busy: bool = False,
) -> Verdict:
    """Return the conditions. `busy`: something was changed in this very pass, so it is not over yet."""
    found = worst(findings)
    for missing in (*PROMISES, *UNPROMISED):
        found.setdefault(missing, Finding(missing, "Unknown", Reason.NOT_OBSERVED, "not observed yet"))
    summary = _summary(found, running=running)
    stalled = next((item for item in found.values() if item.stalled), None)
    settled = summary.status == "True" or stalled is not None or not running
    found[ConditionType.READY] = summary
    found[ConditionType.STALLED] = (
        Finding(ConditionType.STALLED, "True", stalled.reason, stalled.message)
        if stalled
        else Finding(ConditionType.STALLED, "False", Reason.PROGRESSING, "nothing needs a person")
    )
    moving = busy or not settled
    found[ConditionType.RECONCILING] = Finding(
        ConditionType.RECONCILING,
        "True" if moving else "False",
        Reason.PROGRESSING if moving else summary.reason,
        summary.message if moving else "what was observed is what is desired, as far as it can be",
    )
    order = (ConditionType.READY, ConditionType.RECONCILING, ConditionType.STALLED, *PROMISES, *UNPROMISED)
    before = {item["type"]: item for item in previous}
    conditions = [_condition(found[kind], before.get(kind), generation, now) for kind in order]
    return Verdict(summary.status == "True", _phase(summary, stalled, running=running), conditions)


def _summary(found: Mapping[ConditionType, Finding], *, running: bool) -> Finding:
    kind = ConditionType.READY
    stalled = next((item for item in found.values() if item.stalled), None)
    if stalled:
        return Finding(kind, "False", stalled.reason, stalled.message)
    said = found.get(kind)
    if said is not None and said.status != "True":
        return said  # said of the tenant as a whole: a missing bind secret, an offboarding that has taken it over
    if not running:
        return Finding(kind, "False", Reason.SUSPENDED, "stopped; data, keys and backups are kept")
    for promise in PROMISES:
        item = found[promise]
        if item.status != "True":
            return Finding(kind, "False", item.reason, f"{promise}: {item.message}")
    return Finding(kind, "True", Reason.READY, "every promise holds, as last observed")


def _phase(summary: Finding, stalled: Finding | None, *, running: bool) -> str:
    if stalled:
        return "Stalled"
    if not running:
        return "Suspended"
    return "Ready" if summary.status == "True" else "Progressing"


def _condition(finding: Finding, before: Mapping[str, Any] | None, generation: int, now: datetime) -> dict[str, Any]:
    flipped = before is None or before["status"] != finding.status
    at = now.strftime("%Y-%m-%dT%H:%M:%SZ") if flipped else (before or {})["lastTransitionTime"]
    return {
        "type": str(finding.type),
        "status": finding.status,
        "reason": str(finding.reason),
        "message": finding.message[:2048],
        "observedGeneration": generation,
        "lastTransitionTime": at,
    }


def flips(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the conditions worth an Event: Ready and Stalled when they change, a promise when it was seen to be broken."""
    old = {item["type"]: item["status"] for item in before}
    found = []
    for item in after:
        was, kind = old.get(item["type"]), item["type"]
        if was is None or was == item["status"] or kind == ConditionType.RECONCILING:
            continue
        if kind in {ConditionType.READY, ConditionType.STALLED} or (was, item["status"]) == ("True", "False"):
            found.append(item)
    return found
