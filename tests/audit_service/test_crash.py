"""kill -9 of the service and of its PostgreSQL while entries come in: nothing acknowledged is lost, nothing is there twice.

A few crashes always; `pytest -m audit_campaign` does 200 (or what CLOISTER_AUDIT_CRASHES says).
"""

import asyncio
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from audit_contract import bundle as bundles
from audit_contract.client import Receipt
from audit_contract.entry import Change
from audit_contract.leaf import read_leaf
from audit_contract.tiles import split_entries
from audit_contract.verify import verify_bundle
from tests.audit_service.service import TENANT_LOG, draft
from tests.audit_service.stage import Outside, retried
from tests.audit_service.stage import outside as staged


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Outside]:
    with staged(tmp_path) as found:
        yield found


async def _write(outside: Outside, pod: str, done: asyncio.Event, receipts: list[Receipt]) -> None:
    chance = random.Random(pod)  # noqa: S311  # repeatable, not secret
    async with outside.client(pod) as client:
        while not done.is_set():
            drafts = [draft(change=[Change(path="/x", new=pod)]) for _ in range(chance.choice((1, 1, 4, 16)))]
            receipts += await retried(client.append, TENANT_LOG, drafts)


async def _crash(outside: Outside, times: int, receipts: list[Receipt]) -> None:
    """Kill again and again: half of the times as soon as it reads again, half of the times once it writes again."""
    chance = random.Random(times)  # noqa: S311  # repeatable, not secret
    for number in range(times):
        await asyncio.sleep(chance.uniform(0.02, 0.4))
        if number % 3 == 2:
            await asyncio.to_thread(outside.postgres.stop, "KILL")
            await asyncio.to_thread(outside.postgres.start)
        else:
            outside.kill()
            outside.start()
        async with outside.client(f"watch-{number}") as client:
            await retried(client.log, TENANT_LOG)
            if number % 2:
                receipts += await retried(client.append, TENANT_LOG, [draft()])


async def campaign(outside: Outside, times: int) -> None:
    receipts: list[Receipt] = []
    async with outside.client("first") as client:
        await retried(
            client.ensure_log, TENANT_LOG, tenant="acme", namespace="tenant-acme", region="r", retention_days=1
        )
        done = asyncio.Event()
        writers = [asyncio.create_task(_write(outside, f"pod-{number}", done, receipts)) for number in range(4)]
        await _crash(outside, times, receipts)
        done.set()
        await asyncio.gather(*writers)
        last = (await retried(client.append, TENANT_LOG, [draft()]))[0].index
        for _ in range(600):
            facts = await retried(client.log, TENANT_LOG)
            if facts["size"] > last:
                break
            await asyncio.sleep(0.05)
        data = await retried(client.export, TENANT_LOG)
    report = verify_bundle(data, facts["keys"])
    assert report.problems == []
    bundle = bundles.read(data)
    entries = [entry for member in bundle.entry_members() for entry in split_entries(bundle.members[member])]
    ids = [read_leaf(entry).id for entry in entries]
    assert len(set(ids)) == len(ids)
    assert all(ids[receipt.index] == receipt.id for receipt in receipts)
    assert len({receipt.id for receipt in receipts}) == len(receipts) > 0
    (outside.config.parent / "campaign.json").write_text(json.dumps({"crashes": times, "acknowledged": len(receipts)}))
    print(f"{times} crashes, {len(receipts)} acknowledged entries, 0 lost, 0 doubled")


async def test_a_few_crashes_lose_and_double_nothing(outside: Outside) -> None:
    await campaign(outside, 3)


@pytest.mark.audit_campaign
@pytest.mark.timeout(3600)
async def test_two_hundred_crashes_lose_and_double_nothing(outside: Outside) -> None:
    await campaign(outside, int(os.environ.get("CLOISTER_AUDIT_CRASHES", "200")))
