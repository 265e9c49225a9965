"""The offboarding's reconciler: looks at everything anew, decides, does one thing, says what it saw.

Nothing is destroyed but in `_destroy`, and there each act is preceded by `check`, which reads the offboarding, its approvals,
the holds and the record from the API server and decides again (state.py). It may be killed anywhere.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from tenant_operator.api.common import API_VERSION
from tenant_operator.api.names import PLATFORM_LOG, Names
from tenant_operator.errors import CloisterError, Conflict
from tenant_operator.offboarding.certifying import Certifier
from tenant_operator.offboarding.destroying import Destroyer
from tenant_operator.offboarding.exporting import Exporter
from tenant_operator.offboarding.journal import Journal
from tenant_operator.offboarding.ports import ContextFor, ExportStore, KeyVault
from tenant_operator.offboarding.removals import plan
from tenant_operator.offboarding.state import Decision, Facts, decide
from tenant_operator.offboarding.words import MARK_DESTROYING, MARK_OFFBOARDING, Phase, Word
from tenant_operator.ports import Clock, Cluster, OutsideSystem, Planned, Recorder
from tenant_operator.stack.part import Context, Manifest, ObjectKey, Part

AT_ONCE = timedelta(0)
SOON = timedelta(seconds=1)
RETRY = timedelta(seconds=2)
WAIT = timedelta(minutes=1)
LONGEST = timedelta(minutes=15)
GUARD = timedelta(hours=6)
"""A Vault restored from an older backup has the keys again; they are looked for this often, and at every start."""
TAKEN_OVER, RE_READ, BEGAN = "taken over", "export read again", "destruction began"


class StoppedError(Exception):
    """What was allowed a moment ago is not allowed now."""


@dataclass
class Offboarder:
    """Brings one TenantOffboarding a step further at each call."""

    cluster: Cluster
    outside: Mapping[str, OutsideSystem]
    keys: KeyVault
    store: ExportStore
    recorder: Recorder
    clock: Clock
    parts: Sequence[Part]
    context_for: ContextFor
    operator_namespace: str = "cloister-system"

    def __post_init__(self) -> None:
        """Make the hands."""
        self._exporter = Exporter(self.cluster, self.store, self.recorder, self.clock)
        self._destroyer = Destroyer(self.cluster, self.outside, self.keys, self.recorder, self.clock, self.parts)
        self._certifier = Certifier(self.cluster, self.keys, self.recorder, self.clock, self.operator_namespace)

    async def reconcile(self, name: str) -> timedelta | None:
        """Look and do the next thing; return when to look again, None for never before something changes."""
        facts = await self._look(name)
        if facts is None:
            return None
        decision = decide(facts)
        journal = Journal(self.cluster, self.clock, facts.offboarding)
        try:
            await self._tell(facts, decision, journal)
            return await self._act(facts, decision, journal)
        except (StoppedError, Conflict):
            return SOON
        except CloisterError as error:
            with suppress(CloisterError):  # said at the next look, if somebody else wrote the object or nobody can now
                await journal.say(decision, trouble=error.message)
            return RETRY if error.retryable else WAIT

    async def _look(self, name: str) -> Facts | None:
        """Read everything a decision rests on, live: a store that is behind may not destroy anything."""
        live = await self.cluster.read(ObjectKey(API_VERSION, "TenantOffboarding", "", name))
        if live is None:
            return None
        record = await self.cluster.read(ObjectKey(API_VERSION, "TenantRecord", "", live["spec"]["tenant"]))
        return Facts(
            offboarding=live,
            record=record,
            approvals=await self.cluster.read_list(API_VERSION, "TenantApproval"),
            holds=await self.cluster.read_list(API_VERSION, "TenantHold"),
            offboardings=await self.cluster.read_list(API_VERSION, "TenantOffboarding"),
            now=self.clock.now(),
        )

    async def _act(self, facts: Facts, decision: Decision, journal: Journal) -> timedelta | None:
        match decision.phase:
            case Phase.EXPORTING:
                return await self._export(facts, decision, journal)
            case Phase.GRACE_PERIOD:
                return await self._wait(facts, decision, journal)
            case Phase.DESTROYING:
                return await self._destroy(facts, decision, journal)
            case Phase.CERTIFIED:
                await self._finish(facts, decision, journal)
                await self._keep_destroyed(facts)
                return GUARD
            case Phase.HELD | Phase.AWAITING_APPROVALS:
                await journal.say(decision)
                return WAIT
            case Phase.REFUSED:
                await journal.say(decision)
                return None

    async def _export(self, facts: Facts, decision: Decision, journal: Journal) -> timedelta:
        ctx = await self._context(facts)
        await journal.mark(TAKEN_OVER, "Done", "the tenant's reconciler keeps its hands off")
        facts = await self._mark(facts, MARK_OFFBOARDING)
        progress = await self._exporter.advance(ctx, facts.offboarding)
        if progress.receipt:
            await journal.save(export=progress.receipt)
            return AT_ONCE
        await journal.say(decision, export=(progress.reason, progress.message))
        return SOON

    async def _wait(self, facts: Facts, decision: Decision, journal: Journal) -> timedelta:
        await self._mark(facts, MARK_OFFBOARDING)
        await journal.say(decision)
        await self._exporter.tidy(await self._context(facts), facts.uid)
        left = (decision.destroy_after or facts.now) - facts.now
        return min(left + SOON, LONGEST)

    async def _destroy(self, facts: Facts, decision: Decision, journal: Journal) -> timedelta:
        ctx = await self._context(facts)
        await journal.say(decision)
        name = facts.offboarding["metadata"]["name"]

        async def check() -> None:
            found = await self._look(name)
            if found is None or found.uid != facts.uid or not decide(found).may_destroy:
                raise StoppedError(name)

        if journal.step(BEGAN) is None:
            wrong = await self._exporter.confirm(ctx, journal.status.export) if journal.status.export else "no export"
            if wrong:
                # What was verified is no longer there: the export is made anew, and its grace period begins anew.
                await journal.save(export=None, destroy_after=None)
                await journal.say(decision, export=(Word.EXPORT_MISMATCH, wrong), trouble=wrong)
                return SOON
            await check()
            await journal.mark(RE_READ, "Done", "every byte, just before the destruction began")
            await journal.mark(BEGAN, "Done", decision.message)
        facts = await self._mark(facts, MARK_DESTROYING)
        if waiting := await self._destroyer.advance(ctx, journal, check):
            await journal.say(decision, trouble=waiting)
            return SOON
        if back := await self._destroyer.reappeared(ctx):
            for item in back:
                if journal.step(item):
                    await journal.mark(item, "Deleting", "it was there again when everything was listed once more")
            await journal.say(decision, trouble=f"there again: {', '.join(back)}")
            return SOON
        await check()
        await self._certifier.certify(ctx, facts, decision, journal)
        return AT_ONCE

    async def _finish(self, facts: Facts, decision: Decision, journal: Journal) -> None:
        """Remove the Tenant, if it is still there, and show the certificate. The record is the tombstone already."""
        tenant = await self.cluster.read(ObjectKey(API_VERSION, "Tenant", "", facts.tenant))
        if tenant and not tenant["metadata"].get("deletionTimestamp"):
            planned = Planned(
                "operator:object:delete", "Tenant", facts.tenant, "", "Offboarding", "destroyed and certified"
            )
            async with self.recorder.acts(PLATFORM_LOG, [planned]) as (act,):
                await self.cluster.delete(tenant)
                act.done()
        await journal.save(certificate=(facts.record or {})["spec"]["certificate"])
        await journal.say(decision)

    async def _keep_destroyed(self, facts: Facts) -> None:
        """Destroy keys that came back after the certificate, as they do when Vault is restored from an older backup."""
        ctx = await self._context(facts)
        for item in plan(ctx, self.parts):
            if (
                isinstance(item.key, ObjectKey)
                or item.key.system != "vault"
                or await self.keys.is_absent(ctx, item.key)
            ):
                continue
            text = "it was there again after its certified destruction, as after a restore of Vault"
            planned = Planned(item.action, f"vault-{item.key.kind}", item.key.name, "", "Offboarding", text)
            async with self.recorder.acts(ctx.names.audit_log, [planned]) as (act,):
                await self.outside["vault"].delete(ctx, item.key)
                act.done("ok", text)

    async def _context(self, facts: Facts) -> Context:
        tenant = await self.cluster.read(ObjectKey(API_VERSION, "Tenant", "", facts.tenant))
        return await self.context_for(tenant, facts.record or {})

    async def _mark(self, facts: Facts, mark: str) -> Facts:
        """Mark the record as ours. Said again at every look, because another write may have dropped it."""
        record: Manifest = facts.record or {}
        marks: dict[str, Any] = record["metadata"].get("annotations") or {}
        if marks.get(mark) == facts.uid:
            return facts
        patched = await self.cluster.patch(record, {"metadata": {"annotations": {mark: facts.uid}}})
        return replace(facts, record=patched)

    async def _tell(self, facts: Facts, decision: Decision, journal: Journal) -> None:
        """Record what is new since the last look: the request, each approval that counts, a refusal, a hold; as an Event too."""
        name = facts.offboarding["metadata"]["name"]
        log = PLATFORM_LOG
        if facts.record:
            log = Names(facts.tenant, facts.record["spec"]["id"]).audit_log
        news: list[Planned] = []
        if journal.status.phase is None:
            spec = facts.offboarding["spec"]
            news.append(_news("operator:offboarding:request", name, spec["reason"], spec["requestedBy"]))
        for approval in decision.approvals.records:
            if approval["approver"] not in journal.status.approvals:
                text = f"{approval['name']}: {approval['statement']}"
                news.append(_news("operator:offboarding:approve", name, text, approval["approver"]))
        changed = journal.status.phase != str(decision.phase)
        if changed and decision.phase in {Phase.REFUSED, Phase.HELD}:
            news.append(_news("operator:offboarding:refuse", name, decision.message))
        for item in news:
            await self.recorder.note(log, item)
        if changed:
            warning = decision.phase in {Phase.REFUSED, Phase.HELD, Phase.DESTROYING}
            kind = "Warning" if warning else "Normal"
            await self.cluster.post_event(facts.offboarding, kind, str(decision.phase), decision.message)


def _news(action: str, name: str, text: str, person: str = "") -> Planned:
    return Planned(action, "TenantOffboarding", name, reason="Offboarding", text=text, actor=person)
