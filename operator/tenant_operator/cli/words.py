"""Conditions, phases and times in plain words."""

from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tenant_operator.api.reasons import ConditionType, Reason

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)

PROMISES: dict[str, str] = {
    ConditionType.NAMESPACE_READY: "A namespace of its own",
    ConditionType.NETWORK_ISOLATED: "Network closed",
    ConditionType.ISOLATION_PROVEN: "Isolation proven",
    ConditionType.RESIDENCY_VERIFIED: "Data in its Region",
    ConditionType.KEYS_READY: "Encryption keys",
    ConditionType.DATABASE_READY: "Database",
    ConditionType.BACKUP_CURRENT: "Backup",
    ConditionType.RESTORE_VERIFIED: "Restore tried",
    ConditionType.APP_READY: "App",
    ConditionType.DRIFT_FREE: "Nothing altered",
    ConditionType.AUDIT_CURRENT: "Audit log",
    ConditionType.QUALIFIED: "Qualified",
}
"""What each promise is called at the terminal, in the order things come up."""

NEXT: dict[str, str] = {
    Reason.UNKNOWN_REGION: "Name one of `kubectl get regions`, or have the platform team add this Region.",
    Reason.UNKNOWN_CLASS: "Name one of `kubectl get tenantclasses`.",
    Reason.BIND_SECRET_MISSING: "Make that Secret, labelled cloister.dev/tenant={tenant}; the message says where and with what.",
    Reason.INVALID_SPEC: "Correct the Tenant and apply it again; `cloister plan -f` checks it first.",
    Reason.INVALID_SCHEDULE: 'Correct spec.backup.schedule: five fields, such as "0 2 * * *".',
    Reason.INVALID_DIRECTORY: "Correct spec.identity.ldap.",
    Reason.NAMESPACE_TAKEN: "A namespace of that name belongs to somebody else: choose another name for the Tenant.",
    Reason.DESTROYED: "The name belonged to a tenant that was destroyed: choose another.",
    Reason.NAME_RESERVED: "The name is kept for another tenant: choose another.",
    Reason.AUDIT_UNAVAILABLE: "Nothing is changed while the audit service is down: kubectl -n cloister-audit get pods",
    Reason.VAULT_SEALED: "Unseal the Region's Vault; the rest follows by itself.",
    Reason.VAULT_UNREACHABLE: "Is the Region's Vault up, and does the chart's `egress` allow it?",
    Reason.OBJECT_STORE_UNREACHABLE: "Is the Region's object store up, and does the chart's `egress` allow it?",
    Reason.POLICY_NOT_ENFORCED: "This cluster's network does not enforce NetworkPolicies: no tenant is isolated on it.",
    Reason.CRASH_LOOPING: "Read why: cloister logs {tenant}",
    Reason.IMAGE_UNAVAILABLE: "Check the image's name and the registry: cloister describe {tenant}",
    Reason.UNSCHEDULABLE: "Give the Region more room, or the tenant a smaller class.",
    Reason.QUOTA_EXCEEDED: "Choose a larger class: kubectl get tenantclasses",
    Reason.BACKUP_FAILED: "Read why: cloister logs {tenant} backup",
    Reason.PROBE_FAILED: "Read why: cloister logs {tenant} isolation-probe",
    Reason.FIELD_CONFLICT: "Somebody else manages a field of ours; the message names it. Have them let go of it.",
    Reason.SUSPENDED: "Start it again with spec.suspend: false.",
    Reason.OFFBOARDING: "See how far it is: cloister offboard status {tenant}",
}
"""What to do about a reason. Reasons that pass by themselves have none."""

_MARKS = {"True": ("✓", "green"), "False": ("✗", "red"), "Unknown": ("?", "yellow")}
_WAITS = {
    Reason.PROGRESSING,
    Reason.WAITING,
    Reason.DATABASE_STARTING,
    Reason.ROLLING_OUT,
    Reason.NOT_PROBED,
    Reason.MISSING,
}


def conditions(item: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return an object's conditions by type."""
    return {found["type"]: found for found in (item.get("status") or {}).get("conditions", [])}


def mark(condition: dict[str, Any] | None) -> Text:
    """Return a check mark, a cross, a question mark, or dots for what is under way."""
    if condition is None:
        return Text("·", style="dim")
    if condition["status"] != "True" and condition.get("reason") in _WAITS:
        return Text("…", style="yellow")
    sign, style = _MARKS.get(condition["status"], ("?", "yellow"))
    return Text(sign, style=style)


def next_step(tenant: str, found: dict[str, dict[str, Any]]) -> str:
    """Return what a person should do now, or nothing when the operator is at it."""
    for name in (ConditionType.STALLED, ConditionType.READY, *PROMISES):
        condition = found.get(name)
        holds = condition is not None and condition["status"] == "True"
        troubled = condition is not None and (holds if name == ConditionType.STALLED else not holds)
        if troubled and condition and (said := NEXT.get(condition.get("reason", ""))):
            return said.format(tenant=tenant)
    return ""


def current(item: dict[str, Any]) -> bool:
    """Tell whether the status is about the spec as it stands."""
    return bool((item.get("status") or {}).get("observedGeneration") == item["metadata"].get("generation"))


def ago(stamp: str | None, now: datetime | None = None) -> str:
    """Return an age as kubectl writes it: 45s, 3m, 5h, 12d."""
    if not stamp:
        return ""
    seconds = int(((now or datetime.now(UTC)) - datetime.fromisoformat(stamp)).total_seconds())
    return span(max(0, seconds))


def span(seconds: int) -> str:
    """Return a length of time in its largest unit."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def counted(number: int, noun: str) -> str:
    """Return a number and its noun: 1 entry, 2 entries."""
    many = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number} {noun if number == 1 else many}"


def table(*columns: str) -> Table:
    """Return an airy table without a frame, as kubectl's."""
    made = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    for column in columns:
        made.add_column(column, no_wrap=column.isupper() and column != "MESSAGE", overflow="fold")
    return made


def row(made: Table, *cells: str | Text) -> None:
    """Add a row of what was read from the cluster: square brackets in it are somebody's words, not markup."""
    made.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in cells))
