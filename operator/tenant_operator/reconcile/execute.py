"""Carries out a plan: intents first, then wave by wave, outcomes last. A wave that fails ends the run; the next look goes on."""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tenant_operator.api.names import FIELD_MANAGER
from tenant_operator.api.reasons import Reason
from tenant_operator.errors import AlreadyThere, CloisterError, Conflict, Refused
from tenant_operator.ports import Act, Cluster, OutsideSystem, Planned, Recorder
from tenant_operator.reconcile.compare import differences
from tenant_operator.reconcile.plan import Plan, Step
from tenant_operator.stack.part import Context, Desired, External, Manifest, ObjectKey

TAKE_BACK_LIMIT = 3
TAKE_BACK_WINDOW_SECONDS = 600.0
"""A field that somebody takes again and again is taken back this often in this time; then it is a condition, not a fight."""


@dataclass
class Result:
    """What came of a plan."""

    done: int = 0
    failures: list[tuple[Step, CloisterError]] = field(default_factory=list)


@dataclass
class Executor:
    """The only place where the operator changes a tenant's stack."""

    cluster: Cluster
    systems: Mapping[str, OutsideSystem]
    recorder: Recorder
    _taken_back: dict[ObjectKey, deque[float]] = field(default_factory=lambda: defaultdict(deque))

    async def run(self, ctx: Context, log: str, plan: Plan, serving: str = "") -> Result:
        """Carry out a plan. Raises Retryable when the intents cannot be recorded: then nothing was done.

        `serving` is the admission entry of the edit that is being taken up; what follows from it cites it.
        """
        result = Result()
        if not plan.steps:
            return result
        async with self.recorder.acts(log, [_cited(step, serving) for step in plan.steps]) as acts:
            by_step: Mapping[int, Act] = {id(step): act for step, act in zip(plan.steps, acts, strict=True)}
            for wave in plan.waves:
                acting = (self._one(ctx, step, by_step[id(step)], result) for step in wave)
                ends = await asyncio.gather(*acting, return_exceptions=True)
                # A mistake in one act is raised once all acts of its wave have ended: else they would go on after their outcomes.
                if mistakes := [end for end in ends if end is not None]:
                    raise mistakes[0]
                if result.failures:
                    break
        return result

    async def _one(self, ctx: Context, step: Step, act: Act, result: Result) -> None:
        try:
            said = await self._act(ctx, step)
        except CloisterError as error:
            act.done("error", error.message)
            result.failures.append((step, error))
        except BaseException as error:
            act.done("error", f"what came of it is not known: it ended with {type(error).__name__}")
            raise
        else:
            act.done("ok", said)
            result.done += 1

    async def _act(self, ctx: Context, step: Step) -> str:
        if isinstance(step.resource, External):
            return await self.systems[step.resource.key.system].ensure(ctx, step.resource, step.seen)
        if step.verb == "delete" and step.live is not None:
            await self.cluster.delete(step.live)
            return "deleted"
        wanted = step.resource
        if not isinstance(wanted, Desired):
            raise TypeError(f"a step without a resource: {step.verb}")
        if step.verb == "create":
            return await self._create(wanted)
        if step.verb == "replace" and step.live is not None:
            self._may_take_back(wanted.key)
            await self.cluster.replace(wanted.manifest, step.live)
            return "replaced"
        return await self._apply(wanted, step.live)

    async def _create(self, wanted: Desired) -> str:
        try:
            await self.cluster.create(wanted.manifest)
        except AlreadyThere:
            if wanted.create_only:
                return "was there already"
            await self.cluster.apply(wanted.manifest)
            return "was there already; applied"
        return "created"

    async def _apply(self, wanted: Desired, live: Manifest | None) -> str:
        said = "applied"
        try:
            made = await self.cluster.apply(wanted.manifest)
        except Conflict as conflict:
            if live is None or not _may_force(live):
                raise
            self._may_take_back(wanted.key)
            made = await self.cluster.apply(wanted.manifest, force=True)
            said = f"taken back: {conflict.message}"
        if left := differences(wanted.manifest, made):
            # Applying it again and again would change nothing; somebody has to know.
            said = f"{wanted.key}: the API server keeps {', '.join(left)} otherwise than it was applied"
            raise Refused(said, reason=Reason.NOT_AS_SPECIFIED)
        return said

    def _may_take_back(self, key: ObjectKey) -> None:
        times = self._taken_back[key]
        now = time.monotonic()
        while times and now - times[0] > TAKE_BACK_WINDOW_SECONDS:
            times.popleft()
        if len(times) >= TAKE_BACK_LIMIT:
            said = f"{key} was changed back {TAKE_BACK_LIMIT} times in ten minutes by someone else: find out who, and stop them"
            raise Conflict(said, reason=Reason.FIELD_CONFLICT)
        times.append(now)


def _cited(step: Step, serving: str) -> Planned:
    """Return what is planned, with the edit it follows from: not for repairs of objects, nor for what is due by the clock.

    Of what lies outside Kubernetes nobody says who changed it; while an edit is taken up, it is the edit.
    """
    follows = step.planned.reason in {"Specification", "NoLongerDesired"}
    follows = follows or (isinstance(step.resource, External) and step.planned.reason == "Drift")
    return replace(step.planned, request=serving) if serving and follows else step.planned


def _may_force(live: Manifest) -> bool:
    """Tell whether the fields may be taken back: not from another manager that *applies* them, which has declared them its own.

    A hand's edit (kubectl edit, patch, scale) is drift and is repaired; a second source of truth is a conflict that people
    have to settle (docs/adr/0005).
    """
    return not any(
        entry.get("operation") == "Apply" and entry.get("manager") != FIELD_MANAGER
        for entry in live["metadata"].get("managedFields", ())
    )
