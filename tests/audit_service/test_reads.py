"""Reading: tiles, proofs, search, export, metrics; and what the service's own database role cannot do."""

import asyncio
import base64

import asyncpg
import pytest

from audit_contract.canonical import canonical
from audit_contract.checkpoint import open_checkpoint
from audit_contract.entry import Actor, Change, ObjectRef
from audit_contract.keys import parse_vkey
from audit_contract.merkle import leaf_hash, root_of, verify_consistency, verify_inclusion
from audit_contract.proof import verify_proof
from audit_contract.tiles import split_entries, split_hashes, tiles_of
from audit_service.store.connect import service_arguments
from tests.audit_service.service import Service, draft


async def _filled(service: Service, count: int) -> str:
    async with service.client() as client:
        log = await service.tenant_log(client)
        await client.append(log, [draft() for _ in range(count)])
        await service.signed(log, count + 1)
        return log


async def test_tiles_entries_and_proofs_are_those_of_c2sp(service: Service) -> None:
    log = await _filled(service, 599)
    async with service.http() as http:
        facts = (await http.get(f"/v1/logs/{log}")).json()
        keys = [parse_vkey(text) for text in facts["keys"]]
        note = (await http.get(f"/v1/logs/{log}/checkpoint")).content
        opened = open_checkpoint(note, f"test.example/audit/{log}", keys)
        assert (opened.checkpoint.size, len(opened.signed_by)) == (600, 2)
        entries = []
        for name in ("000", "001", "002.p/88"):
            answer = await http.get(f"/v1/logs/{log}/tile/entries/{name}")
            assert answer.headers["content-type"] == "application/octet-stream"
            entries += split_entries(answer.content)
        hashes = [leaf_hash(entry) for entry in entries]
        assert root_of(hashes) == opened.checkpoint.root
        for tile in tiles_of(600):
            data = (await http.get(f"/v1/logs/{log}/{tile.path}")).content
            assert len(split_hashes(data)) == tile.width
            if tile.level == 0:
                assert split_hashes(data) == hashes[tile.index * 256 : tile.index * 256 + tile.width]
        for name in (
            "0/003",
            "0/002",
            "0/002.p/89",
            "0/002.p/0",
            "0/2",
            "9/000",
            "1/000.p/3",
            "entries/x000/000",
            "x/000",
        ):
            assert (await http.get(f"/v1/logs/{log}/tile/{name}")).status_code == 404, name
        for index in (0, 255, 256, 599):
            proof = (await http.get(f"/v1/logs/{log}/proof?index={index}")).content
            assert verify_proof(proof, entries[index], f"test.example/audit/{log}", keys)[0] == index
        lines = (await http.get(f"/v1/logs/{log}/proof?index=7&size=300")).text.split()
        verify_inclusion(hashes[7], 7, 300, [base64.b64decode(line) for line in lines], root_of(hashes[:300]))
        for old, new in ((1, 600), (256, 599), (300, 300), (513, 600)):
            lines = (await http.get(f"/v1/logs/{log}/consistency?from={old}&to={new}")).text.split()
            path = [base64.b64decode(line) for line in lines]
            verify_consistency(old, new, path, root_of(hashes[:old]), root_of(hashes[:new]))
        for query in ("proof?index=600", "proof?index=1&size=601", "consistency?from=1&to=601"):
            assert (await http.get(f"/v1/logs/{log}/{query}")).status_code == 404
        for query in ("proof", "proof?index=-1", "proof?index=01", "consistency?from=0", "consistency?from=9&to=3"):
            assert (await http.get(f"/v1/logs/{log}/{query}")).status_code == 400, query


async def test_entries_are_found_by_actor_object_action_and_time_and_show_their_values(service: Service) -> None:
    async with service.client() as client, service.http() as http:
        log = await service.tenant_log(client)
        await client.append(
            log,
            [
                draft(
                    object=ObjectRef(type="Secret", id=f"s-{number % 3}"),
                    actor=Actor(type="user", sub=f"u-{number % 2}"),
                )
                for number in range(12)
            ],
        )
        old, new = {"a": [1.5, None, "é", 1e17, -1e300]}, None
        await client.append(log, [draft(action="operator:object:delete", change=[Change(path="/x", old=old, new=new)])])
        await service.signed(log, 14)

        async def indices(query: str) -> list[int]:
            answer = (await http.get(f"/v1/logs/{log}/entries?{query}")).json()
            return [row["index"] for row in answer["entries"]]

        assert await indices("object=s-1") == [2, 5, 8, 11]
        assert await indices("object=s-1&actor=u-1") == [2, 8]
        assert await indices("object=s-1&from=6&limit=1") == [8]
        assert await indices("type=Secret&since=2100-01-01T00:00:00Z") == []
        assert await indices("limit=2") == [0, 1]
        assert await client.entries(log, action="operator:object:apply", from_=5, limit=3) == (
            await client.entries(log, from_=5, limit=3)
        )
        row = (await client.entries(log, action="operator:object:delete"))[0]
        assert row["values"]["change.0.old"]["value"] == old
        assert row["values"]["change.0.new"]["value"] is None
        assert leaf_hash(canonical(row["entry"])).hex() == row["leafHash"]
        for query in ("limit=0", "limit=257", "colour=blue", "from=x"):
            assert (await http.get(f"/v1/logs/{log}/entries?{query}")).status_code == 400


async def test_a_filter_that_is_no_time_is_the_callers_mistake(service: Service) -> None:
    log = await _filled(service, 1)
    async with service.http() as http:
        assert (await http.get(f"/v1/logs/{log}/entries?since=yesterday-ish")).status_code == 400


async def test_tenant_checkpoints_enter_the_platforms_log(service: Service) -> None:
    log = await _filled(service, 3)
    async with service.client() as client:
        for _ in range(600):
            rows = await client.entries("platform", action="audit:checkpoint:record")
            if rows and rows[-1]["entry"]["object"]["version"] == "4":
                break
            await asyncio.sleep(0.05)
        facts = await client.log(log)
        assert rows[0]["entry"]["object"]["name"] == log
        assert (rows[-1]["entry"]["object"]["version"], rows[-1]["entry"]["object"]["sha256"]) == ("4", facts["root"])


async def test_probes_and_metrics_answer_anyone(service: Service) -> None:
    async with service.http(None) as http:
        assert (await http.get("/readyz")).json()["ready"] is True
        assert "cloister_audit_unsigned_entries" in (await http.get("/metrics")).text


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE leaf SET data = ''",
        "DELETE FROM leaf",
        "TRUNCATE leaf",
        "DELETE FROM log",
        "UPDATE log SET tenant = 'x'",
        "UPDATE tile SET root = root",
        "DELETE FROM tile",
        "DELETE FROM value",
        "DELETE FROM head",
        "DELETE FROM checkpoint",
        "UPDATE head SET size = size - 1",
        "UPDATE checkpoint SET size = 0",
        "UPDATE value SET sealed = 'other'",
        "UPDATE writer SET fence = 0",
        "ALTER TABLE leaf DISABLE TRIGGER ALL",
        "DROP TABLE leaf",
        "CREATE TABLE mine ()",
        "SET ROLE audit_owner",
        "SET session_replication_role = replica",
        "COPY leaf TO PROGRAM 'true'",
    ],
)
async def test_the_services_own_role_can_change_nothing(service: Service, statement: str) -> None:
    async with service.client() as client:
        log = await service.tenant_log(client)
        await client.append(log, [draft(change=[Change(path="/x", new=1)])])
    await service.signed(log, 2)
    connection = await asyncpg.connect(**service_arguments(service.settings.database))
    try:
        with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.RaiseError)):
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_a_flipped_bit_in_the_store_is_never_signed_over(service: Service, settings) -> None:
    async with service.client() as client, service.http(None) as http:
        log = await service.tenant_log(client)
        await service.signed(log, 1)
        integrator = service.state.writer.desk.integrator
        original = service.state.reading.leaves

        async def flipped(number: int, begin: int, end: int):
            found = await original(number, begin, end)
            first = found[0]
            return [type(first)(first.index, first.hash, first.data[:-1] + b"\x00"), *found[1:]]

        integrator._reading.leaves = flipped
        await client.append(log, [draft()])
        for _ in range(1500):
            if integrator.damaged:
                break
            await asyncio.sleep(0.02)
        integrator._reading.leaves = original
        assert "not what was written" in next(iter(integrator.damaged.values()))
        assert (await client.log(log))["size"] == 1
        assert (await http.get("/readyz")).status_code == 503
