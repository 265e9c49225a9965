"""A tenant's life: made from one YAML, Ready, deleted and retained, and taken up again with its data."""

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tenant_operator.reconcile.status import PROMISES
from tests.support import api, living, outside
from tests.support.kubectl import get, kubectl
from tests.support.outside import VaultError
from tests.support.waiting import say, until

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("demo")]

GONE_SECONDS = 10.0


@dataclass
class Newcomer:
    """A tenant from scratch, and what is known of it."""

    name: str
    id: str
    seconds: float

    @property
    def space(self) -> str:
        return f"tenant-{self.name}"

    def psql(self, text: str) -> str:
        command = (
            "psql",
            "-h",
            "/var/run/postgresql",
            "-U",
            "postgres",
            "-d",
            "app",
            "-v",
            "ON_ERROR_STOP=1",
            "-Atc",
            text,
        )
        return kubectl("exec", "database-0", "-n", self.space, "--", *command).strip()


@pytest.fixture(scope="module")
def newcomer() -> Iterator[Newcomer]:
    """Have a tenant from scratch in the Region of acme-pharma, so that the two share a Vault and a node."""
    with living.tenant(living.named("life"), living.EU) as name:
        seconds = living.ready(name)
        say(f"{name}: from apply to Ready in {seconds:.1f} s")
        yield Newcomer(name, living.identity(name), seconds)


def test_every_promise_is_kept_and_said_with_what_was_observed(newcomer):
    status = living.live(newcomer.name)["status"]
    found = {item["type"]: item for item in status["conditions"]}
    for promise in PROMISES:
        assert found[promise]["status"] == "True", found[promise]
        assert found[promise]["message"], f"{promise} says nothing"
    assert found["Stalled"]["status"] == "False"
    until("it has come to rest", lambda: _is(newcomer.name, "Reconciling", "False"), 30)
    assert status["id"] == newcomer.id
    assert status["namespace"] == newcomer.space
    assert status["url"] == f"https://{newcomer.name}.cloister.localhost"
    kinds = {item["kind"] for item in status["inventory"]}
    assert kinds >= {"Volume", "Bucket", "TransitKey", "Secret"}
    assert {item["region"] for item in status["inventory"]} - {""} == {living.EU}


def _is(name: str, kind: str, status: str) -> bool:
    found = living.condition(name, kind)
    assert found["status"] == status, found
    return True


def test_kubectl_get_tenants_shows_it_in_its_columns(newcomer):
    head, row = kubectl("get", "tenants", newcomer.name).splitlines()
    columns = ["NAME", "READY", "PHASE", "REGION", "CLASS", "DATABASE", "BACKUP", "ISOLATED", "AUDIT", "AGE"]
    assert head.split() == columns
    assert row.split()[:-1] == [newcomer.name, "True", "Ready", living.EU, "small", "True", "True", "True", "True"]
    assert newcomer.name in kubectl("get", "cloister", "-o", "name")


def test_its_pods_run_on_its_regions_node_only(newcomer):
    pods = get("pods", "-n", newcomer.space)["items"]
    where = {pod["metadata"]["name"]: pod["spec"].get("nodeName") for pod in pods}
    assert set(where.values()) == {"node-a"}, where
    assert {pod["metadata"]["labels"]["app.kubernetes.io/component"] for pod in pods} >= {"app", "database"}


def test_a_neighbour_in_the_same_vault_has_no_way_to_its_key(newcomer):
    acme = living.identity("acme-pharma")
    token = outside.account_token("tenant-acme-pharma", "app", "vault")
    with pytest.raises(VaultError) as caught:
        outside.vault_login(living.EU, f"cloister-{newcomer.id}-app", token)
    assert caught.value.status == 400, caught.value
    own = outside.vault_login(living.EU, f"cloister-{acme}-app", token)
    for act in ("encrypt", "decrypt", "datakey/plaintext", "rewrap"):
        with pytest.raises(VaultError) as caught:
            outside.vault(living.EU).call(
                "POST", f"transit/{act}/cloister-{newcomer.id}", {"plaintext": "YWJj"}, token=own
            )
        assert caught.value.status == 403, caught.value


def test_applied_again_nothing_is_written(newcomer):
    kinds = ("deployments", "statefulsets", "configmaps", "secrets", "networkpolicies", "services")
    before = {key: item["metadata"]["resourceVersion"] for key, item in living.objects(newcomer.name, kinds).items()}
    generation = living.live(newcomer.name)["metadata"]["generation"]
    living.apply(living.body(newcomer.name, living.EU))
    time.sleep(2)
    after = {key: item["metadata"]["resourceVersion"] for key, item in living.objects(newcomer.name, kinds).items()}
    # A workload's own status may move; a file or a rule does not.
    moved = {key for key in before if before[key] != after.get(key) and key[0] not in {"Deployment", "StatefulSet"}}
    assert not moved, f"written without a reason: {moved}"
    assert living.live(newcomer.name)["metadata"]["generation"] == generation


def _kept(newcomer: Newcomer) -> dict[str, Any]:
    claim = get("pvc", "database-data", "-n", newcomer.space)
    return {
        "namespace": get("namespace", newcomer.space)["metadata"]["uid"],
        "claim": claim["metadata"]["uid"],
        "volume": claim["spec"]["volumeName"],
        "keys": outside.vault_names(living.EU, "transit/keys", newcomer.id),
        "bucket": outside.has_bucket(living.EU, f"cloister-{newcomer.id}"),
    }


def test_deleted_it_is_gone_at_once_and_kept_and_comes_back_with_its_data(newcomer):
    newcomer.psql("create table if not exists kept (word text); insert into kept values ('still here')")
    before = _kept(newcomer)
    assert len(before["keys"]) == 2
    assert before["bucket"]

    began = time.monotonic()
    kubectl("delete", "tenant", newcomer.name, f"--timeout={GONE_SECONDS:.0f}s")
    seconds = time.monotonic() - began
    say(f"{newcomer.name}: deleted in {seconds:.1f} s")
    assert seconds < GONE_SECONDS
    assert api.find(api.cloister("tenants", newcomer.name)) is None

    until(f"the record of {newcomer.name} says Retained", lambda: _state(newcomer.name, "Retained"), 20)
    until("its workloads are at zero", lambda: _scaled(newcomer.name, 0), 20)
    until("its last pod is gone", lambda: _no_pods(newcomer.space), 90)
    assert _kept(newcomer) == before
    assert newcomer.name in _cloister("tenants", "--retained")
    listed = _cloister("tenants", "-o", "json")
    assert newcomer.name not in listed

    living.apply(living.body(newcomer.name, living.EU))
    say(f"{newcomer.name}: Ready again after {living.ready(newcomer.name):.1f} s")
    assert living.identity(newcomer.name) == newcomer.id
    assert _state(newcomer.name, "Live")
    assert _kept(newcomer) == before
    assert newcomer.psql("select word from kept") == "still here"


def _state(name: str, state: str) -> bool:
    found = living.record(name)
    assert found, f"{name} has no record"
    assert found["spec"]["state"] == state, f"the record says {found['spec']['state']}"
    return True


def _scaled(name: str, replicas: int) -> bool:
    for (kind, which), item in living.objects(name, ("deployments", "statefulsets")).items():
        assert item["spec"]["replicas"] == replicas, f"{kind} {which} wants {item['spec']['replicas']}"
    for (_, which), item in living.objects(name, ("cronjobs",)).items():
        assert item["spec"]["suspend"] == (replicas == 0), f"CronJob {which} goes on"
    return True


def _no_pods(space: str) -> bool:
    pods = [pod for pod in get("pods", "-n", space)["items"] if pod["status"]["phase"] in {"Running", "Pending"}]
    assert not pods, f"still there: {[pod['metadata']['name'] for pod in pods]}"
    return True


def _cloister(*args: str) -> str:
    wide = {**os.environ, "COLUMNS": "160"}
    done = subprocess.run(["cloister", *args], capture_output=True, text=True, check=False, timeout=60, env=wide)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
