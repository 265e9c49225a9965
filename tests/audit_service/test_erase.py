"""Erasing a value: recorded, final, and the tree still verifies; a value that just vanishes does not go unnoticed."""

import json

import asyncpg

from audit_contract import bundle as bundles
from audit_contract.entry import Change, Reason
from audit_contract.report import Exit
from audit_contract.verify import verify_bundle
from audit_service.store.connect import arguments
from tests.audit_service.service import Service, draft

PERSON = {"type": "user", "sub": "dpo-1", "name": "Data Protection"}
REASON = {"code": "ErasureRequest", "text": "ticket 17"}


async def test_at61_an_erased_value_is_gone_and_the_log_says_by_whom_and_why(service: Service) -> None:
    async with service.client() as client, service.http() as http:
        log = await service.tenant_log(client)
        sent = draft(
            change=[Change(path="/name", old="Ana Ruiz of Sevilla", new="Eva Lind")],
            reason=Reason(code="X", text="why"),
        )
        await client.append(log, [sent])
        wanted = {"index": 1, "field": "change.0.old", "actor": PERSON, "reason": REASON}
        answer = await http.post(f"/v1/logs/{log}/erasures", json=wanted)
        assert (answer.status_code, answer.json()["index"]) == (200, 2)
        assert (await http.post(f"/v1/logs/{log}/erasures", json=wanted)).status_code == 409
        for change, status in (
            ({"index": 9}, 404),
            ({"field": "change.3.old"}, 404),
            ({"field": "x"}, 422),
            ({"reason": None}, 422),
        ):
            assert (await http.post(f"/v1/logs/{log}/erasures", json={**wanted, **change})).status_code == status
        await service.signed(log, 3)
        bundle = await client.export(log)
        report = verify_bundle(bundle, (await client.log(log))["keys"])
        assert (report.problems, report.erased, report.values) == ([], 1, 3)
        assert b"Ana Ruiz of Sevilla" not in bundle
        rows = await client.entries(log)
        assert rows[1]["values"]["change.0.old"] == {"erased": 2}
        assert rows[2]["entry"]["actor"]["name"] == "Data Protection"
        assert rows[2]["values"]["reason.text"]["value"] == "ticket 17"
        assert (await client.append(log, [sent]))[0].index == 1  # sent again: still the same entry


async def test_only_the_operator_may_ask_for_it(service: Service) -> None:
    async with service.client() as client, service.http("system:serviceaccount:tenant-acme-pharma:auditor") as http:
        log = await service.tenant_log(client)
        await client.append(log, [draft(change=[Change(path="/x", new=1)])])
        wanted = {"index": 1, "field": "change.0.new", "actor": PERSON, "reason": REASON}
        assert (await http.post(f"/v1/logs/{log}/erasures", json=wanted)).status_code == 403


async def test_a_value_that_vanished_without_such_an_act_is_incomplete(service: Service) -> None:
    async with service.client() as client:
        log = await service.tenant_log(client)
        await client.append(log, [draft(change=[Change(path="/x", new=1)])])
        await service.signed(log, 2)
        database = service.settings.database
        connection = await asyncpg.connect(**arguments(database, database.name, database.admin))
        await connection.execute("DELETE FROM value")
        await connection.close()
        assert verify_bundle(await client.export(log)).code is Exit.INCOMPLETE


async def test_values_at_rest_are_sealed(service: Service) -> None:
    async with service.client() as client:
        log = await service.tenant_log(client)
        await client.append(log, [draft(change=[Change(path="/x", new="plainly visible")])])
        await service.signed(log, 2)
        bundle = bundles.read(await client.export(log))
        assert json.loads(bundle.members["values/000.ndjson"])["value"] == "plainly visible"
        database = service.settings.database
        connection = await asyncpg.connect(**arguments(database, database.name, database.admin))
        for table in ("value", "leaf"):
            for row in await connection.fetch(f"SELECT * FROM {table}"):  # noqa: S608  # the test's own names
                assert b"plainly visible" not in b"".join(each for each in row.values() if isinstance(each, bytes))
        await connection.close()
