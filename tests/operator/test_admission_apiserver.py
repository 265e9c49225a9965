"""The admission webhook as a real API server calls it, with the chart's own configurations, into a real audit log."""

# ruff: noqa: F811 - fixtures are imported and then asked for by name

import asyncio
import contextlib
import copy
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

import pytest

from tenant_operator.api.names import ANNOTATION_ADMISSION, ANNOTATION_REASON
from tenant_operator.cli import gaps
from tenant_operator.cli import gaps_apiserver as beside
from tenant_operator.clients.audit import AuditRecorder
from tenant_operator.clients.cluster import KubernetesCluster
from tenant_operator.clients.store import Store
from tenant_operator.clients.transport import Transport
from tenant_operator.handlers.admission_watch import AdmissionWatch, bundle
from tenant_operator.handlers.settings import AdmissionConfig
from tenant_operator.ports import Planned
from tenant_operator.stack import stamp
from tests.audit_service.conftest import database, postgres, service, settings  # noqa: F401
from tests.audit_service.service import TENANT_LOG
from tests.operator.test_admission_webhook import ADMISSION
from tests.support import apiserver
from tests.support.apiserver import OPERATOR, ApiServer
from tests.support.helm import template
from tests.support.tenants import DERIVE, documents
from tests.support.webhook import Running, served, tenant

pytestmark = pytest.mark.cluster
"""The API server comes with the local cluster; the cluster itself is not needed."""

KEY = stamp.key_of(DERIVE)
KINDS = ("mutatingwebhookconfigurations", "validatingwebhookconfigurations")
HOOKS = "/apis/admissionregistration.k8s.io/v1"
OURS = "/apis/cloister.dev/v1alpha1"
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"


@pytest.fixture(scope="module")
def server():
    with apiserver.running() as found:
        yield found


@dataclass
class Stage:
    """An API server with the webhook in force, and the audit log."""

    server: ApiServer
    service: Any
    webhook: Running
    configurations: list[dict[str, Any]]
    made: list[str] = field(default_factory=list)

    async def register(self) -> None:
        for plural, item in zip(KINDS, self.configurations, strict=True):
            await self.server.ok("POST", f"{HOOKS}/{plural}", item)
        await self.until("the webhook is not called", _stamped)

    async def unregister(self) -> None:
        for plural in KINDS:
            await self.server.call("DELETE", f"{HOOKS}/{plural}/cloister-admission")

    async def until(self, what: str, met: Callable[[int, dict[str, Any]], bool]) -> None:
        """Wait until the API server has taken up how its webhooks are, as a creation that is only tried shows."""
        for _ in range(300):
            probe = tenant()
            probe["metadata"]["name"] = "probe"
            if met(*await self.server.call("POST", f"{OURS}/tenants", probe, dryRun="All")):
                await asyncio.sleep(0.5)  # the other of the two configurations
                return
            await asyncio.sleep(0.1)
        raise AssertionError(what)

    async def create(self, item: dict[str, Any], user: str = "alice") -> dict[str, Any]:
        plural = {"Tenant": "tenants", "TenantHold": "tenantholds", "Region": "regions"}[item["kind"]]
        made = await self.server.ok("POST", f"{OURS}/{plural}", item, user=user)
        self.made.append(f"{OURS}/{plural}/{made['metadata']['name']}")
        return made

    async def entries(self, source: str = "admission") -> list[dict[str, Any]]:
        async with self.service.client() as operator:
            await self.service.signed("platform", (await operator.log("platform"))["durable"])
            found = await operator.entries("platform", limit=256)
        return [item for item in found if item["entry"]["action"].startswith(f"{source}:")]


@pytest.fixture
async def stage(server, service, tmp_path) -> AsyncIterator[Stage]:
    rendered = template("--show-only=templates/webhook.yaml")
    configurations = [item for item in rendered if item["kind"].endswith("WebhookConfiguration")]
    async with service.client(ADMISSION, kind="admission") as audit, served(tmp_path, audit) as webhook:
        for item in configurations:
            for hook in item["webhooks"]:
                path = hook["clientConfig"].pop("service")["path"]
                hook["clientConfig"] |= {"url": f"{webhook.url}{path}", "caBundle": bundle(DERIVE)}
        found = Stage(server, service, webhook, configurations)
        await found.register()
        yield found
        await found.unregister()
        for path in found.made:
            for _ in range(300):
                status, _ = await server.call("DELETE", path)
                if status in {200, 404}:
                    break
                await asyncio.sleep(0.1)


def named(name: str, **spec: Any) -> dict[str, Any]:
    item = tenant(**spec)
    item["metadata"]["name"] = name
    return item


async def test_create_apply_and_delete_by_a_person_are_in_the_log_with_the_values_and_the_stamp_fits_each_generation(
    stage,
):
    made = await stage.create(named("one"))
    assert stamp.fault(KEY, made) == ""
    applied = named("one", displayName="Renamed")
    applied["metadata"]["annotations"] = {ANNOTATION_REASON: "because"}
    path = f"{OURS}/tenants/one"
    second = await stage.server.ok("PATCH", path, applied, user="bob", kind=APPLY, fieldManager="git", force="true")
    assert second["metadata"]["generation"] == 2
    assert stamp.fault(KEY, second) == ""
    third = await stage.server.ok("PATCH", path, {"spec": {"suspend": True}}, user="alice", kind=MERGE)
    assert stamp.fault(KEY, third) == ""
    again = await stage.server.ok("PATCH", path, applied, user="bob", kind=APPLY, fieldManager="git", force="true")
    assert again["metadata"]["generation"] == 3
    assert stamp.fault(KEY, again) == ""
    await stage.server.ok("DELETE", path, user="bob")
    rows = await stage.entries()
    assert [(row["entry"]["actor"]["sub"], row["entry"]["action"]) for row in rows] == [
        ("alice", "admission:resource:create"),
        ("bob", "admission:resource:update"),
        ("alice", "admission:resource:update"),
        ("bob", "admission:resource:delete"),
    ]
    assert rows[1]["values"]["change.0.new"]["value"] == "Renamed"
    assert rows[1]["entry"]["reason"]["code"] == "Given"
    assert stamp.read(second).entry == rows[1]["entry"]["id"]
    assert [row["entry"]["object"]["version"] for row in rows[:3]] == ["1", "2", "3"]
    told = {
        event["annotations"].get("record.admission.cloister.dev/entry")
        for event in stage.server.audit()
        if event.get("annotations")
    }
    assert {row["entry"]["id"] for row in rows} <= told


async def test_a_name_that_the_api_server_makes_and_a_kind_without_status_keep_their_stamp(stage):
    hold = {"apiVersion": "cloister.dev/v1alpha1", "kind": "TenantHold", "metadata": {"generateName": "acme-"}}
    hold["spec"] = {"tenant": "acme-pharma", "matter": "M-1 v. Acme", "requestedBy": "alice"}
    made = await stage.create(hold)
    assert made["metadata"]["name"].startswith("acme-")
    assert stamp.fault(KEY, made) == ""
    region = documents("regions")[0]
    region["metadata"]["name"] = "region-of-tests"
    assert stamp.fault(KEY, await stage.create(region)) == ""
    (first, second) = await stage.entries()
    assert first["entry"]["object"]["id"] == made["metadata"]["name"]
    assert second["entry"]["object"]["type"] == "Region"


async def test_the_operators_own_writes_and_statuses_are_not_asked_about(stage):
    made = await stage.create(named("two"))
    path = f"{OURS}/tenants/two"
    status = {"status": {"phase": "Ready", "observedGeneration": 1}}
    told = await stage.server.ok("PATCH", f"{path}/status", status, user=OPERATOR, kind=MERGE)
    assert told["status"]["phase"] == "Ready"
    assert stamp.fault(KEY, told) == ""
    await stage.server.ok("DELETE", path, user=OPERATOR)
    assert [row["entry"]["id"] for row in await stage.entries()] == [stamp.read(made).entry]


async def test_a_forged_stamp_a_dry_run_and_a_refused_object_leave_no_trace(stage):
    forged = named("three")
    forged["metadata"]["annotations"] = {ANNOTATION_ADMISSION: "v1:forged:1:0"}
    assert stamp.fault(KEY, await stage.create(forged)) == ""
    path = f"{OURS}/tenants/three"
    annotations = {"metadata": {"annotations": {ANNOTATION_ADMISSION: "v1:forged:1:0"}}}
    again = await stage.server.ok("PATCH", path, annotations, user="bob", kind=MERGE)
    assert stamp.fault(KEY, again) == ""
    assert again["metadata"]["generation"] == 1
    await stage.server.ok("PATCH", path, {"spec": {"suspend": True}}, kind=MERGE, dryRun="All")
    status, _ = await stage.server.call("PATCH", path, {"spec": {"region": "us-east-1"}}, kind=MERGE)
    assert status == 422
    assert len(await stage.entries()) == 1


def _stamped(status: int, answer: dict[str, Any]) -> bool:
    """Whether a creation went by the webhook, which leaves its mark."""
    return status < HTTPStatus.BAD_REQUEST and ANNOTATION_ADMISSION in answer["metadata"].get("annotations", {})


@contextlib.asynccontextmanager
async def deaf(stage) -> AsyncIterator[None]:
    """Have the webhook's server gone, as when all its pods are."""
    for plural in KINDS:
        item = await stage.server.ok("GET", f"{HOOKS}/{plural}/cloister-admission")
        for hook in item["webhooks"]:
            hook["clientConfig"]["url"] = "https://localhost:1/gone"
        await stage.server.ok("PUT", f"{HOOKS}/{plural}/cloister-admission", item)
    await stage.until("the webhook still answers", lambda status, _: status >= HTTPStatus.BAD_REQUEST)
    yield


async def test_without_the_webhook_an_edit_is_refused_but_a_finalizer_goes_and_a_crd_takes_its_objects_along(stage):
    item = named("four")
    item["metadata"]["finalizers"] = ["example.com/somebodys"]
    await stage.create(item)
    path = f"{OURS}/tenants/four"
    gone = await stage.server.ok("DELETE", path, user="bob")
    assert gone["metadata"]["deletionTimestamp"]
    assert stamp.fault(KEY, await stage.server.ok("GET", path)) == ""
    hold = {"apiVersion": "cloister.dev/v1alpha1", "kind": "TenantHold", "metadata": {"name": "held"}}
    hold["spec"] = {"tenant": "acme-pharma", "matter": "M-2 v. Acme", "requestedBy": "alice"}
    await stage.create(hold)
    async with deaf(stage):
        status, said = await stage.server.call("PATCH", path, {"spec": {"suspend": True}}, kind=MERGE)
        assert status >= 400
        assert "failed calling webhook" in said["message"]
        assert (await stage.server.call("DELETE", f"{OURS}/tenantholds/held"))[0] >= 400
        await stage.server.ok("PATCH", path, {"metadata": {"finalizers": None}}, kind=MERGE)
        assert (await stage.server.call("GET", path))[0] == 404
        crd = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/tenantholds.cloister.dev"
        body = await stage.server.ok("GET", crd)
        await stage.server.ok("DELETE", crd)
        for _ in range(300):
            if (await stage.server.call("GET", crd))[0] == 404:
                break
            await asyncio.sleep(0.1)
        else:
            raise AssertionError("the CRD is still there: its objects were not let go")
        body["metadata"] = {"name": body["metadata"]["name"]}
        body.pop("status")
        await stage.server.ok("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", body)


@pytest.fixture
async def cluster(stage):
    """Have the operator's own way to the API server."""
    from kubernetes.aio import client
    from kubernetes.aio.client.rest import RESTClientObject

    configuration = client.Configuration(host=stage.server.url)
    configuration.ssl_ca_cert = str(stage.server.folder / "ca.crt")
    configuration.api_key = {"authorization": f"Bearer token-{OPERATOR}"}
    transport = Transport(RESTClientObject(configuration)._create_pool_manager(), configuration)
    yield KubernetesCluster(transport, Store())
    await transport.close()


@pytest.fixture
async def watch(stage, cluster):
    """Have the operator's watch over admission, on this API server and this audit log."""
    wanted = copy.deepcopy(stage.configurations)
    for item in wanted:
        item["metadata"] = {"name": "cloister-admission"}
        for hook in item["webhooks"]:
            del hook["clientConfig"]["caBundle"]
    async with stage.service.client() as audit:
        recorder = AuditRecorder(audit, OPERATOR)
        made = AdmissionWatch(cluster, recorder, DERIVE, "cloister-system", AdmissionConfig(configurations=wanted))
        running = asyncio.create_task(made.run())
        yield made
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def until(stage, action: str, count: int) -> list[dict[str, Any]]:
    for _ in range(300):
        found = [row for row in await stage.entries("operator") if row["entry"]["action"] == action]
        if len(found) >= count:
            return found
        await asyncio.sleep(0.1)
    raise AssertionError(f"{len(found)} of {count} entries {action}: {[row['values'] for row in found]}")


def words(row: dict[str, Any]) -> str:
    return str(row["values"]["reason.text"]["value"])


async def test_breaking_the_glass_is_evident_afterwards(stage, watch):
    made = await stage.create(named("five"))
    watch.cluster.store.put(made)
    watch.saw(made)
    await stage.unregister()
    gone = await until(stage, "operator:webhook:observe", 2)
    assert {row["entry"]["object"]["type"] for row in gone} == {
        "MutatingWebhookConfiguration",
        "ValidatingWebhookConfiguration",
    }
    assert all("it is gone" in words(row) for row in gone)
    path = f"{OURS}/tenants/five"
    edited = await stage.server.ok("PATCH", path, {"spec": {"suspend": True}}, user="bob", kind=MERGE)
    for _ in range(2):  # seen twice, recorded once
        watch._seen.clear()
        watch.cluster.store.put(edited)
        watch.saw(edited)
        (row,) = await until(stage, "operator:admission:absent", 1)
    assert (row["entry"]["object"]["id"], row["entry"]["result"]) == ("five", "error")
    assert "generation 2 was not admitted" in words(row)

    await stage.register()
    back = await until(stage, "operator:webhook:observe", 4)
    assert all("whole again" in words(row) for row in back[2:])
    whole = await stage.server.ok("PATCH", path, {"spec": {"suspend": False}}, user="bob", kind=MERGE)
    assert stamp.fault(KEY, whole) == ""


@pytest.mark.parametrize(
    ("change", "words_said"),
    [
        (lambda hook: hook.update(failurePolicy="Ignore"), "failurePolicy"),
        (lambda hook: hook.update(objectSelector={"matchLabels": {"watched": "yes"}}), "objectSelector"),
        (lambda hook: hook["matchConditions"].append({"name": "not-bob", "expression": "true"}), "matchConditions"),
        (lambda hook: hook["rules"][0]["resources"].remove("tenants"), "resources"),
    ],
)
async def test_an_altered_configuration_is_noticed_and_named(stage, watch, change, words_said):
    path = f"{HOOKS}/{KINDS[1]}/cloister-admission"
    item = await stage.server.ok("GET", path)
    change(item["webhooks"][0])
    await stage.server.ok("PUT", path, item, user="bob")
    (row,) = await until(stage, "operator:webhook:observe", 1)
    assert words_said in words(row)


async def test_a_lost_authority_is_put_back_by_a_recorded_act(stage, watch):
    path = f"{HOOKS}/{KINDS[1]}/cloister-admission"
    item = await stage.server.ok("GET", path)
    del item["webhooks"][0]["clientConfig"]["caBundle"]
    await stage.server.ok("PUT", path, item, user="bob")
    rows = await until(stage, "operator:object:apply", 2)
    assert [row["entry"]["phase"] for row in rows] == ["intent", "outcome"]
    assert rows[1]["entry"]["result"] == "ok"
    assert (await stage.server.ok("GET", path))["webhooks"][0]["clientConfig"]["caBundle"] == bundle(DERIVE)
    assert "whole again" in words((await until(stage, "operator:webhook:observe", 2))[1])


async def test_the_api_servers_own_log_and_ours_are_compared_as_they_are_written(stage, cluster):
    async with stage.service.client() as operator:
        await stage.service.tenant_log(operator)
        recorder = AuditRecorder(operator, OPERATOR)
        space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "tenant-acme-pharma"}}
        config = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "1"}}
        config["metadata"] = {"name": "app-config", "namespace": "tenant-acme-pharma"}
        planned = [
            Planned(
                "operator:object:create", item["kind"], item["metadata"]["name"], item["metadata"].get("namespace", "")
            )
            for item in (space, config, config, config)
        ]
        async with recorder.acts(TENANT_LOG, planned) as acts:
            await cluster.create(space)
            live = await cluster.create(config)
            live = await cluster.apply({**config, "data": {"a": "2"}})
            await cluster.delete(live)
            for act in acts:
                act.done()
        made = await stage.create(named("acme-pharma"))
        await stage.server.ok(
            "PATCH", f"{OURS}/tenants/acme-pharma", {"spec": {"suspend": True}}, user="bob", kind=MERGE
        )
        await stage.server.ok("PATCH", f"{OURS}/tenants/acme-pharma", {"metadata": {"labels": {"a": "b"}}}, kind=MERGE)

        async def look():
            for log in (TENANT_LOG, "platform"):
                await stage.service.signed(log, (await operator.log(log))["durable"])
            data, platform = await operator.export(TENANT_LOG), await operator.export("platform")
            calls = beside.read([stage.server.folder / "audit.log"])
            more = {"bound": timedelta(minutes=10), "now": datetime.now(UTC), "calls": calls}
            return gaps.find(data, "acme-pharma", platform=lambda: platform, **more)

        assert (await look()).problems == []
        assert stamp.read(made).entry
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {**config["metadata"], "name": "taken"}}
        await cluster.create(secret)
        await stage.unregister()
        await stage.until("the webhook is still called", lambda *seen: not _stamped(*seen))
        await stage.server.ok("DELETE", f"{OURS}/tenants/acme-pharma", user="bob")
        texts = [problem.text for problem in (await look()).problems]
        assert len(texts) == 2
        assert "create Secret tenant-acme-pharma/taken" in texts[0]
        assert "past the admission webhook" in texts[1]
        assert "bob delete Tenant acme-pharma" in texts[1]
