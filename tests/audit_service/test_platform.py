"""Every tenant log's checkpoint is an entry of the platform's log within a minute: for many logs, and across restarts."""

import asyncio
from datetime import datetime

from audit_service.settings import Pace, Settings
from tests.audit_service.postgres import Postgres
from tests.audit_service.service import Service, draft, running, signed_rows, until_writer

LOGS = [f"tenant-00000000-0000-4000-8000-{number:012d}" for number in range(60)]


async def _write(service: Service, logs: list[str], pod: str) -> None:
    async with service.client(pod=pod) as client:
        for number, log in enumerate(logs):
            await service.tenant_log(client, log, f"t{LOGS.index(log)}")
            await client.append(log, [draft() for _ in range(1 + number % 3)])


async def _all_recorded(service: Service, logs: list[str]) -> list[dict]:
    """Wait until the platform's log says of each log what the log says of itself; return the platform's entries."""
    rows: list[dict] = []
    async with service.client(pod="reader") as client:
        for log in logs:
            await service.signed(log, (await client.log(log))["durable"])
        facts = {log: await client.log(log) for log in logs}
        for _ in range(600):
            rows = await signed_rows(client, "platform")
            objects = [row["entry"]["object"] for row in rows if row["entry"]["action"] == "audit:checkpoint:record"]
            said = {(each["name"], each["version"], each["sha256"]) for each in objects}
            if {(log, str(found["size"]), found["root"]) for log, found in facts.items()} <= said:
                return rows
            await asyncio.sleep(0.05)
    raise AssertionError("not every checkpoint entered the platform's log")


def _records(rows: list[dict], log: str) -> list[dict]:
    entries = [row["entry"] for row in rows if row["entry"]["action"] == "audit:checkpoint:record"]
    return [entry for entry in entries if entry["object"]["name"] == log]


async def test_every_logs_checkpoint_is_recorded_also_after_restarts(settings: Settings, postgres: Postgres) -> None:
    async with running(settings, postgres) as service:
        await until_writer(service)
        await _write(service, LOGS, "pod-1")
        await _all_recorded(service, LOGS)
    slow = settings.model_copy(update={"pace": Pace(checkpoint_ms=5, record_seconds=60)})
    async with running(slow, postgres) as service:  # ends before its round of recording comes
        await until_writer(service)
        await asyncio.sleep(0.3)
        await _write(service, LOGS[:20], "pod-2")
        async with service.client() as client:
            for log in LOGS[:20]:
                await service.signed(log, (await client.log(log))["durable"])
    async with running(settings, postgres) as service:
        await until_writer(service)
        rows = await _all_recorded(service, LOGS)
        async with service.client() as client:
            for log in LOGS:
                last = (await client.entries(log, **{"from": (await client.log(log))["size"] - 1}))[0]["entry"]
                recorded = datetime.fromisoformat(_records(rows, log)[-1]["t"]["recv"])
                assert 0 <= (recorded - datetime.fromisoformat(last["t"]["recv"])).total_seconds() < 60


async def test_a_log_that_did_not_grow_is_not_recorded_again(settings: Settings, postgres: Postgres) -> None:
    async with running(settings, postgres) as service:
        await until_writer(service)
        await _write(service, LOGS[:5], "pod-1")
        rows = await _all_recorded(service, LOGS[:5])
        await _write(service, LOGS[:1], "pod-2")
        later = await _all_recorded(service, LOGS[:1])
        for log in LOGS[1:5]:
            assert (
                len(_records(later, log)) <= len(_records(rows, log)) + 1
            )  # a checkpoint may fall between two entries
        assert len({entry["object"]["version"] for entry in _records(later, LOGS[0])}) == len(_records(later, LOGS[0]))


def test_nobody_can_configure_a_pace_that_breaks_the_promise() -> None:
    assert Pace().record_seconds <= 30
    assert Pace.model_fields["record_seconds"].metadata[-1].le <= 60
