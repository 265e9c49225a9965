"""Carrying out a plan: what is recorded as the outcome is what came of each act, whatever happened to the others."""

import asyncio
from dataclasses import dataclass

import pytest

from tenant_operator.ports import Planned
from tenant_operator.reconcile.execute import Executor
from tenant_operator.reconcile.plan import Plan, Step
from tenant_operator.stack.part import Desired, ObjectKey
from tests.support.tenants import context
from tests.support.world import FakeAudit, FakeCluster


@dataclass
class Uneven(FakeCluster):
    """Takes a moment for an object, or for ever; and has a mistake about another."""

    seconds: float = 0.1

    async def create(self, manifest):
        if manifest["metadata"]["name"] == "mistaken":
            raise ZeroDivisionError("a mistake")
        await asyncio.sleep(self.seconds)
        return await super().create(manifest)


def step(name: str) -> Step:
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "n"}, "data": {}}
    planned = Planned("operator:object:create", "ConfigMap", name, "n", "Specification", "")
    return Step("create", 10, Desired(manifest, wave=10), None, planned)


def outcomes(audit: FakeAudit) -> dict[str, str]:
    return {planned.object_id: phase for _, phase, planned in audit.entries if phase != "intent"}


async def test_a_mistake_in_one_act_waits_for_the_others_of_its_wave():
    audit = FakeAudit()
    cluster = Uneven(audit)
    with pytest.raises(ZeroDivisionError):
        await Executor(cluster, {}, audit).run(context(), "log", Plan((step("mistaken"), step("slow"))))
    assert cluster.get(ObjectKey("v1", "ConfigMap", "n", "slow")) is not None
    assert outcomes(audit) == {"mistaken": "error", "slow": "ok"}


async def test_an_act_that_was_interrupted_is_not_said_to_have_been_left_out():
    audit = FakeAudit()
    running = asyncio.create_task(
        Executor(Uneven(audit, seconds=60), {}, audit).run(context(), "log", Plan((step("slow"),)))
    )
    await asyncio.sleep(0.05)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert outcomes(audit) == {"slow": "error"}
    (said,) = audit.said
    assert "what came of it is not known" in said
