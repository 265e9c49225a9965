"""The loop as a whole, against a world of fakes: what it ends in, whatever happens on the way."""

import contextlib
import copy

import pytest

from tenant_operator.api.common import API_VERSION
from tenant_operator.api.reasons import Reason
from tenant_operator.errors import Missing, Retryable
from tenant_operator.reconcile.contexts import Contexts, Home
from tenant_operator.reconcile.execute import Executor
from tenant_operator.reconcile.gather import Gatherer
from tenant_operator.reconcile.ledger import Ledger
from tenant_operator.reconcile.reconciler import Reconciler
from tenant_operator.stack.part import ObjectKey
from tenant_operator.stack.parts import PARTS
from tests.support.tenants import DERIVE, PLATFORM, documents, tenant_body
from tests.support.world import FakeAudit, FakeCluster, FakeSystem, FixedClock, KillError

TENANT = ObjectKey(API_VERSION, "Tenant", "", "acme-pharma")
RECORD = ObjectKey(API_VERSION, "TenantRecord", "", "acme-pharma")
NAMESPACE = ObjectKey("v1", "Namespace", "", "tenant-acme-pharma")


class World:
    def __init__(self):
        self.audit = FakeAudit()
        self.cluster = FakeCluster(self.audit)
        self.home = FakeCluster(self.audit)
        self.systems = {name: FakeSystem(self.audit) for name in ("vault", "postgres", "objectstore")}
        for name in ("regions", "classes"):
            for item in documents(name):
                self.cluster.put(item)
        self.home.put(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "local-services-ca", "namespace": "cloister-system"},
                "data": {"ca.crt": "CA"},
            }
        )
        self.home.put(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {
                    "name": "acme-pharma-directory",
                    "namespace": "cloister-system",
                    "labels": {"cloister.dev/tenant": "acme-pharma"},
                },
                "data": {"bindDN": "Y24=", "password": "cA==", "ca.crt": "Q0E="},
            }
        )
        self.start()

    def start(self):
        """Start an operator process on the world as it is; nothing is remembered from one before it."""
        clock = FixedClock()
        contexts = Contexts(self.cluster, Home(self.home, "cloister-system"), PLATFORM, DERIVE, clock)
        self.reconciler = Reconciler(
            cluster=self.cluster,
            recorder=self.audit,
            clock=clock,
            ledger=Ledger(self.cluster, self.audit, clock),
            contexts=contexts,
            gatherer=Gatherer(self.cluster, self.cluster.store, self.systems),
            executor=Executor(self.cluster, self.systems, self.audit),
            parts=PARTS,
            gone=self.cluster.store.gone,
            hands_off=lambda tenant, record: None,
            audit_alive=lambda: not self.audit.away,
        )

    def apply_tenant(self, **spec):
        body = copy.deepcopy(tenant_body())
        body["spec"] |= spec
        old = self.cluster.get(TENANT) or {}
        self.cluster.put({**body, **({"status": old["status"]} if "status" in old else {})}, manager="kubectl")

    async def settle(self, rounds=30):
        """Reconcile until a round writes nothing; play the part of kubelet and controllers in between."""
        for _ in range(rounds):
            before = len(self.cluster.writes) + sum(len(s.ensured) for s in self.systems.values())
            await self.reconciler.reconcile("acme-pharma")
            self._run_workloads()
            if before == len(self.cluster.writes) + sum(len(s.ensured) for s in self.systems.values()):
                return
        raise AssertionError(f"not settled: {self.cluster.writes[-5:]}")

    def _run_workloads(self):
        for item in [*self.cluster.list("StatefulSet"), *self.cluster.list("Deployment")]:
            wanted = item["spec"]["replicas"]
            status = {
                "replicas": wanted,
                "readyReplicas": wanted,
                "updatedReplicas": wanted,
                "availableReplicas": wanted,
                "observedGeneration": item["metadata"]["generation"],
            }
            if item.get("status") != status:
                self.cluster.store.put(
                    {
                        **item,
                        "status": status,
                        "metadata": {**item["metadata"], "resourceVersion": str(next(self.cluster._version))},
                    }
                )
            component = item["spec"]["template"]["metadata"]["labels"]
            pod = {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": f"{item['metadata']['name']}-0",
                    "namespace": item["metadata"]["namespace"],
                    "labels": component,
                    "ownerReferences": [{"kind": item["kind"]}],
                    "creationTimestamp": "2026-11-23T12:00:00Z",
                },
                "spec": {"nodeName": "node-a", "containers": item["spec"]["template"]["spec"]["containers"]},
                "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
            }
            if wanted and not self.cluster.get(ObjectKey.of(pod)):
                self.cluster.put(pod)

    def condition(self, kind):
        conditions = (self.cluster.get(TENANT).get("status") or {}).get("conditions", [])
        return next((item for item in conditions if item["type"] == kind), None)

    def children(self):
        identity = self.cluster.get(RECORD)["spec"]["id"]
        return {k: m for k, m in self.cluster.store.of_tenant(identity).items() if k.kind != "Pod"}


@pytest.fixture
def world():
    return World()


async def test_a_tenant_is_made_whole_and_then_nothing_is_written(world):
    world.apply_tenant()
    await world.settle()
    kinds = {key.kind for key in world.children()}
    assert {"Namespace", "NetworkPolicy", "StatefulSet", "Deployment", "CronJob", "Secret"} <= kinds
    assert world.condition("AppReady")["status"] == "True"
    assert world.condition("DatabaseReady")["status"] == "True"
    assert world.cluster.get(RECORD)["spec"]["state"] == "Live"
    before = list(world.cluster.writes)
    for _ in range(3):
        await world.reconciler.reconcile("acme-pharma")
    assert world.cluster.writes == before


async def test_every_act_has_an_intent_and_an_outcome(world):
    world.apply_tenant()
    await world.settle()
    intents = [planned for _, phase, planned in world.audit.entries if phase == "intent"]
    outcomes = [planned for _, phase, planned in world.audit.entries if phase == "ok"]
    assert len(intents) == len(outcomes) > 40
    logs = {log for log, _, _ in world.audit.entries}
    assert logs == {"platform", f"tenant-{world.cluster.get(RECORD)['spec']['id']}"}


async def test_audit_away_means_no_change_and_a_condition_and_it_resumes(world):
    world.audit.away = True
    world.apply_tenant()
    await world.reconciler.reconcile("acme-pharma")
    assert world.cluster.get(NAMESPACE) is None
    assert world.cluster.get(RECORD) is None
    assert not any(system.ensured for system in world.systems.values())
    said = world.condition("AuditCurrent")
    assert (said["status"], said["reason"]) == ("False", "AuditUnavailable")
    world.audit.away = False
    await world.settle()
    assert world.condition("AppReady")["status"] == "True"
    assert world.condition("AuditCurrent")["status"] == "True"


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"region": "mars-1"}, Reason.UNKNOWN_REGION),
        ({"class": "gigantic"}, Reason.UNKNOWN_CLASS),
        ({"backup": {"schedule": "61 25 * * *"}}, Reason.INVALID_SCHEDULE),
        ({"backup": {"timeZone": "Mars/Olympus"}}, Reason.INVALID_SCHEDULE),
        ({"network": {"ingressFrom": [{"cidr": "10.0.0.1/8"}]}}, Reason.INVALID_SPEC),
        ({"hostname": 7}, Reason.INVALID_SPEC),
        ({"database": {"storage": "900Ti"}}, Reason.INVALID_SPEC),
    ],
    ids=[
        "unknown region",
        "unknown class",
        "impossible schedule",
        "unknown time zone",
        "a CIDR with host bits",
        "a wrong type",
        "more storage than the class offers",
    ],
)
async def test_what_cannot_work_is_said_and_nothing_is_made(world, spec, reason):
    world.apply_tenant(**spec)
    await world.reconciler.reconcile("acme-pharma")
    assert (world.condition("Ready")["status"], world.condition("Ready")["reason"]) == ("False", reason)
    assert world.condition("Stalled")["status"] == "True"
    assert world.cluster.get(NAMESPACE) is None
    assert world.cluster.get(RECORD) is None


async def test_vault_sealed_waits_says_so_and_finishes_with_one_key(world):
    world.systems["vault"].trouble = Retryable("Vault is sealed", reason=Reason.VAULT_SEALED)
    world.apply_tenant()
    for _ in range(5):
        await world.reconciler.reconcile("acme-pharma")
        world._run_workloads()
    assert world.condition("KeysReady")["reason"] == Reason.VAULT_SEALED
    assert world.cluster.get(ObjectKey("apps/v1", "Deployment", "tenant-acme-pharma", "app")) is None
    world.systems["vault"].trouble = None
    await world.settle()
    assert [key.name for key in world.systems["vault"].ensured if key.kind == "key"] == sorted(
        {key.name for key in world.systems["vault"].ensured if key.kind == "key"}
    )
    assert world.condition("KeysReady")["status"] == "True"


async def test_a_deleted_tenant_is_retained_and_taken_up_again_with_its_id(world):
    world.apply_tenant()
    await world.settle()
    identity = world.cluster.get(RECORD)["spec"]["id"]
    world.cluster.vanish(TENANT)
    await world.settle()
    assert world.cluster.get(RECORD)["spec"]["state"] == "Retained"
    assert (
        world.cluster.get(ObjectKey("apps/v1", "StatefulSet", "tenant-acme-pharma", "database"))["spec"]["replicas"]
        == 0
    )
    assert world.cluster.get(ObjectKey("v1", "PersistentVolumeClaim", "tenant-acme-pharma", "database-data"))
    world.apply_tenant()
    await world.settle()
    record = world.cluster.get(RECORD)["spec"]
    assert (record["state"], record["id"]) == ("Live", identity)
    assert world.condition("AppReady")["status"] == "True"


async def test_the_ledger_is_rebuilt_from_the_namespace(world):
    world.apply_tenant()
    await world.settle()
    identity = world.cluster.get(RECORD)["spec"]["id"]
    world.cluster.vanish(TENANT)
    world.cluster.vanish(RECORD)
    world.apply_tenant()
    await world.settle()
    assert world.cluster.get(RECORD)["spec"]["id"] == identity


async def test_every_child_that_is_deleted_comes_back_and_the_cause_is_recorded(world):
    world.apply_tenant()
    await world.settle()
    for key, manifest in sorted(world.children().items()):
        world.cluster.vanish(key)
        await world.settle()
        assert world.cluster.get(key), key
        causes = [
            p
            for _, phase, p in world.audit.entries
            if phase == "intent" and p.reason == "Drift" and p.object_id == key.name
        ]
        assert any("was deleted" in p.text for p in causes), key
        if key.kind == "Secret":
            assert world.cluster.get(key)["data"] == manifest["data"], "a repaired Secret is the same Secret"


async def test_a_hands_edit_is_taken_back_and_a_second_source_of_truth_is_a_condition(world):
    world.apply_tenant()
    await world.settle()
    key = ObjectKey("apps/v1", "Deployment", "tenant-acme-pharma", "app")
    live = world.cluster.get(key)
    world.cluster.put({**live, "spec": {**live["spec"], "replicas": 5}}, manager="kubectl-edit")
    await world.settle()
    assert world.cluster.get(key)["spec"]["replicas"] == 1
    live = world.cluster.get(key)
    world.cluster.put({**live, "spec": {**live["spec"], "replicas": 5}}, manager="argocd", operation="Apply")
    await world.reconciler.reconcile("acme-pharma")
    assert world.cluster.get(key)["spec"]["replicas"] == 5
    assert (world.condition("DriftFree")["status"], world.condition("DriftFree")["reason"]) == (
        "False",
        "FieldConflict",
    )


async def test_killed_at_any_write_it_converges_and_nothing_is_there_twice():
    reference = World()
    reference.apply_tenant()
    await reference.settle()
    total = len(reference.cluster.writes)
    expected = dict.fromkeys(reference.children())
    for point in range(total):
        world = World()
        world.apply_tenant()
        world.cluster.fail_after = point
        with contextlib.suppress(KillError):
            await world.settle()
        world.cluster.fail_after = None
        world.audit.open_intents = 0
        world.start()
        await world.settle()
        assert set(world.children()) == set(expected), f"killed instead of write {point}"
        creates = [w for w in world.cluster.writes if w.startswith("create")]
        assert len(creates) == len(set(creates)), f"killed instead of write {point}"


async def test_raised_credentials_reach_every_role_secret_and_pod(world):
    world.apply_tenant()
    await world.settle()
    before = {key: item["data"] for key, item in world.children().items() if key.kind == "Secret"}
    pod = world.cluster.get(ObjectKey("apps/v1", "Deployment", "tenant-acme-pharma", "app"))["spec"]["template"][
        "metadata"
    ]["annotations"]
    for system in world.systems.values():
        system.ensured.clear()
    world.apply_tenant(credentials={"epoch": 1})
    await world.settle()
    roles = {key.name for key in world.systems["postgres"].ensured if key.kind == "role"}
    assert roles == {"app_owner", "app", "audit_writer", "backup"}
    assert [key.kind for key in world.systems["objectstore"].ensured] == ["bucket-user"]
    after = {key: item["data"] for key, item in world.children().items() if key.kind == "Secret"}
    changed = {key.name for key in before if before[key] != after[key]}
    assert changed == {
        "database-superuser",
        "database-owner",
        "database-app",
        "database-audit-writer",
        "database-backup",
        "objectstore",
    }
    deployment = world.cluster.get(ObjectKey("apps/v1", "Deployment", "tenant-acme-pharma", "app"))
    assert deployment["spec"]["template"]["metadata"]["annotations"] != pod


async def test_with_the_audit_service_away_drift_stays_and_everything_else_is_still_observed(world):
    world.apply_tenant()
    await world.settle()
    policy = ObjectKey("networking.k8s.io/v1", "NetworkPolicy", "tenant-acme-pharma", "default-deny")
    world.audit.away = True
    world.cluster.vanish(policy)
    for _ in range(3):
        await world.reconciler.reconcile("acme-pharma")
    assert world.cluster.get(policy) is None, "an unrecorded repair would be worse than a late one"
    assert world.condition("AuditCurrent")["status"] == "False"
    assert world.condition("NetworkIsolated")["status"] == "False"
    assert world.condition("DatabaseReady")["status"] == "True"
    world.audit.away = False
    await world.settle()
    assert world.cluster.get(policy)
    assert world.condition("NetworkIsolated")["status"] == "True"


async def test_a_missing_bind_secret_is_what_ready_says_and_its_arrival_is_enough(world):
    kept = world.home.get(ObjectKey("v1", "Secret", "cloister-system", "acme-pharma-directory"))
    world.home.store.remove(kept)
    world.apply_tenant()
    await world.reconciler.reconcile("acme-pharma")
    assert (world.condition("Ready")["reason"], world.condition("Stalled")["status"]) == (
        Reason.BIND_SECRET_MISSING,
        "False",
    )
    assert world.cluster.get(NAMESPACE) is None
    world.home.put(kept)
    await world.settle()
    assert world.condition("AppReady")["status"] == "True"


@pytest.mark.parametrize("error", [Retryable("another wrote it first"), Missing("it was deleted in the meantime")])
@pytest.mark.parametrize("trouble", ["no bind secret", "no audit service"])
async def test_a_status_that_cannot_be_written_now_is_left_to_the_next_look(monkeypatch, trouble, error):
    world = World()
    world.apply_tenant()
    if trouble == "no bind secret":
        world.home.vanish(ObjectKey("v1", "Secret", "cloister-system", "acme-pharma-directory"))
    else:
        world.audit.away = True

    async def refuse(live, status):
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(world.cluster, "write_status", refuse)
        assert 0 < await world.reconciler.reconcile("acme-pharma") <= 20
    await world.reconciler.reconcile("acme-pharma")
    assert world.cluster.get(TENANT)["status"]["conditions"]
