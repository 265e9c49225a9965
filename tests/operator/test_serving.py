"""What the operator's acts cite: the admission entry of the edit they follow from, and nothing when they follow from none."""

import copy

import pytest

from audit_contract.entry import uuid7
from tenant_operator.api.names import ANNOTATION_ADMISSION
from tenant_operator.stack import stamp
from tenant_operator.stack.part import ObjectKey
from tests.operator.test_reconciler import TENANT, World
from tests.support.tenants import DERIVE, tenant_body

KEY = stamp.key_of(DERIVE)


def admit(world, *, key=KEY, **spec) -> str:
    """Have the Tenant applied through the webhook; return the entry that admitted it."""
    old = world.cluster.get(TENANT) or {"metadata": {"generation": 0}}
    body = copy.deepcopy(tenant_body())
    body["spec"] |= spec
    entry = uuid7()
    changed = old.get("spec") != body["spec"]
    made = stamp.make(key, body, entry, old["metadata"]["generation"] + changed)
    body["metadata"]["annotations"] = {ANNOTATION_ADMISSION: str(made)}
    world.cluster.put({**body, **({"status": old["status"]} if "status" in old else {})}, manager="kubectl")
    return entry


def intents(world, since: int = 0):
    return [item for _, kind, item in world.audit.entries[since:] if kind == "intent"]


def ready(world):
    """Have the status say that the present generation is Ready, as when everything has started."""
    live = world.cluster.get(TENANT)
    item = {"type": "Ready", "status": "True", "observedGeneration": live["metadata"]["generation"]}
    kept = [c for c in live.get("status", {}).get("conditions", []) if c["type"] != "Ready"]
    status = {**live.get("status", {}), "conditions": [*kept, item]}
    world.cluster.put({**live, "status": status}, manager="kubectl")


async def test_every_act_of_an_onboarding_cites_the_entry_that_admitted_the_tenant():
    world = World()
    entry = admit(world)
    for _ in range(3):
        await world.reconciler.reconcile("acme-pharma")
    found = intents(world)
    assert len(found) > 20
    assert {item.request for item in found} == {entry}
    assert {"operator:tenant:onboard", "operator:object:create", "operator:vault-key:create"} <= {
        item.action for item in found
    }


async def test_a_repair_cites_nothing_even_while_an_edit_is_taken_up():
    world = World()
    admit(world)
    for _ in range(3):
        await world.reconciler.reconcile("acme-pharma")
    before = len(world.audit.entries)
    key = ObjectKey("networking.k8s.io/v1", "NetworkPolicy", "tenant-acme-pharma", "default-deny")
    world.cluster.vanish(key)
    await world.reconciler.reconcile("acme-pharma")
    (found,) = [item for item in intents(world, before) if item.object_type == "NetworkPolicy"]
    assert (found.reason, found.request) == ("Drift", "")


async def test_once_it_is_ready_what_follows_is_no_longer_the_edits_and_the_next_edit_is_cited_again():
    world = World()
    admit(world)
    for _ in range(3):
        await world.reconciler.reconcile("acme-pharma")
    ready(world)
    world.start()  # a new process knows it from the status
    before = len(world.audit.entries)
    region = ObjectKey("cloister.dev/v1alpha1", "TenantClass", "", tenant_body()["spec"]["class"])
    klass = copy.deepcopy(world.cluster.get(region))
    klass["spec"]["app"]["replicas"] += 1
    world.cluster.put(klass)
    await world.reconciler.reconcile("acme-pharma")
    assert all(not item.request for item in intents(world, before))
    before = len(world.audit.entries)
    entry = admit(world, displayName="Renamed")
    await world.reconciler.reconcile("acme-pharma")
    found = intents(world, before)
    assert [item.action for item in found][:1] == ["operator:tenant:update"]
    assert {item.request for item in found if item.reason == "Specification"} == {entry}


@pytest.mark.parametrize("forged", [True, False])
async def test_a_tenant_without_a_genuine_stamp_is_served_and_cites_nothing(forged):
    world = World()
    if forged:
        admit(world, key=b"x" * 32)
    else:
        world.apply_tenant()
    await world.reconciler.reconcile("acme-pharma")
    assert intents(world)
    assert {item.request for item in intents(world)} == {""}


async def test_stopping_a_deleted_tenant_cites_the_deletion():
    world = World()
    admit(world)
    for _ in range(3):
        await world.reconciler.reconcile("acme-pharma")
    world.reconciler.serving.deletions = True
    world.cluster.vanish(TENANT)
    record = world.reconciler.ledger.find("acme-pharma")
    deletion = uuid7()
    log = f"tenant-{record['spec']['id']}"
    # The fakes' clock stands in 2026-11-23; the entry is of now, and so after the tenant's beginning.
    world.audit.admissions[log, "admission:resource:delete", "Tenant", "acme-pharma"] = deletion
    before = len(world.audit.entries)
    await world.reconciler.reconcile("acme-pharma")
    found = intents(world, before)
    assert "operator:tenant:retain" in {item.action for item in found}
    assert {item.request for item in found} == {deletion}
