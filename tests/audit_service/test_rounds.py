"""What goes into a round, and that signing which lags behind slows a round down and never stops it."""

import asyncio
import contextlib

from audit_contract.client import AuditUnavailable
from audit_contract.verify import verify_bundle
from audit_service.log.batch import Request
from audit_service.log.clock import now
from audit_service.log.sequence import Sequencer
from audit_service.settings import Pace
from audit_service.store.errors import StoreUnavailableError
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
    slow = settings.model_copy(update={"pace": Pace(checkpoint_ms=5, unsigned_ms=1, unsigned_drafts=1)})
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


class Held:
    """A commit that waits until it is let go, and then fails if it is told to."""

    def __init__(self, service: Service) -> None:
        self._writing = service.state.writer.desk.writing
        self._commit = self._writing.commit
        self.begun, self.go = asyncio.Event(), asyncio.Event()
        self.fails: Exception | None = None
        self._writing.commit = self

    async def __call__(self, *arguments) -> None:
        self._writing.commit = self._commit
        self.begun.set()
        await self.go.wait()
        if self.fails:
            raise self.fails
        await self._commit(*arguments)


async def while_committing(service: Service, fails: Exception | None) -> tuple[BaseException | None, list]:
    """Send one round, and while it is being committed small requests, a large one and one that was sent before."""
    await until_writer(service)
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(service.client(pod=f"p{number}")) for number in range(4)]
        log = await service.tenant_log(clients[0])
        again = draft()
        before = (await clients[0].append(log, [again]))[0]
        await clients[1].append(log, [draft()])
        held = Held(service)
        held.fails = fails
        first = asyncio.create_task(clients[1].append(log, [draft()]))
        await held.begun.wait()
        others = [
            asyncio.create_task(clients[0].append(log, [again])),
            asyncio.create_task(clients[2].append(log, [draft(), draft()])),
            asyncio.create_task(clients[3].append(log, [draft() for _ in range(200)])),
        ]
        await asyncio.sleep(0.2)
        assert not any(each.done() for each in others)
        held.go.set()
        said = await asyncio.gather(first, return_exceptions=True)
        found = await asyncio.gather(*others)
        assert found[0] == [before]
        later = await clients[1].append(log, [draft()])
        await service.signed(log, later[0].index + 1)
        assert verify_bundle(await clients[0].export(log), (await clients[0].log(log))["keys"]).problems == []
        return (said[0] if isinstance(said[0], BaseException) else None), sorted(
            each.index for answer in [*found[1:], later, *([] if fails else said)] for each in answer
        )


async def test_what_comes_while_a_round_is_committed_is_in_the_next(service: Service) -> None:
    error, indices = await while_committing(service, None)
    assert error is None
    assert indices == list(range(3, 3 + 1 + 2 + 200 + 1))


async def test_what_was_placed_behind_a_round_that_failed_is_placed_anew(service: Service) -> None:
    error, indices = await while_committing(service, StoreUnavailableError("gone"))
    assert isinstance(error, AuditUnavailable)
    assert indices == list(range(3, 3 + 2 + 200 + 1))
