"""The work queue: each tenant once, never twice at work, edits first."""

import asyncio

from tenant_operator.reconcile.queue import Priority, WorkQueue


async def test_a_key_waits_once_however_often_it_is_asked_for():
    queue = WorkQueue()
    for _ in range(5):
        queue.add("a", Priority.DRIFT)
    assert await queue.get() == "a"
    queue.done("a")
    assert len(queue) == 0


async def test_edits_go_before_drift_and_drift_before_resync():
    queue = WorkQueue()
    queue.add("resync", Priority.RESYNC)
    queue.add("drift", Priority.DRIFT)
    queue.add("edit", Priority.EDIT)
    await asyncio.sleep(0.01)
    assert [await queue.get() for _ in range(3)] == ["edit", "drift", "resync"]


async def test_what_is_at_work_is_not_given_out_again_before_it_is_done():
    queue = WorkQueue()
    queue.add("a", Priority.EDIT)
    assert await queue.get() == "a"
    queue.add("a", Priority.EDIT)
    queue.add("b", Priority.RESYNC)
    assert await queue.get() == "b"
    queue.done("a")
    assert await queue.get() == "a"


async def test_an_earlier_wish_overtakes_a_delayed_one():
    queue = WorkQueue()
    queue.add("a", Priority.RESYNC, delay=60)
    queue.add("a", Priority.DRIFT)
    async with asyncio.timeout(1):
        assert await queue.get() == "a"
    queue.done("a")
    assert len(queue) == 0


async def test_a_delay_is_kept():
    queue = WorkQueue()
    queue.add("a", Priority.EDIT, delay=0.05)
    loop = asyncio.get_running_loop()
    started = loop.time()
    assert await queue.get() == "a"
    assert loop.time() - started >= 0.045
