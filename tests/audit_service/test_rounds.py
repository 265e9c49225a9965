"""What goes into a round, and that signing which lags behind slows a round down and never stops it."""

import asyncio

from audit_service.log.batch import Request
from audit_service.log.clock import now
from audit_service.log.sequence import Sequencer
from audit_service.settings import Pace
from audit_service.store.records import LogRecord
from tests.audit_service.service import Service, draft, running, until_writer

LOG = LogRecord(1, "t", "o/t", "tenant", "t", "tenant-t", "r", 1, b"")


def request(source: str, drafts: int, log: LogRecord = LOG) -> Request:
    return Request(log, "operator", source, tuple(range(drafts)), tuple)


async def rounds(*waiting: Request) -> list[list[str]]:
    """The sources of each round in turn, when all of these wait. A round holds 256 drafts."""
    sequencer = Sequencer(None, None, None, Pace(round_drafts=256), now)
    sending = [asyncio.create_task(sequencer.submit(each)) for each in waiting]
    await asyncio.sleep(0)
    found = []
    while sequencer._waiting:
        found.append([each.source for each in sequencer._take(256)])
    assert sequencer._drafts == 0
    for each in sending:
        each.cancel()
    return found


async def test_requests_that_fit_into_one_round_are_taken_in_the_order_they_came() -> None:
    assert await rounds(request("a", 200), request("b", 1), request("c", 55)) == [["a", "b", "c"]]


async def test_a_small_request_does_not_wait_behind_those_that_send_hundreds() -> None:
    found = await rounds(request("a", 256), request("b", 256), request("c", 1), request("d", 16), request("e", 17))
    assert found == [["c", "d"], ["a"], ["b"], ["e"]]


async def test_a_source_never_overtakes_itself() -> None:
    found = await rounds(request("a", 256), request("a", 1), request("b", 1))
    assert [source for each in found for source in each] == ["b", "a", "a"]


async def test_the_same_source_in_another_log_is_another_source() -> None:
    other = LogRecord(2, "u", "o/u", "tenant", "t", "tenant-t", "r", 1, b"")
    found = await rounds(request("a", 256), request("a", 1, other))
    assert [source for each in found for source in each] == ["a", "a"]
    assert len(found) == 2


async def test_small_requests_take_at_most_half_of_a_round_while_large_ones_wait() -> None:
    found = await rounds(request("large", 100), *(request(f"s{number}", 16) for number in range(20)))
    assert "large" in found[0]
    assert sum(map(len, found)) == 21


async def test_signing_that_stands_still_slows_a_round_and_stops_no_entry(settings, postgres) -> None:
    slow = settings.model_copy(update={"pace": Pace(checkpoint_ms=5, unsigned_drafts=1)})
    async with running(slow, postgres) as service:
        await until_writer(service)
        await still(service)


async def still(service: Service) -> None:
    async with service.client() as client:
        log = await service.tenant_log(client)
        await service.signed(log, 1)
        original, going = service.state.reading.leaves, asyncio.Event()

        async def waiting(*arguments: int):
            await going.wait()
            return await original(*arguments)

        service.state.writer.desk.integrator._reading.leaves = waiting
        try:
            for _ in range(3):
                await client.append(log, [draft(), draft(), draft()])
            facts = await client.log(log)
            assert (facts["durable"], facts["size"]) == (10, 1)
        finally:
            going.set()
            del service.state.writer.desk.integrator._reading.leaves
        await service.signed(log, 10)
