"""Whole offboardings in a small world: the happy path, every kill, holds in the middle, and what must never be destroyed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenant_operator.api.common import API_VERSION
from tenant_operator.offboarding import certificate, certifying
from tenant_operator.stack.part import ObjectKey
from tests.support.fakes_offboarding import TENANT, World, approve, hold, offboarding_key, populated, run
from tests.support.tenant_context import IDENTITY

NAMESPACE = f"tenant-{TENANT}"


def judge(world: World, what: str) -> None:
    """An independent reading of the law: what must be true of the world when something is destroyed."""
    live = world.objects[offboarding_key()]
    uid = live["metadata"]["uid"]
    approvals = [item for key, item in world.objects.items() if key.kind == "TenantApproval"]
    people = {item["spec"]["approver"].lower() for item in approvals if item["spec"]["offboardingUID"] == uid}
    assert len(people) >= 2, f"{what}: {people} approved"
    assert not [key for key in world.objects if key.kind == "TenantHold"], f"{what}: held"
    exported = live["status"]["export"]
    assert world.stored[exported["bucket"], exported["key"]] == world.job_writes, f"{what}: not exported"
    elapsed = world.now_.timestamp() - certificate.when(exported["verifiedAt"]).timestamp()
    assert elapsed >= 3600, f"{what}: {elapsed} s after the export"


def ready(**more) -> World:
    world = populated(judge=judge, **more)
    approve(world, "alice")
    approve(world, "bob")
    return world


def assert_certified(world: World, status) -> None:
    assert status["phase"] == "Certified"
    left = [key for key in world.objects if key.namespace == NAMESPACE or key.name in {NAMESPACE, "pv-1"}]
    assert left == []
    assert sorted(world.keys) == ["cloister-other", "cloister-platform-signing"]
    assert not world.outside & {
        key for key in world.outside if key.name.startswith(f"cloister-{IDENTITY}") and key.kind != "key"
    }
    record = world.objects[ObjectKey(API_VERSION, "TenantRecord", "", TENANT)]
    assert record["spec"]["state"] == "Destroyed"
    assert record["spec"]["certificate"] == status["certificate"]
    assert ObjectKey(API_VERSION, "Tenant", "", TENANT) not in world.objects
    assert certificate.holds(certificate.verify(certificate.encode(status["certificate"])))
    names = [step["name"] for step in status["certificate"]["payload"]["evidence"]]
    assert "PersistentVolume pv-1" in names
    key = next(s for s in status["certificate"]["payload"]["evidence"] if s["name"] == f"vault key cloister-{IDENTITY}")
    assert "opens no more" in key["evidence"]


async def test_a_whole_offboarding():
    world = ready()
    status = await run(world)
    assert_certified(world, status)
    assert world.destroyed.index("delete Deployment tenant-globex-bio/app") < world.destroyed.index(
        "delete StatefulSet tenant-globex-bio/database"
    )
    kinds = [what.split()[1] for what in world.destroyed]
    assert kinds[-1] == "Namespace"
    assert kinds.index("PersistentVolumeClaim") < kinds.index("objectstore") < kinds.index("vault")
    assert world.destroyed[-2] == f"delete vault key cloister-{IDENTITY}"


async def test_every_act_of_destruction_has_intent_and_outcome_and_a_proof():
    world = ready()
    await run(world)
    log = world.logs[f"tenant-{IDENTITY}"]
    intents = [entry for entry in log if entry["phase"] == "intent"]
    outcomes = [entry for entry in log if entry["phase"] == "outcome"]
    assert len(intents) == len(outcomes)
    assert all(entry["result"] == "ok" for entry in outcomes)
    for what in ("app", "database", "database-data", f"cloister-{IDENTITY}", NAMESPACE):
        assert any(entry.get("object") == what for entry in intents), what
    assert [entry["actor"] for entry in log if entry["action"] == "operator:offboarding:approve"] == ["alice", "bob"]


async def test_one_approver_or_the_same_person_twice_is_not_enough():
    world = populated(judge=judge)
    approve(world, "alice")
    approve(world, "Alice", name="again")
    status = await run(world)
    assert status["phase"] == "AwaitingApprovals"
    approved = next(item for item in status["conditions"] if item["type"] == "Approved")
    assert approved["reason"] == "SamePersonTwice"
    assert world.destroyed == []
    assert world.stored == {}


async def test_a_tenant_that_never_was_is_refused():
    world = ready()
    del world.objects[ObjectKey(API_VERSION, "TenantRecord", "", TENANT)]
    assert (await run(world))["phase"] == "Refused"
    assert world.destroyed == []


async def test_a_failed_export_is_tried_again_and_destroys_nothing():
    world = ready(job_writes=None)
    with pytest.raises(AssertionError, match="no rest"):
        await run(world, limit=20)
    conditions = world.objects[offboarding_key()]["status"]["conditions"]
    said = next(item for item in conditions if item["type"] == "ExportVerified")
    assert said["reason"] == "ExportFailed"
    assert "connection refused" in said["message"]
    assert world.destroyed == []
    world.job_writes = b"now it works"
    assert_certified(world, await run(world))


async def test_an_export_that_is_gone_after_the_grace_period_is_made_anew():
    world = ready()
    seen = []

    def lose(world: World, number: int) -> None:
        if world.now_.timestamp() - start > 3500 and not seen:
            seen.append(number)
            world.stored.clear()

    start = world.now_.timestamp()
    world.after_effect = lose
    for key in list(world.stored):
        del world.stored[key]
    status = await run(world, limit=400)
    assert_certified(world, status)


async def test_an_audit_log_that_is_down_means_no_act():
    world = ready(audit_down=True)
    with pytest.raises(AssertionError, match="no rest"):
        await run(world, limit=5)
    assert world.destroyed == []
    assert world.stored == {}
    world.audit_down = False
    assert_certified(world, await run(world))


async def test_a_checkpoint_that_is_late_is_waited_for_and_the_last_entry_is_made_once(monkeypatch):
    monkeypatch.setattr(certifying, "PROOF_PAUSE_SECONDS", 0)
    world = ready(checkpoint_lags=25)
    assert_certified(world, await run(world))
    for log in (f"tenant-{IDENTITY}", "platform"):
        last = [entry for entry in world.logs[log] if "were listed as absent" in entry.get("text", "")]
        assert len(last) == 1


async def _effects() -> int:
    world = ready()
    await run(world)
    return world.effects


@pytest.mark.parametrize("when", ["before", "after"])
async def test_killed_at_any_effect_it_converges(when):
    for number in range(await _effects()):
        world = ready(kill_at=(number, when))
        assert_certified(world, await run(world))


@settings(max_examples=60)
@given(st.integers(0, 90), st.booleans())
async def test_a_hold_at_any_moment_stops_the_very_next_act(at, withdrawn):
    def interfere(world: World, number: int) -> None:
        if number == at:
            hold(world)

    world = ready(after_effect=interfere)
    status = await run(world)
    if status["phase"] == "Held":
        destroyed = list(world.destroyed)
        world.after_effect = lambda world, number: None
        del world.objects[ObjectKey(API_VERSION, "TenantHold", "", "litigation")]
        status = await run(world)
        assert world.destroyed[: len(destroyed)] == destroyed
    assert_certified(world, status)


@settings(max_examples=40)
@given(st.integers(0, 90))
async def test_an_approval_taken_back_at_any_moment_stops_it(at):
    def interfere(world: World, number: int) -> None:
        if number == at:
            world.objects.pop(ObjectKey(API_VERSION, "TenantApproval", "", "bye.bob"), None)

    world = ready(after_effect=interfere)
    status = await run(world)
    if status["phase"] != "Certified":
        assert status["phase"] == "AwaitingApprovals"
        approve(world, "carol")
        world.after_effect = lambda world, number: None
        status = await run(world)
    assert_certified(world, status)


async def test_keys_that_a_restored_vault_brings_back_are_destroyed_again():
    world = ready()
    await run(world)
    world.judge = lambda world, what: None
    world.keys[f"cloister-{IDENTITY}"] = "aes256-gcm96"
    assert_certified(world, await run(world))
    assert world.destroyed[-1] == f"delete vault key cloister-{IDENTITY}"


async def test_other_tenants_are_not_touched():
    world = ready()
    other = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "theirs", "namespace": "tenant-acme-pharma"}}
    world.put(other)
    await run(world)
    assert "cloister-other" in world.keys
    assert ObjectKey("v1", "Secret", "tenant-acme-pharma", "theirs") in world.objects


async def test_volumes_nobody_rendered_go_too():
    world = ready()
    claim = {"metadata": {"name": "stray", "namespace": NAMESPACE}, "spec": {"volumeName": "pv-2"}}
    world.put({"apiVersion": "v1", "kind": "PersistentVolumeClaim", **claim})
    spec = {"claimRef": {"namespace": NAMESPACE, "name": "stray"}, "persistentVolumeReclaimPolicy": "Delete"}
    world.put({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "pv-2"}, "spec": spec})
    status = await run(world)
    assert_certified(world, status)
    assert "PersistentVolume pv-2" in [step["name"] for step in status["certificate"]["payload"]["evidence"]]


async def test_a_volume_that_somebody_took_from_its_claim_is_waited_for_and_never_certified():
    key, took = ObjectKey("v1", "PersistentVolume", "", "pv-1"), []

    def take(world: World, _: int) -> None:
        volume = world.objects.get(key)
        if not took and volume and volume["spec"]["persistentVolumeReclaimPolicy"] == "Delete":
            took.append(volume["spec"].pop("claimRef"))

    world = ready(after_effect=take)
    with pytest.raises(AssertionError, match="no rest"):
        await run(world, limit=40)
    status = world.objects[offboarding_key()]["status"]
    assert took
    assert status["phase"] == "Destroying"
    assert {step["name"]: step["state"] for step in status["steps"]}["PersistentVolume pv-1"] == "Deleting"
    (said,) = [item["message"] for item in status["conditions"] if item["type"] == "Certified"]
    assert "volume pv-1 (its claim was taken from it" in said
    del world.objects[key]
    assert_certified(world, await run(world))
