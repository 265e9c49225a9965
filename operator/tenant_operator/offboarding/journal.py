"""The one writer of an offboarding's status: phase, steps with their evidence, conditions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tenant_operator.api.common import ConditionStatus
from tenant_operator.api.offboarding import ExportReceipt, Step, TenantOffboardingStatus
from tenant_operator.offboarding.state import Decision, stamp
from tenant_operator.offboarding.words import Phase, Promise, Word
from tenant_operator.ports import Clock, Cluster
from tenant_operator.stack.part import Manifest

_MESSAGE_LIMIT = 2048
_AFTER_APPROVAL = (Phase.EXPORTING, Phase.GRACE_PERIOD, Phase.DESTROYING, Phase.CERTIFIED)


@dataclass
class Journal:
    """Keeps the status of one offboarding. What has to survive a kill is saved before the act that it is about."""

    cluster: Cluster
    clock: Clock
    live: Manifest

    def __post_init__(self) -> None:
        """Take up the status that is there."""
        self.status = TenantOffboardingStatus.model_validate(self.live.get("status") or {})

    def step(self, name: str) -> Step | None:
        """Return a step by name."""
        return next((step for step in self.status.steps if step.name == name), None)

    async def mark(self, name: str, state: str, evidence: str = "") -> None:
        """Save a step; a step that says the same already is not written again."""
        old = self.step(name)
        if old and (old.state, old.evidence) == (state, evidence):
            return
        new = Step(name=name, state=state, evidence=evidence, at=stamp(self.clock.now()))
        steps = [new if step.name == name else step for step in self.status.steps]
        await self.save(steps=steps if old else [*steps, new])

    async def save(self, **changes: Any) -> None:
        """Write the status when it changes. Raises Conflict when somebody else wrote the object: then all is looked at anew."""
        changed = self.status.model_copy(update=changes)
        if changed == self.status and self.live.get("status"):
            return
        self.live = await self.cluster.write_status(self.live, changed.manifest())
        self.status = changed

    async def say(self, decision: Decision, *, export: tuple[Word, str] | None = None, trouble: str = "") -> None:
        """Write the phase and the conditions that follow from a decision."""
        conditions = {
            Promise.APPROVED: _approved(decision),
            Promise.NOT_HELD: _not_held(decision),
            Promise.EXPORT_VERIFIED: _exported(self.status.export, export),
            Promise.GRACE_ELAPSED: _grace(decision),
            Promise.CERTIFIED: _certified(decision, trouble),
            Promise.STALLED: _stalled(decision),
        }
        old = {str(item.type): item for item in self.status.conditions}
        now = stamp(self.clock.now())
        generation = self.live["metadata"].get("generation")
        written = []
        for promise, (status, reason, message) in conditions.items():
            before = old.get(str(promise))
            since = before.last_transition_time if before and before.status == status else now
            body = {
                "type": str(promise),
                "status": status,
                "reason": str(reason),
                "message": message[:_MESSAGE_LIMIT],
                "observedGeneration": generation,
                "lastTransitionTime": since,
            }
            written.append(body)
        await self.save(
            **_parsed(
                {
                    "observedGeneration": generation,
                    "phase": str(decision.phase),
                    "approvals": list(decision.approvals.approvers),
                    "destroyAfter": self._ends(decision),
                    "conditions": written,
                }
            )
        )

    def _ends(self, decision: Decision) -> str | None:
        if decision.destroy_after:
            return stamp(decision.destroy_after)
        return self.status.destroy_after if self.status.export else None


Said = tuple[ConditionStatus, Word, str]


def _parsed(body: Mapping[str, Any]) -> dict[str, Any]:
    found = TenantOffboardingStatus.model_validate(body)
    return {name: getattr(found, name) for name in found.model_fields_set}


def _approved(decision: Decision) -> Said:
    count = decision.approvals
    return ("True" if count.enough else "False", count.reason, count.message)


def _not_held(decision: Decision) -> Said:
    if decision.phase is Phase.HELD:
        return ("False", Word.LEGAL_HOLD, decision.message)
    return ("True", Word.NO_HOLD, "no TenantHold names this tenant")


def _exported(done: ExportReceipt | None, progress: tuple[Word, str] | None) -> Said:
    if done:
        text = f"{done.bucket}/{done.key}: {done.size} bytes, SHA-256 {done.sha256}, read back at {done.verified_at}"
        return ("True", Word.EXPORT_VERIFIED, text)
    reason, text = progress or (Word.EXPORT_WAITING, "not made yet")
    return ("False", reason, text)


def _grace(decision: Decision) -> Said:
    if decision.phase in {Phase.DESTROYING, Phase.CERTIFIED}:
        return ("True", Word.GRACE_ELAPSED, decision.message)
    if decision.phase is Phase.GRACE_PERIOD:
        return ("False", Word.GRACE_PERIOD, decision.message)
    return ("False", Word.EXPORT_WAITING, "the grace period begins when the export has been read back")


def _certified(decision: Decision, trouble: str) -> Said:
    if decision.phase is Phase.CERTIFIED:
        return ("True", Word.CERTIFIED, decision.message)
    reason = Word.DESTROYING if decision.phase is Phase.DESTROYING else Word.PROGRESSING
    return ("False", reason, trouble or decision.message)


def _stalled(decision: Decision) -> Said:
    if decision.phase is Phase.REFUSED:
        return ("True", decision.reason, decision.message)
    return ("False", Word.PROGRESSING, "")
