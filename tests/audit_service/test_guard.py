"""A database that was set back, or exchanged, is never signed again; one that was not goes on."""

# ruff: noqa: S608  # the statements are this test's own text

import asyncio
from pathlib import Path

import asyncpg

from audit_service.settings import Settings
from audit_service.store.connect import arguments
from tests.audit_service.postgres import Postgres
from tests.audit_service.service import TENANT_LOG, Service, draft, running, until_writer

NUMBER = f"(SELECT number FROM log WHERE name = '{TENANT_LOG}')"


async def _fill(service: Service, count: int) -> None:
    async with service.client() as client:
        await service.tenant_log(client)
        await client.append(TENANT_LOG, [draft() for _ in range(count)])
        size = (await client.log(TENANT_LOG))["durable"]
        await service.signed(TENANT_LOG, size)


async def _as_superuser(settings: Settings, *statements: str) -> None:
    connection = await asyncpg.connect(**arguments(settings.database, settings.database.name, settings.database.admin))
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def _refusal(service: Service) -> str:
    for _ in range(1500):
        if service.state.writer.guard.refusal:
            break
        await asyncio.sleep(0.02)
    assert not service.state.writer.is_writer
    async with service.http(None) as http:
        answer = await http.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["guard"] == service.state.writer.guard.refusal
    return service.state.writer.guard.refusal


async def test_it_refuses_to_write_behind_what_it_signed_and_goes_on_when_the_database_is_whole(
    settings: Settings, postgres: Postgres, tmp_path: Path
) -> None:
    guarded = settings.model_copy(update={"guard_folder": tmp_path})
    async with running(guarded, postgres) as service:
        await until_writer(service)
        await _fill(service, 300)
    set_back = [
        "CREATE TABLE kept AS SELECT * FROM leaf WHERE log = " + NUMBER + " AND index >= 200",
        "DELETE FROM leaf WHERE log = " + NUMBER + " AND index >= 200",
        "ALTER TABLE head DISABLE TRIGGER ALL",
        "ALTER TABLE checkpoint DISABLE TRIGGER ALL",
        "CREATE TABLE head_kept AS SELECT * FROM checkpoint",
        "UPDATE head SET size = 200 WHERE log = " + NUMBER,
        "UPDATE checkpoint SET size = 200 WHERE log = " + NUMBER,
    ]
    whole = [
        "INSERT INTO leaf SELECT * FROM kept",
        "UPDATE head SET size = 301 WHERE log = " + NUMBER,
        "UPDATE checkpoint SET size = 301 WHERE log = " + NUMBER,
        "ALTER TABLE head ENABLE TRIGGER ALL",
        "ALTER TABLE checkpoint ENABLE TRIGGER ALL",
        "DROP TABLE kept, head_kept",
    ]
    await _as_superuser(settings, *set_back)
    async with running(guarded, postgres) as service:
        try:
            refusal = await _refusal(service)
        finally:
            await _as_superuser(settings, *whole)
        assert "301 entries were signed and the database has 200" in refusal
        assert "Restore" in refusal
    async with running(guarded, postgres) as service:
        await until_writer(service)
        await _fill(service, 3)


async def test_it_refuses_a_log_of_other_entries_and_a_log_that_is_gone(
    settings: Settings, postgres: Postgres, tmp_path: Path
) -> None:
    guarded = settings.model_copy(update={"guard_folder": tmp_path})
    async with running(guarded, postgres) as service:
        await until_writer(service)
        await _fill(service, 5)
    tables = "log, head, leaf, source, value, tile, checkpoint, span, posting"
    await _as_superuser(settings, f"TRUNCATE {tables} RESTART IDENTITY CASCADE")
    async with running(guarded, postgres) as service:
        assert "the database has 0" in await _refusal(service)
    async with running(settings, postgres) as service:  # unguarded, another history of the same names grows
        await until_writer(service)
        await _fill(service, 50)
        await service.signed("platform", 2)
        for _ in range(3):
            async with service.client() as client:
                await client.append("platform", [draft()])
    async with running(guarded, postgres) as service:
        assert "other entries" in await _refusal(service)
