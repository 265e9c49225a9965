"""kill -9 of the operator at random moments of onboarding: it converges, nothing is made twice, no act is unrecorded."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from audit_contract.verify import verify_bundle
from tests.support import living, outside
from tests.support.kubectl import get, kubectl
from tests.support.waiting import say, until

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("demo")]

ROUNDS = int(os.environ.get("CLOISTER_KILL_ROUNDS", "5"))
LATEST_SECONDS = 3.0
"""A suspended tenant is whole after about this long, so most kills fall in the middle of its making."""
SEED = int(os.environ.get("CLOISTER_KILL_SEED", "0")) or random.randrange(1, 10**6)  # noqa: S311 - moments, no secret


def operator_pod() -> dict[str, Any]:
    """Return the operator's pod once it is ready."""
    pods = get("pods", "-n", "cloister-system", "-l", "app.kubernetes.io/component=operator")["items"]
    alive = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    assert len(alive) == 1, f"{len(alive)} operators"
    states = {item["type"]: item["status"] for item in alive[0]["status"].get("conditions", [])}
    assert states.get("Ready") == "True", f"the operator's pod {alive[0]['metadata']['name']} is not ready yet"
    found: dict[str, Any] = alive[0]
    return found


def processes(uid: str) -> list[int]:
    """Return the operator's processes by its pod's control group: the nodes of the local cluster run on this machine."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            ours = f"pod{uid}" in (entry / "cgroup").read_text()
            if ours and b"tenant_operator" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def kill() -> None:
    """End the operator as a power cut would, and have its next process begin at once (no back-off of the kubelet's)."""
    pod = operator_pod()
    uid = pod["metadata"]["uid"]
    pids = processes(uid)
    assert pids, f"no process of pod {pod['metadata']['name']} on this machine"
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    kubectl("delete", "pod", pod["metadata"]["name"], "-n", "cloister-system", "--grace-period=0", "--force")
    until("the next operator is ready", lambda: _another(uid), 90)


def _another(uid: str) -> bool:
    assert operator_pod()["metadata"]["uid"] != uid, "it is still the old one"
    return True


@dataclass
class Campaign:
    """What was onboarded while the operator was killed: one tenant that runs, and one that is suspended in each round."""

    running: str
    suspended: list[str]
    keys_before: set[str]
    """Keys that were there before: of a run that was killed, perhaps."""

    @property
    def all(self) -> list[str]:
        return [self.running, *self.suspended]


def keyed() -> set[str]:
    """Return the ids that the Vault has keys for."""
    names = outside.vault_names(living.EU, "transit/keys", "cloister-")
    return {name.removeprefix("cloister-").removesuffix("-signing") for name in names}


@pytest.fixture(scope="module")
def campaign() -> Iterator[Campaign]:
    living.ready(*living.DEMO)
    moments = random.Random(SEED)  # noqa: S311 - as above
    names = Campaign(living.named("kill"), [living.named(f"kill{i}") for i in range(ROUNDS)], keyed())
    say(f"{ROUNDS} rounds; CLOISTER_KILL_SEED={SEED} repeats their moments")
    try:
        living.apply(living.bind_secret(names.running), living.body(names.running))
        for number, name in enumerate(names.suspended):
            living.apply(living.bind_secret(name), living.body(name, suspend=True))
            pause = moments.uniform(0, LATEST_SECONDS)
            time.sleep(pause)
            say(f"round {number + 1}: kill -9 after {pause:.2f} s")
            kill()
        yield names
    finally:
        living.remove_all(names.all)


def test_it_converges(campaign):
    say(f"{campaign.running}: Ready {living.ready(campaign.running):.1f} s after the last kill")
    for name in campaign.suspended:
        living.says(name, "KeysReady", "True", seconds=60)
        living.says(name, "NamespaceReady", "True")
        living.says(name, "DriftFree", "True")
        assert living.live(name)["status"]["phase"] == "Suspended"


KINDS = (
    "resourcequotas", "limitranges", "serviceaccounts", "roles", "rolebindings", "networkpolicies", "secrets",
    "configmaps", "services", "poddisruptionbudgets", "cronjobs", "deployments", "statefulsets", "persistentvolumeclaims",
)  # fmt: skip


def test_every_child_is_there_once_and_labelled_with_the_tenants_one_id(campaign):
    whole = set(living.objects("acme-pharma", KINDS))
    for name in campaign.all:
        # What runs by the clock is made once a database was seen to run; that of a suspended tenant never did.
        wanted = {key for key in whole if name == campaign.running or key[0] != "CronJob"}
        identity = living.identity(name)
        found = living.objects(name, KINDS)
        assert set(found) == wanted, f"{name}: {set(found) ^ wanted}"
        ids = {item["metadata"]["labels"]["cloister.dev/tenant-id"] for item in found.values()}
        assert ids == {identity}
        space = get("namespace", f"tenant-{name}")
        assert space["metadata"]["labels"]["cloister.dev/tenant-id"] == identity
    jobs = Counter(kind_of for (_, kind_of) in living.objects(campaign.running, ("jobs",)))
    assert len(jobs) == 2, f"the first backup and the first probe ran once each, not: {sorted(jobs)}"


def test_each_has_its_two_keys_one_bucket_and_one_version(campaign):
    vault = outside.vault(living.EU)
    for name in campaign.all:
        identity = living.identity(name)
        listed = outside.vault_names(living.EU, "transit/keys", identity)
        assert listed == [f"cloister-{identity}", f"cloister-{identity}-signing"]
        for key in listed:
            found = vault.call("GET", f"transit/keys/{key}", token=vault.root_token())
            assert list(found["data"]["keys"]) == ["1"], f"{key} was rotated by a restart"
    with outside.store(living.EU) as store:
        buckets = Counter(bucket.name for bucket in store.s3.list_buckets())
    assert all(buckets[f"cloister-{living.identity(name)}"] == 1 for name in campaign.all), buckets


def test_no_key_was_made_for_an_id_that_no_record_knows(campaign):
    known = {item["spec"]["id"] for item in get("tenantrecords")["items"]}
    nobodys = keyed() - known - campaign.keys_before
    assert not nobodys, f"keys of nobody: {nobodys}"


def test_every_act_is_recorded_and_what_a_kill_left_open_is_reported(campaign):
    left = 0
    for name in campaign.all:
        entries = outside.entries(f"tenant-{living.identity(name)}")
        report = verify_bundle(outside.bundle(name))
        assert report.ok, [problem.text for problem in report.problems]
        ended = {one["entry"]["intent"] for one in entries if one["entry"]["phase"] == "outcome"}
        size = min(report.size, len(entries))
        opened = {
            one["index"] for one in entries if one["entry"]["phase"] == "intent" and one["entry"]["id"] not in ended
        }
        assert {i for i in report.open_intents if i < size} == {i for i in opened if i < size}
        left += len(opened)
        made = Counter(
            (one["entry"]["object"]["type"], one["entry"]["object"]["id"])
            for one in entries
            if one["entry"]["phase"] == "outcome"
            and one["text"] == "created"
            and one["entry"]["action"].endswith(":create")
        )
        twice = {what: count for what, count in made.items() if count > 1}
        assert not twice, f"{name}: made more than once: {twice}"
        intended = {
            (one["entry"]["object"]["type"], one["entry"]["object"]["id"])
            for one in entries
            if one["entry"]["phase"] == "intent"
        }
        there = set(living.objects(name, KINDS))
        assert there <= intended, f"{name}: made without an intent: {there - intended}"
    say(f"{left} intents were left open by {ROUNDS} kills, each of them reported")
