"""One level-triggered `reconcile(tenant)` for create, update, resume, drift, deletion and timer (DESIGN §2).

gather → plan → record intent → apply → record outcome → look again → status. It looks at the world anew each time and
remembers nothing but what it may forget: the freshness of what lies outside Kubernetes, and how often it had to wait.
"""

import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tenant_operator.api.common import API_VERSION
from tenant_operator.api.names import Names
from tenant_operator.api.reasons import ConditionType, Reason
from tenant_operator.errors import CloisterError, Conflict, Missing, Retryable
from tenant_operator.ports import Clock, Cluster, Recorder
from tenant_operator.reconcile import plan as planning
from tenant_operator.reconcile import preflight, status
from tenant_operator.reconcile.contexts import Contexts, NotReadyError
from tenant_operator.reconcile.execute import Executor, Result
from tenant_operator.reconcile.gather import Gatherer
from tenant_operator.reconcile.ledger import Ledger, namespace_key
from tenant_operator.reconcile.serving import Serving
from tenant_operator.stack import app_config
from tenant_operator.stack.part import Context, Finding, Manifest, ObjectKey, Observed, Part

RESYNC_SECONDS = 300.0
WAIT_SECONDS = 15.0
"""Most waits end with an event; this is for those that do not (Vault unsealed, a store that is back)."""
_FIRST_RETRY_SECONDS = 0.2
_log = logging.getLogger(__name__)


@dataclass
class Reconciler:
    """Makes one tenant real. `gone` tells what was deleted and when, for the cause in the record."""

    cluster: Cluster
    recorder: Recorder
    clock: Clock
    ledger: Ledger
    contexts: Contexts
    gatherer: Gatherer
    executor: Executor
    parts: Sequence[Part]
    gone: Mapping[ObjectKey, Any]
    hands_off: Callable[[str, Manifest | None], Finding | None]
    """Whether an offboarding has taken the tenant over."""
    audit_alive: Callable[[], bool] = lambda: False
    serving: Serving = field(init=False)
    _failures: dict[str, int] = field(default_factory=dict)
    _opened: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Begin with nothing taken up."""
        self.serving = Serving(self.recorder, self.contexts.derive)

    async def reconcile(self, tenant: str) -> float:
        """Bring one tenant a step nearer to what is desired; return after how many seconds to look again."""
        live = self.cluster.get(ObjectKey(API_VERSION, "Tenant", "", tenant))
        try:
            return await self._step(tenant, live)
        except CloisterError as error:
            return await self._failed(tenant, live, error)

    async def _step(self, tenant: str, live: Manifest | None) -> float:
        try:
            return await (self._present(tenant, live) if live else self._absent(tenant))
        except NotReadyError as error:
            if live:
                await self._say(live, None, [error.finding])
            return WAIT_SECONDS

    async def _failed(self, tenant: str, live: Manifest | None, error: CloisterError) -> float:
        count = self._failures[tenant] = self._failures.get(tenant, 0) + 1
        delay: float = min(WAIT_SECONDS, _FIRST_RETRY_SECONDS * 2.0 ** min(count, 10)) * random.uniform(0.8, 1.2)  # noqa: S311
        _log.info("tenant %s: %s (again in %.1f s)", tenant, error.message, delay)
        if live and not isinstance(error, Missing | Conflict) and error.reason != Reason.API_UNREACHABLE:
            kind = ConditionType.DRIFT_FREE
            if error.reason in {Reason.AUDIT_UNAVAILABLE, Reason.AUDIT_REFUSED}:
                kind = ConditionType.AUDIT_CURRENT
            fresh = self.cluster.get(ObjectKey.of(live)) or live
            finding = Finding(
                kind, "False" if kind == ConditionType.AUDIT_CURRENT else "Unknown", error.reason, error.message
            )
            try:
                await self._say(fresh, None, [finding])
            except CloisterError as another:  # the next look says it
                _log.info("tenant %s: its status could not be written: %s", tenant, another.message)
        return delay

    async def _present(self, tenant: str, live: Manifest) -> float:
        record = self.ledger.find(tenant)
        names = Names(tenant, record["spec"]["id"] if record else "")
        self._refuse_taken(tenant, names, record)
        if blocked := self.hands_off(tenant, record):
            await self._say(live, None, [blocked])
            return WAIT_SECONDS
        spec = self.contexts.spec(live.get("spec"))
        generation = live["metadata"]["generation"]
        running = not spec.suspend
        self.contexts.build(names, spec, generation, running=running)  # nothing is half made: all is checked first
        if record is None:
            record = await self.ledger.open(tenant, live["spec"], self.serving.edit(live))
        names = Names(tenant, record["spec"]["id"])
        ctx = self.contexts.build(names, spec, generation, running=running)
        if record["spec"]["state"] == "Retained":
            record = await self.ledger.move(record, "Live", "the Tenant was applied again", self.serving.edit(live))
        await self.ledger.keep_spec(record, live["spec"], generation, self.serving.edit(live))
        return await self._converge(ctx, live)

    def _refuse_taken(self, tenant: str, names: Names, record: Manifest | None) -> None:
        if record and record["spec"]["state"] == "Destroyed":
            said = (
                f"the name {tenant} belongs to a tenant that was destroyed at {record['spec']['since']}: choose another"
            )
            raise NotReadyError(preflight.stalled(Reason.NAME_RESERVED, said))
        if record is None and self.cluster.get(ObjectKey("v1", "Namespace", "", names.namespace)) is not None:
            if self.ledger.identity_of_namespace(tenant):
                return
            said = f"namespace {names.namespace} exists and is not ours: remove it or choose another name"
            raise NotReadyError(preflight.stalled(Reason.NAMESPACE_TAKEN, said))

    async def _open_log(self, ctx: Context) -> None:
        if ctx.names.audit_log not in self._opened:
            await self.recorder.open_log(ctx)
            self._opened.add(ctx.names.audit_log)

    async def _absent(self, tenant: str) -> float:
        """Stop what a deleted Tenant left, keep everything, and say so in its record."""
        record = self.ledger.find(tenant)
        if record is None:
            namespace = self.cluster.get(namespace_key(tenant))
            if namespace is None or namespace["metadata"].get("deletionTimestamp"):
                return RESYNC_SECONDS
            record = await self.ledger.rebuild(namespace)
        if record["spec"]["state"] == "Destroyed" or self.hands_off(tenant, record):
            return RESYNC_SECONDS
        if not record["spec"].get("lastSpec"):
            return RESYNC_SECONDS
        spec = self.contexts.spec(record["spec"]["lastSpec"])
        ctx = self.contexts.build(Names(tenant, record["spec"]["id"]), spec, 0, running=False)
        serving = await self.serving.deletion(ctx.names, record)
        _, result, _ = await self._act(ctx, serving)
        if not result.failures and record["spec"]["state"] == "Live":
            said = "the Tenant was deleted; data, keys and backups are kept"
            await self.ledger.move(record, "Retained", said, serving)
        return WAIT_SECONDS if result.failures else RESYNC_SECONDS

    async def _act(self, ctx: Context, serving: str = "") -> tuple[planning.Plan, Result, Observed]:
        wanted = planning.resources(ctx, self.parts)
        seen = await self.gatherer.observe(ctx, wanted)
        todo = planning.make(ctx, wanted, seen, self.gone)
        if not todo.steps:
            return todo, Result(), seen
        try:
            await self._open_log(ctx)
            result = await self.executor.run(ctx, ctx.names.audit_log, todo, serving)
        except Retryable as error:
            if error.reason != Reason.AUDIT_UNAVAILABLE:
                raise
            # Nothing was done and nothing will be; but what is there can still be looked at and said.
            return todo, Result(failures=[(todo.steps[0], error)]), seen
        return todo, result, await self.gatherer.observe(ctx, wanted)

    async def _converge(self, ctx: Context, live: Manifest) -> float:
        todo, result, seen = await self._act(ctx, self.serving.edit(live))
        findings = [finding for part in self.parts for finding in part.checks(ctx, seen)]
        findings += [self._drift(result), self._audit(result)]
        fresh = self.cluster.get(ObjectKey.of(live)) or live
        verdict = await self._say(fresh, ctx, findings, seen=seen, busy=bool(todo.steps) and not todo.troubles)
        record = self.ledger.find(ctx.names.tenant)
        if record and verdict.ready:
            await self.ledger.keep_inventory(record, self._inventory(ctx, seen))
        if result.failures:
            return self._retry_after(ctx.names.tenant, result)
        self._failures.pop(ctx.names.tenant, None)
        if todo.steps:
            return _FIRST_RETRY_SECONDS  # gates may have opened
        if verdict.ready:
            self.serving.settled(ctx.names.tenant, ctx.generation)
        if todo.troubles or not verdict.ready:
            return min(WAIT_SECONDS, 5.0) if todo.troubles else WAIT_SECONDS
        return RESYNC_SECONDS * random.uniform(0.9, 1.1)  # noqa: S311 - spreads load, guards nothing

    def _retry_after(self, tenant: str, result: Result) -> float:
        count = self._failures[tenant] = self._failures.get(tenant, 0) + 1
        for step, error in result.failures:
            _log.warning("tenant %s: %s %s: %s", tenant, step.verb, step.planned.object_id, error.message)
        if all(not error.retryable for _, error in result.failures):
            return WAIT_SECONDS
        return min(WAIT_SECONDS, _FIRST_RETRY_SECONDS * 2.0 ** min(count, 10))

    def _drift(self, result: Result) -> Finding:
        kind = ConditionType.DRIFT_FREE
        if not result.failures:
            return Finding(kind, "True", Reason.NO_DRIFT, "everything is as it was rendered")
        step, error = result.failures[0]
        said = f"{step.verb} {step.planned.object_type} {step.planned.object_id}: {error.message}"
        return Finding(kind, "Unknown" if error.retryable else "False", error.reason, said)

    def _audit(self, result: Result) -> Finding:
        kind = ConditionType.AUDIT_CURRENT
        if result.failures and result.failures[0][1].reason in {Reason.AUDIT_UNAVAILABLE, Reason.AUDIT_REFUSED}:
            return Finding(kind, "False", result.failures[0][1].reason, result.failures[0][1].message)
        if self.audit_alive():
            return Finding(
                kind, "True", Reason.RECORDED, "the audit service answers; every act has its intent and its outcome"
            )
        return Finding(
            kind, "False", Reason.AUDIT_UNAVAILABLE, "the audit service does not answer: nothing will be changed"
        )

    def _inventory(self, ctx: Context, seen: Observed) -> list[dict[str, Any]]:
        return [item.manifest() for part in self.parts for item in part.inventory(ctx, seen)]

    async def _say(
        self,
        live: Manifest,
        ctx: Context | None,
        findings: Sequence[Finding],
        *,
        seen: Observed | None = None,
        busy: bool = False,
    ) -> status.Verdict:
        """Write the status if it changed, and an Event for each transition worth one."""
        before = live.get("status") or {}
        generation = live["metadata"]["generation"]
        old = before.get("conditions", [])
        running = ctx.running if ctx else True
        if ctx is None:
            findings = [*findings, *_kept(old, findings)]
        verdict = status.judge(
            findings, previous=old, generation=generation, now=self.clock.now(), running=running, busy=busy
        )
        wanted: dict[str, Any] = {**before, "observedGeneration": generation, "phase": verdict.phase}
        wanted["conditions"] = verdict.conditions
        if ctx and seen:
            wanted |= {
                "id": ctx.names.id,
                "namespace": ctx.namespace,
                "url": f"https://{ctx.spec.hostname}",
                "inventory": self._inventory(ctx, seen),
            }
            if any(item.type == ConditionType.APP_READY and item.status == "True" for item in findings):
                wanted["appVersion"] = app_config.version(ctx)
        if wanted != before:
            await self.cluster.write_status(live, wanted)
            for item in status.flips(old, verdict.conditions):
                good = item["status"] == ("False" if item["type"] == ConditionType.STALLED else "True")
                await self.cluster.post_event(live, "Normal" if good else "Warning", item["reason"], _event_text(item))
        return verdict


def _kept(old: Sequence[Mapping[str, Any]], findings: Sequence[Finding]) -> list[Finding]:
    """Return what cannot be looked at now as Unknown, with what was last seen, so that nothing claims to be fresh."""
    named = {finding.type for finding in findings} | {
        ConditionType.READY,
        ConditionType.STALLED,
        ConditionType.RECONCILING,
    }
    return [
        Finding(ConditionType(item["type"]), "Unknown", Reason.NOT_OBSERVED, item["message"])
        for item in old
        if item["type"] not in named
    ]


def _event_text(item: Mapping[str, Any]) -> str:
    return f"{item['type']} is {item['status']}: {item['message']}"
