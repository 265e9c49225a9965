"""Appending: durable, once, in order, numbered, all or nothing."""

import asyncio
import json

import pytest

from audit_contract.client import AuditConflict, AuditRefused, AuditUnavailable
from audit_contract.entry import Change, Reason
from audit_contract.verify import verify_bundle
from tests.audit_service.service import TENANT_LOG, Service, draft


async def test_an_intent_and_its_outcome_are_recorded_and_the_bundle_verifies(service: Service) -> None:
    async with service.client() as client:
        log = await service.tenant_log(client)
        intent = draft(
            change=[Change(path="/data/x", old="1", new={"b": 1.5, "a": None})],
            reason=Reason(code="Drift", text="gone"),
        )
        first = await client.append(log, [intent])
        outcome = draft(phase="outcome", intent=intent.id, result="ok")
        second = await client.append(log, [outcome])
        assert [first[0].index, second[0].index] == [1, 2]  # 0 is the log's own first entry
        await service.signed(log, 3)
        bundle = await client.export(log)
        keys = (await client.log(log))["keys"]
    report = verify_bundle(bundle, keys)
    assert report.problems == []
    assert (report.ok, report.size, report.proven, report.values, report.trusted) == (True, 3, 3, 3, True)
    assert report.open_intents == []
    assert verify_bundle(bundle).ok


async def test_the_same_draft_again_gets_the_same_answer(service: Service) -> None:
    async with service.client() as client, service.client() as another:
        log = await service.tenant_log(client)
        sent = draft(change=[Change(path="/x", new=1)])
        first = await client.append(log, [sent])
        assert await client.append(log, [sent]) == first
        assert await another.append(log, [sent]) == first  # whose numbering starts at 0: it adopts the log's
        assert (await client.append(log, [draft(), sent, draft()]))[1] == first[0]
        await service.signed(log, 4)
        assert (await client.log(log))["durable"] == 4


async def test_the_same_id_with_another_body_is_a_conflict(service: Service) -> None:
    async with service.client() as client:
        log = await service.tenant_log(client)
        sent = draft(change=[Change(path="/x", new=1)])
        await client.append(log, [sent])
        for other in (
            sent.model_copy(update={"change": (Change(path="/x", new=2),)}),
            sent.model_copy(update={"request": "other"}),
            sent.model_copy(update={"change": ()}),
        ):
            with pytest.raises(AuditConflict):
                await client.append(log, [other])
        assert (await client.log(log))["durable"] == 2


async def test_many_at_once_are_each_recorded_once_and_in_their_sources_order(service: Service) -> None:
    async with service.client() as client:
        log = await service.tenant_log(client)
        clients = [service.client(pod=f"pod-{number}") for number in range(8)]
        drafts = [[draft() for _ in range(20)] for _ in clients]
        receipts = await asyncio.gather(
            *(each.append(log, [one]) for each, own in zip(clients, drafts, strict=True) for one in own)
        )
        indices = sorted(receipt.index for batch in receipts for receipt in batch)
        assert indices == list(range(1, 161))
        await service.signed(log, 161)
        report = verify_bundle(await client.export(log))
        assert (report.ok, report.sources) == (True, 9)
        for each in clients:
            await each.aclose()


async def test_a_batch_larger_than_a_request_goes_in_several(service: Service) -> None:
    async with service.client() as client:
        log = await service.tenant_log(client)
        receipts = await client.append(log, [draft() for _ in range(600)])
        assert [receipt.index for receipt in receipts] == list(range(1, 601))
        await service.signed(log, 601)
        report = verify_bundle(await client.export(log))
        assert (report.ok, report.proven) == (True, 601)


async def test_a_batch_with_one_bad_number_records_nothing(service: Service) -> None:
    async with service.client() as client, service.http() as http:
        log = await service.tenant_log(client)
        source = {"kind": "operator", "id": "cloister-operator/pod-1"}
        bodies = [{**draft().body(), "src": {**source, "seq": seq}} for seq in (0, 1, 3)]
        answer = await http.post(f"/v1/logs/{log}/entries", json={"entries": bodies})
        assert (answer.status_code, answer.json()["expected"]) == (409, 0)
        assert (await client.log(log))["durable"] == 1


async def test_a_log_that_lost_what_it_acknowledged_is_not_written_to(service: Service) -> None:
    async with service.client() as client:
        log = await service.tenant_log(client)
        await client.append(log, [draft(), draft()])
        client._counters[log].next = 7  # as it would be had the log been set back
        with pytest.raises(AuditConflict, match="set back"):
            await client.append(log, [draft()])


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("action", "operator:object:frobnicate", "entries.0.action"),
        ("action", "audit:value:erase", "not for a source of kind operator"),
        ("action", "app:document:create", "not for a source of kind operator"),
        ("colour", "blue", "entries.0.colour"),
        ("id", "0b7e6f5c-2f5f-4a53-9e0f-0d8a4c4f3a11", "entries.0.id"),
        ("event", "2026-02-30T00:00:00.000000Z", "entries.0.event"),
        ("event", "2026-02-20T00:00:00Z", "entries.0.event"),
        ("result", "ok", "an intent has none yet"),
        ("phase", "outcome", "an outcome names the intent"),
        ("actor", {"type": "user", "sub": "e\u0301"}, "entries.0.actor.sub"),
        ("actor", {"type": "user", "sub": "x", "auth": {"level": 1.5}}, "entries.0.actor.auth.level"),
        ("object", {"type": "Document", "id": "1", "sha256": "00"}, "entries.0.object.sha256"),
        ("change", [{"path": "/x", "new": "x" * 40_000}], "change.0.new"),
        ("change", [{"path": "/x", "new": 2**60}], "change.0.new"),
        ("system", {"image": 1}, "entries.0.system.image"),
        ("src", None, "src"),
        ("src", {"kind": "audit", "id": "x/y", "seq": 0}, "entries.0.src.kind"),
        ("src", {"kind": "operator", "id": "cloister-operator/pod-1", "seq": 2**53}, "entries.0.src.seq"),
        ("src", {"kind": "operator", "id": "cloister-operator/pod-1", "seq": 0.5}, "entries.0.src.seq"),
        ("src", {"kind": "operator", "id": "cloister-operator/pod-1", "seq": "0"}, "entries.0.src.seq"),
        ("src", {"kind": "operator", "id": "cloister-operator", "seq": 0}, "entries.0.src.id"),
        ("src", {"kind": "operator", "id": "cloister-operator/pod-1", "seq": 0, "prev": "00"}, "entries.0.src.prev"),
        ("event", "2026-02-20T00:00:00.000000+01:00", "entries.0.event"),
        ("tz", "Europe/Paris; DROP", "entries.0.tz"),
        ("tz", 2, "entries.0.tz"),
        ("phase", "begun", "entries.0.phase"),
        ("actor", {"type": "robot", "sub": "x"}, "entries.0.actor.type"),
        ("actor", {"type": "user"}, "entries.0.actor.sub"),
        ("actor", {"type": "user", "sub": ""}, "entries.0.actor.sub"),
        ("actor", {"type": "user", "sub": "x" * 1025}, "entries.0.actor.sub"),
        ("actor", {"type": "user", "sub": "a\0b"}, "entries.0.actor.sub"),
        ("actor", {"type": "user", "sub": "x", "dn": "e\u0301"}, "entries.0.actor.dn"),
        ("actor", {"type": "user", "sub": "x", "auth": {"components": "password"}}, "entries.0.actor.auth"),
        ("actor", {"type": "user", "sub": "x", "auth": {"components": []}}, "entries.0.actor.auth"),
        ("actor", {"type": "user", "sub": "x", "auth": {"components": ["id", "id"]}}, "entries.0.actor.auth"),
        ("actor", {"type": "user", "sub": "x", "auth": {"mfa": "yes"}}, "mfa: true or false"),
        ("actor", {"type": "user", "sub": "x", "auth": {"session": 7}}, "session: text"),
        ("actor", {"type": "user", "sub": "x", "auth": {"level": 2**53}}, "entries.0.actor.auth.level"),
        ("actor", {"type": "user", "sub": "x", "auth": {str(n) * 3: 1 for n in range(17)}}, "entries.0.actor.auth"),
        ("object", {"type": "Document", "id": "1", "version": 4}, "entries.0.object.version"),
        ("object", {"type": "a type", "id": "1"}, "entries.0.object.type"),
        ("change", [{"path": "/x", "new": 1}] * 65, "entries.0.change"),
        ("change", [{"path": "e\u0301", "new": 1}], "entries.0.change.0.path"),
        ("change", [{"path": "/x", "was": 1}], "entries.0.change.0.was"),
        ("change", [{"path": "/y"}, {"path": "/x", "old": "x" * 40_000}], "entries.0.change.1.old"),
        ("reason", {"code": "not a code"}, "entries.0.reason.code"),
        ("reason", {"code": "X", "text": "x" * 4097}, "entries.0.reason.text"),
        ("reason", {"code": "X", "text": "e\u0301"}, "entries.0.reason.text"),
        ("request", "x" * 1025, "entries.0.request"),
        ("system", {"the image": "x"}, "entries.0.system"),
        ("change", [{"path": "/" + "x" * 1023, "new": 1} for _ in range(64)], "entry: it would be larger"),
    ],
)
async def test_a_wrong_field_is_refused_by_name(service: Service, field: str, value: object, said: str) -> None:
    async with service.client() as client, service.http() as http:
        log = await service.tenant_log(client)
        body = {**draft().body(), "src": {"kind": "operator", "id": "cloister-operator/pod-1", "seq": 0}, field: value}
        answer = await http.post(f"/v1/logs/{log}/entries", content=json.dumps({"entries": [body]}))
        assert answer.status_code == 422
        assert said in answer.json()["error"]
        assert (await client.log(log))["durable"] == 1


async def test_a_batch_of_none_of_too_many_or_twice_the_same_is_refused(service: Service) -> None:
    async with service.client() as client, service.http() as http:
        log = await service.tenant_log(client)
        body = {**draft().body(), "src": {"kind": "operator", "id": "cloister-operator/pod-1", "seq": 0}}
        for entries in ([], [body] * 257, [body, body]):
            assert (await http.post(f"/v1/logs/{log}/entries", json={"entries": entries})).status_code == 422
        assert (await http.post(f"/v1/logs/{log}/entries", content=b"{")).status_code == 422
        assert (await http.post(f"/v1/logs/{log}/entries", content=b"x" * (17 << 20))).status_code == 413


async def test_a_log_that_is_not_there_refuses(service: Service) -> None:
    async with service.client() as client:
        with pytest.raises(AuditRefused):
            await client.append(TENANT_LOG, [draft()])


async def test_a_database_that_is_gone_means_unavailable_and_it_resumes_by_itself(service: Service) -> None:
    async with service.client() as client:
        log = await service.tenant_log(client)
        sent = draft()
        service.postgres.stop()
        try:
            with pytest.raises(AuditUnavailable) as caught:
                await client.append(log, [sent])
            assert caught.value.retry
            async with service.http() as http:
                assert (await http.get("/readyz")).status_code == 503
                assert (await http.get("/healthz")).status_code == 200
        finally:
            service.postgres.start()
        for _ in range(600):
            try:
                receipts = await client.append(log, [sent])
                break
            except AuditUnavailable:
                await asyncio.sleep(0.05)
        assert [receipt.index for receipt in receipts] == [1]
