"""The state machine of an offboarding, pure: from what is observed to the one thing that may be done next.

Nothing is remembered between two looks, so a kill at any point changes nothing: the same facts give the same decision. Every
act of destruction is preceded by a decision made on facts read just before it, so a hold placed in the middle, or an approval
taken back, stops the very next step.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tenant_operator.api.common import delta
from tenant_operator.api.offboarding import ExportReceipt
from tenant_operator.offboarding.approvals import Count, count
from tenant_operator.offboarding.words import MARK_DESTROYING, MARK_OFFBOARDING, Phase, Word
from tenant_operator.stack.part import Manifest

_DEFAULT_GRACE = "7d"


@dataclass(frozen=True)
class Facts:
    """What was observed, all of it by live reads."""

    offboarding: Manifest
    record: Manifest | None
    approvals: Sequence[Manifest]
    holds: Sequence[Manifest]
    offboardings: Sequence[Manifest]
    now: datetime

    @property
    def uid(self) -> str:
        """The offboarding's UID."""
        return str(self.offboarding["metadata"]["uid"])

    @property
    def tenant(self) -> str:
        """The tenant's name."""
        return str(self.offboarding["spec"]["tenant"])

    @property
    def export(self) -> ExportReceipt | None:
        """The export that the operator itself read back in full, as its status says; nobody else may write that."""
        found = (self.offboarding.get("status") or {}).get("export")
        return ExportReceipt.model_validate(found) if found else None


@dataclass(frozen=True)
class Decision:
    """The phase, why, and what may be done in it."""

    phase: Phase
    reason: Word
    message: str
    approvals: Count
    destroy_after: datetime | None = None

    @property
    def may_export(self) -> bool:
        """Tell whether an export may be made."""
        return self.phase is Phase.EXPORTING

    @property
    def may_destroy(self) -> bool:
        """Tell whether something may be destroyed now."""
        return self.phase is Phase.DESTROYING


def decide(facts: Facts) -> Decision:
    """Return what the facts allow. Every condition of a destruction is asked anew each time."""
    approvals = count(facts.offboarding, facts.approvals)
    refused = _refusal(facts)
    if refused:
        phase = Phase.CERTIFIED if refused[0] is Word.CERTIFIED else Phase.REFUSED
        return Decision(phase, refused[0], refused[1], approvals)
    held = [hold for hold in facts.holds if hold["spec"]["tenant"] == facts.tenant]
    if held:
        said = "; ".join(f"{hold['metadata']['name']}: {hold['spec']['matter']}" for hold in held)
        return Decision(Phase.HELD, Word.LEGAL_HOLD, f"legal hold on {facts.tenant}: {said}", approvals)
    if not approvals.enough:
        return Decision(Phase.AWAITING_APPROVALS, approvals.reason, approvals.message, approvals)
    export = facts.export
    if export is None:
        return Decision(Phase.EXPORTING, Word.EXPORT_WAITING, "the export has yet to be made and read back", approvals)
    end = when(export.verified_at) + grace(facts)
    if facts.now < end:
        text = f"the export was read back at {export.verified_at}; destruction may begin at {stamp(end)}"
        return Decision(Phase.GRACE_PERIOD, Word.GRACE_PERIOD, text, approvals, end)
    return Decision(Phase.DESTROYING, Word.DESTROYING, f"the grace period ended at {stamp(end)}", approvals, end)


def _refusal(facts: Facts) -> tuple[Word, str] | None:
    """Return why this offboarding can never go on, or that it is over."""
    record = facts.record
    if record is None:
        return (
            Word.NO_SUCH_TENANT,
            f"there is no TenantRecord {facts.tenant}: nothing of that name was ever onboarded here",
        )
    if record["spec"]["state"] == "Destroyed":
        certificate = record["spec"].get("certificate") or {}
        if certificate.get("payload", {}).get("offboarding", {}).get("uid") == facts.uid:
            return Word.CERTIFIED, f"{facts.tenant} is destroyed and certified; its name stays reserved"
        return Word.ALREADY_DESTROYED, f"{facts.tenant} was destroyed by another offboarding"
    older = [other for other in facts.offboardings if _comes_first(other, facts.offboarding)]
    if older:
        return Word.ANOTHER_OFFBOARDING, f"offboarding {older[0]['metadata']['name']} of {facts.tenant} came first"
    return None


def _comes_first(other: Manifest, mine: Manifest) -> bool:
    if other["metadata"]["uid"] == mine["metadata"]["uid"] or other["spec"]["tenant"] != mine["spec"]["tenant"]:
        return False
    return _age(other) < _age(mine)


def _age(offboarding: Manifest) -> tuple[str, str]:
    meta = offboarding["metadata"]
    return (meta.get("creationTimestamp", ""), meta["uid"])


def grace(facts: Facts) -> timedelta:
    """Return the grace period: the offboarding's own, else the tenant's as its record last saw it, else seven days."""
    asked = facts.offboarding["spec"].get("gracePeriod")
    last = ((facts.record or {}).get("spec") or {}).get("lastSpec") or {}
    return delta(asked or (last.get("deletion") or {}).get("gracePeriod") or _DEFAULT_GRACE)


def offboarding_blocks(record: Manifest | None, offboardings: Iterable[Manifest]) -> bool:
    """Tell the tenant's reconciler to keep its hands off, from the TenantRecord and every TenantOffboarding there is.

    True once an offboarding has taken the tenant over and while it exists (withdrawing it gives the tenant back), for good
    once anything was destroyed, and for a tombstone. An offboarding that has steps in its status has taken it over, held or
    not; the marks on the record say the same, so that either may be lost.
    """
    if record is None:
        return False
    if record["spec"]["state"] == "Destroyed":
        return True
    marks: Mapping[str, Any] = record["metadata"].get("annotations") or {}
    if marks.get(MARK_DESTROYING):
        return True
    mine = [one for one in offboardings if one["spec"]["tenant"] == record["spec"]["tenant"]]
    owner = marks.get(MARK_OFFBOARDING)
    return any(one["metadata"]["uid"] == owner or (one.get("status") or {}).get("steps") for one in mine)


def when(text: str) -> datetime:
    """Return an RFC 3339 time."""
    return datetime.fromisoformat(text)


def stamp(moment: datetime) -> str:
    """Return a time as RFC 3339 in UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
