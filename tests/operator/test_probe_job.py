"""The isolation probe waits for its positive control, and tries what must be closed only then."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tenant_operator.jobs import probe as job


def target(name: str, port: int, *, opened: bool) -> dict[str, object]:
    return {"name": name, "host": "127.0.0.1", "port": port, "open": opened}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(job, "PAUSE_SECONDS", 0.02)


@pytest.fixture
async def listener() -> AsyncIterator[asyncio.Server]:
    """A server with its port taken, which does not listen yet."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, start_serving=False)
    yield server
    server.close()


def port_of(server: asyncio.Server) -> int:
    port: int = server.sockets[0].getsockname()[1]
    return port


async def test_it_waits_for_a_database_that_is_only_just_starting(listener: asyncio.Server) -> None:
    probing = asyncio.create_task(job.run([target("tenant database", port_of(listener), opened=True)]))
    await asyncio.sleep(0.2)
    assert not probing.done()
    await listener.start_serving()
    (result,) = (await probing)["results"]
    assert result == {"name": "tenant database", "open": True, "connected": True, "detail": "connected"}


async def test_what_must_be_closed_is_tried_only_once_the_positive_control_has_answered(
    listener: asyncio.Server,
) -> None:
    """A reachable address that was tried too early, before the network was there, would count as closed."""
    late = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, start_serving=False)
    targets = [
        target("another tenant", port_of(late), opened=False),
        target("tenant database", port_of(listener), opened=True),
    ]
    probing = asyncio.create_task(job.run(targets))
    await asyncio.sleep(0.2)
    async with late:
        await late.start_serving()
        await listener.start_serving()
        found = {result["name"]: result["connected"] for result in (await probing)["results"]}
    assert found == {"tenant database": True, "another tenant": True}


async def test_when_patience_is_spent_the_rest_is_tried_all_the_same(
    listener: asyncio.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "PATIENCE_SECONDS", 0.1)
    async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0) as reached:
        targets = [
            target("tenant database", port_of(listener), opened=True),
            target("another tenant", port_of(reached), opened=False),
        ]
        results = (await job.run(targets))["results"]
    assert [(result["name"], result["connected"]) for result in results] == [
        ("tenant database", False),
        ("another tenant", True),
    ]
    assert "Connect call failed" in results[0]["detail"]
