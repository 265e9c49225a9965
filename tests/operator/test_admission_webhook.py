"""The admission webhook over HTTPS, with a real audit service over a real PostgreSQL: who asked for what, before it is stored."""

# ruff: noqa: F811 - fixtures are imported and then asked for by name

import asyncio
import base64
import copy
import os
import signal
import ssl
from dataclasses import replace
from datetime import UTC, datetime

import httpx
import pytest

from audit_contract.client import AuditClient
from audit_contract.entry import uuid7
from audit_contract.verify import verify_bundle
from tenant_operator.api.names import ANNOTATION_ADMISSION, ANNOTATION_REASON, ANNOTATION_TICKET
from tenant_operator.clients.audit import SERVING, AuditRecorder
from tenant_operator.handlers import admission
from tenant_operator.handlers.admission_watch import secret
from tenant_operator.handlers.settings import ImageNames, OperatorConfig, Pod
from tenant_operator.ports import Planned
from tenant_operator.stack import stamp
from tests.audit_service.conftest import database, postgres, service, settings  # noqa: F401
from tests.audit_service.postgres import free_port
from tests.audit_service.service import TENANT_LOG, Service
from tests.support.tenants import DERIVE, documents
from tests.support.webhook import ALICE, patched, review, served, tenant

KEY = stamp.key_of(DERIVE)
ADMISSION = "system:serviceaccount:cloister-system:cloister-admission"
RECORD = {"spec": {"tenant": "acme-pharma", "id": TENANT_LOG.removeprefix("tenant-")}}


@pytest.fixture
async def webhook(service: Service, tmp_path):
    async with service.client(ADMISSION, kind="admission") as audit, served(tmp_path, audit) as found:
        yield found


async def entries(service: Service, log: str, **query) -> list[dict]:
    """Return the webhook's entries of a log, with their values."""
    async with service.client() as operator:
        size = (await operator.log(log))["durable"]
        await service.signed(log, size)
        found = await operator.entries(log, **query)
    return [item for item in found if item["entry"]["action"].startswith("admission:")]


async def onboarded(service: Service, webhook) -> None:
    """Have the tenant's record and its log."""
    webhook.objects["tenantrecords/acme-pharma"] = RECORD
    async with service.client() as operator:
        await service.tenant_log(operator)


async def test_a_new_tenant_is_recorded_in_the_platforms_log_with_the_person_and_every_value(service, webhook):
    said, item = await webhook.write(tenant())
    assert said["allowed"]
    (found,) = await entries(service, "platform")
    entry = found["entry"]
    assert entry["actor"]["type"] == "user"
    assert entry["actor"]["sub"] == "alice"
    assert entry["actor"]["auth"]["groups"] == ALICE["groups"]
    assert entry["actor"]["auth"]["credential"] == ["X509SHA256=ab12"]
    assert (entry["action"], entry["phase"], entry["result"]) == ("admission:resource:create", "single", "ok")
    assert entry["object"]["type"] == "Tenant"
    assert entry["object"]["id"] == "acme-pharma"
    assert entry["object"]["sha256"] == stamp.spec_digest(item)
    assert entry["request"] == said["uid"]
    assert entry["src"]["kind"] == "admission"
    assert entry["reason"] == {"code": "NoneGiven"}
    paths = {change["path"]: number for number, change in enumerate(entry["change"])}
    assert "value" not in str(entry["change"][paths["/spec/region"]])
    assert found["values"][f"change.{paths['/spec/region']}.new"]["value"] == "eu-central-1"
    assert f"change.{paths['/spec/region']}.old" not in found["values"]
    assert stamp.genuine(KEY, item).entry == entry["id"] == said["auditAnnotations"]["entry"]


async def test_an_edit_is_in_the_tenants_log_with_old_and_new_value_reason_and_ticket(service, webhook):
    _, old = await webhook.write(tenant())
    await onboarded(service, webhook)
    new = copy.deepcopy(old)
    new["spec"]["displayName"] = "Acme Pharma AG"
    new["metadata"]["annotations"] |= {ANNOTATION_REASON: "Renamed by the customer", ANNOTATION_TICKET: "CHG-17"}
    said, item = await webhook.write(new, old)
    assert said["allowed"]
    (found,) = await entries(service, TENANT_LOG)
    assert found["entry"]["action"] == "admission:resource:update"
    assert [change["path"] for change in found["entry"]["change"]] == ["/spec/displayName"]
    assert found["values"]["change.0.old"]["value"] == old["spec"]["displayName"]
    assert found["values"]["change.0.new"]["value"] == "Acme Pharma AG"
    assert found["entry"]["reason"]["code"] == "Given"
    assert found["values"]["reason.text"]["value"] == "ticket CHG-17: Renamed by the customer"
    assert found["entry"]["object"]["version"] == "2"
    assert stamp.fault(KEY, item) == ""

    again = copy.deepcopy(item)
    again["spec"]["displayName"] = "Acme"
    await webhook.write(again, item)
    assert [row["entry"]["reason"]["code"] for row in await entries(service, TENANT_LOG)] == ["Given", "Standing"]


async def test_a_deletion_is_recorded_before_the_object_goes(service, webhook):
    _, old = await webhook.write(tenant())
    await onboarded(service, webhook)
    said, _ = await webhook.write(None, old)
    assert said["allowed"]
    (found,) = await entries(service, TENANT_LOG)
    assert found["entry"]["action"] == "admission:resource:delete"
    assert found["entry"]["actor"]["sub"] == "alice"
    assert all("new" not in change for change in found["entry"]["change"])


async def test_approvals_and_holds_are_in_the_log_of_the_tenant_they_are_about_and_regions_in_the_platforms(
    service, webhook
):
    await onboarded(service, webhook)
    webhook.objects["tenantoffboardings/acme-1"] = {"spec": {"tenant": "acme-pharma"}}
    api = {"apiVersion": "cloister.dev/v1alpha1"}
    approval = {**api, "kind": "TenantApproval", "metadata": {"name": "acme-1.alice"}}
    approval["spec"] = {"offboarding": "acme-1", "approver": "alice", "statement": "yes"}
    hold = {**api, "kind": "TenantHold", "metadata": {"generateName": "acme-pharma-"}}
    hold["spec"] = {"tenant": "acme-pharma", "matter": "M-1"}
    for item in (approval, hold, documents("regions")[0]):
        said, _ = await webhook.write(item)
        assert said["allowed"]
    kinds = [row["entry"]["object"]["type"] for row in await entries(service, TENANT_LOG)]
    assert kinds == ["TenantApproval", "TenantHold"]
    assert [row["entry"]["object"]["type"] for row in await entries(service, "platform")] == ["Region"]


async def test_a_stamp_that_somebody_brings_along_is_overwritten(service, webhook):
    forged = tenant()
    forged["metadata"]["annotations"] = {ANNOTATION_ADMISSION: str(stamp.make(b"x" * 32, forged, uuid7(), 1))}
    _, item = await webhook.write(forged)
    assert stamp.fault(KEY, item) == ""
    assert item["metadata"]["annotations"] != forged["metadata"]["annotations"]


async def test_a_change_of_metadata_alone_keeps_the_stamp_whatever_it_brings_and_leaves_no_entry(service, webhook):
    _, old = await webhook.write(tenant())
    for annotations in ({}, {ANNOTATION_ADMISSION: "v1:forged:1:0"}, None):
        new = copy.deepcopy(old)
        new["metadata"]["annotations"] = annotations
        said, item = await webhook.write(new, old)
        assert said["allowed"]
        assert stamp.fault(KEY, item) == ""
    bare = tenant()
    bare["metadata"] |= {"generation": 1}
    forged = copy.deepcopy(bare)
    forged["metadata"]["annotations"] = {ANNOTATION_ADMISSION: "v1:forged:1:0", "other": "stays"}
    _, item = await webhook.write(forged, bare)
    assert item["metadata"]["annotations"] == {"other": "stays"}
    assert len(await entries(service, "platform")) == 1


async def test_what_comes_without_its_stamp_is_refused_and_says_what_to_look_at(service, webhook):
    item = tenant()
    said = await webhook.ask("/record", review("CREATE", item))
    assert not said["allowed"]
    assert "kubectl get mutatingwebhookconfiguration cloister-admission" in said["status"]["message"]
    stamped = patched(item, await webhook.ask("/stamp", review("CREATE", item)))
    stamped["spec"]["region"] = "us-east-1"  # as by another webhook, after ours
    assert not (await webhook.ask("/record", review("CREATE", stamped)))["allowed"]
    assert await entries(service, "platform") == []


async def test_a_dry_run_is_allowed_and_leaves_nothing(service, webhook):
    said, _ = await webhook.write(tenant(), dryRun=True)
    assert said["allowed"]
    assert await entries(service, "platform") == []


async def test_a_question_that_is_asked_again_is_recorded_once(service, webhook):
    item = tenant()
    request = review("CREATE", item)
    request["object"] = patched(item, await webhook.ask("/stamp", request))
    assert (await webhook.ask("/record", request))["allowed"]
    assert (await webhook.ask("/record", request))["allowed"]
    assert len(await entries(service, "platform")) == 1


async def test_many_fields_and_large_values_fit(service, webhook):
    item = tenant()
    item["spec"]["labels"] = {f"k{number}": "v" for number in range(90)}
    item["spec"]["large"] = {"text": "x" * 40_000}
    said, _ = await webhook.write(item)
    assert said["allowed"], said
    (found,) = await entries(service, "platform")
    number = next(n for n, change in enumerate(found["entry"]["change"]) if change["path"] == "/spec/large")
    assert set(found["values"][f"change.{number}.new"]["value"]) == {"sha256", "bytes"}


async def test_the_log_with_its_admission_entries_is_whole(service, webhook):
    _, old = await webhook.write(tenant())
    await webhook.write(None, old)
    async with service.client() as operator:
        await service.signed("platform", (await operator.log("platform"))["durable"])
        report = verify_bundle(await operator.export("platform"))
    assert report.ok, report.problems


async def test_an_audit_service_that_is_there_again_in_time_records_the_change_once(service, tmp_path):
    calls = []

    async def at_first_nobody(request: httpx.Request) -> httpx.Response:
        calls.append(request.url.path)
        if len(calls) < 3:
            raise httpx.ConnectError("connection refused")
        return await service.transport.handle_async_request(request)

    async with (
        AuditClient(
            "http://audit",
            token=lambda: service.cluster.token(ADMISSION),
            source_kind="admission",
            source_id="cloister-admission/pod-1",
            transport=httpx.MockTransport(at_first_nobody),  # stands for a network, and the service behind it is real
        ) as audit,
        served(tmp_path, audit) as webhook,
    ):
        said, _ = await webhook.write(tenant())
        assert said["allowed"]
        assert len(calls) == 3
        assert len(await entries(service, "platform")) == 1


async def test_without_the_audit_service_a_change_is_refused_in_clear_words_and_metadata_passes(tmp_path, monkeypatch):
    monkeypatch.setattr(admission, "ANSWER_SECONDS", 0.6)

    async def nobody(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused")

    transport = httpx.MockTransport(nobody)  # stands for a network without the service, not for the service
    async with (
        AuditClient("http://audit", token=lambda: "t", source_kind="admission", transport=transport) as audit,
        served(tmp_path, audit) as webhook,
    ):
        said, item = await webhook.write(tenant())
        assert not said["allowed"]
        assert said["status"]["code"] == 503
        assert "this change cannot be recorded, so it is not made" in said["status"]["message"]
        assert "kubectl -n cloister-audit get pods" in said["status"]["message"]
        assert not (await webhook.write(None, item))[0]["allowed"]
        let_go = copy.deepcopy(item)
        let_go["metadata"]["finalizers"] = []
        assert (await webhook.write(let_go, item))[0]["allowed"]


async def test_a_service_that_hangs_is_answered_before_the_api_server_gives_up(tmp_path, monkeypatch):
    async def hang(_: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(admission, "ANSWER_SECONDS", 0.2)
    transport = httpx.MockTransport(hang)
    async with (
        AuditClient("http://audit", token=lambda: "t", source_kind="admission", transport=transport) as audit,
        served(tmp_path, audit) as webhook,
    ):
        said, _ = await webhook.write(tenant())
        assert (said["allowed"], said["status"]["code"]) == (False, 503)


async def test_what_is_no_review_is_refused_and_the_server_goes_on(webhook):
    for body in (None, {}, {"uid": "1", "operation": "CREATE"}):
        assert (await webhook.post("/record", body)).status_code == 400
    assert (await webhook.write(tenant()))[0]["allowed"]


async def test_a_new_certificate_is_taken_up_without_a_restart(webhook, tmp_path):
    context = admission.tls(admission.Files(tmp_path, tmp_path))
    served_now = asyncio.create_task(admission.renew(context, admission.Files(tmp_path, tmp_path), every=0.01))
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    try:
        before = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port))
        pair = DERIVE.certificate("platform/admission/next", ("localhost",), stamp.time_of(uuid7()))
        (tmp_path / "tls.key").write_text(pair.key)
        (tmp_path / "tls.crt").write_text(pair.certificate)
        await asyncio.sleep(0.1)
        after = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port))
        assert after.strip() == pair.certificate.strip()
        assert after != before
    finally:
        served_now.cancel()
        server.close()
        await server.wait_closed()


async def test_intents_and_outcomes_name_the_entry_they_serve_and_the_newest_deletion_is_found(service, webhook):
    _, old = await webhook.write(tenant())
    await onboarded(service, webhook)
    await webhook.write(None, old)
    said, _ = await webhook.write(None, old)
    assert said["allowed"]
    entry = (await entries(service, TENANT_LOG))[-1]["entry"]["id"]
    async with service.client() as operator:
        recorder = AuditRecorder(operator, "system:serviceaccount:cloister-system:cloister-operator")
        found = await recorder.latest(TENANT_LOG, "admission:resource:delete", "Tenant", "acme-pharma")
        assert found == entry
        assert await recorder.latest(TENANT_LOG, "admission:resource:delete", "Tenant", "globex-bio") == ""
        planned = Planned("operator:object:delete", "Deployment", "app", "tenant-acme-pharma")
        async with recorder.acts(TENANT_LOG, [replace(planned, request=entry), planned]) as acts:
            acts[0].done()
        token = SERVING.set(entry)
        await recorder.note(TENANT_LOG, planned)
        SERVING.reset(token)
        await service.signed(TENANT_LOG, (await operator.log(TENANT_LOG))["durable"])
        rows = await operator.entries(TENANT_LOG, action="operator:object:delete")
    said_of = [(row["entry"]["phase"], row["entry"].get("request")) for row in rows]
    assert said_of == [("intent", entry), ("intent", None), ("outcome", entry), ("outcome", None), ("single", entry)]


async def test_the_process_serves_and_ends_in_order_when_it_is_told_to(tmp_path, monkeypatch):
    for name, value in secret(DERIVE, "cloister-system", datetime.now(UTC))["data"].items():
        (tmp_path / name).write_bytes(base64.b64decode(value))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "1")
    config = OperatorConfig(images=ImageNames(app="a", postgres="p", jobs="j"), version="1")
    files = admission.Files(tmp_path, tmp_path)
    (tmp_path / "ca.crt").write_text(DERIVE.ca.certificate)
    port = free_port()
    serving = asyncio.create_task(admission.serve(config, Pod(), files, host="127.0.0.1", port=port))
    trust = ssl.create_default_context(cadata=DERIVE.ca.certificate)
    async with httpx.AsyncClient(verify=trust) as client:
        for _ in range(600):
            try:
                assert (await client.get(f"https://localhost:{port}/readyz")).text == "ok"
                break
            except httpx.ConnectError:
                await asyncio.sleep(0.05)
        said = (
            await client.post(f"https://localhost:{port}/stamp", json={"request": review("CREATE", tenant())})
        ).json()
        assert said["response"]["allowed"]
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(serving, 20)
        with pytest.raises(httpx.ConnectError):
            await client.get(f"https://localhost:{port}/readyz")
