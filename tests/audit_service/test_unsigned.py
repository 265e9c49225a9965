"""Rounds wait for signing when much is unsigned and has been for long; not for a moment's heap, and never for ever."""

import asyncio
import time

import pytest

from audit_service.log.unsigned import Unsigned
from audit_service.settings import Pace


class Watch:
    """A clock that is set by hand."""

    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def unsigned(watch: Watch) -> Unsigned:
    """Ten entries may wait as long as they like, more of them 50 ms; fifteen are many."""
    return Unsigned(Pace(unsigned_drafts=10, unsigned_ms=50, checkpoint_drafts=15), watch)


@pytest.fixture
def patient(unsigned: Unsigned, monkeypatch: pytest.MonkeyPatch) -> Unsigned:
    """The same, and what stands still is waited for longer than a test takes."""
    monkeypatch.setattr("audit_service.log.unsigned._PATIENCE", 60)
    return unsigned


def test_few_entries_may_be_as_old_as_they_like(unsigned: Unsigned, watch: Watch) -> None:
    unsigned.grew(1, 0, 10)
    watch.seconds += 3600
    assert not unsigned.behind()


def test_many_entries_are_behind_once_the_first_of_them_has_waited_too_long(unsigned: Unsigned, watch: Watch) -> None:
    unsigned.grew(1, 0, 1)
    watch.seconds += 0.04
    unsigned.grew(1, 1, 1000)
    assert not unsigned.behind()
    watch.seconds += 0.02
    assert unsigned.behind()


def test_what_a_checkpoint_covers_waits_no_longer(unsigned: Unsigned, watch: Watch) -> None:
    unsigned.grew(1, 0, 20)
    watch.seconds += 0.04
    unsigned.grew(1, 20, 40)
    watch.seconds += 0.04
    unsigned.signed(1, 20)
    assert unsigned.count == 20
    assert not unsigned.behind()  # the second round has waited for 40 ms
    watch.seconds += 0.02
    assert unsigned.behind()
    unsigned.signed(1, 40)
    assert unsigned.count == 0
    assert not unsigned.behind()


def test_a_round_that_a_checkpoint_covers_in_part_still_waits(unsigned: Unsigned, watch: Watch) -> None:
    unsigned.grew(1, 0, 20)
    watch.seconds += 1
    unsigned.signed(1, 19)
    assert unsigned.count == 20
    assert unsigned.behind()


def test_a_log_that_is_signed_does_not_hide_another_that_waits(unsigned: Unsigned, watch: Watch) -> None:
    unsigned.grew(1, 0, 8)
    unsigned.grew(2, 5, 13)
    watch.seconds += 1
    unsigned.grew(3, 0, 8)
    unsigned.signed(1, 8)
    assert unsigned.count == 16
    assert unsigned.behind()
    unsigned.signed(2, 13)
    assert not unsigned.behind()


def test_a_checkpoint_of_what_an_earlier_process_wrote_counts_for_nothing(unsigned: Unsigned) -> None:
    unsigned.signed(1, 400)
    unsigned.grew(1, 900, 910)
    unsigned.signed(1, 800)
    assert unsigned.count == 10


async def test_it_goes_on_as_soon_as_enough_is_signed(patient: Unsigned, watch: Watch) -> None:
    unsigned = patient
    unsigned.grew(1, 0, 20)
    unsigned.grew(1, 20, 40)
    watch.seconds += 1
    waiting = asyncio.create_task(unsigned.catch_up())
    await asyncio.sleep(0.01)
    unsigned.signed(1, 20)
    await asyncio.sleep(0.01)
    assert not waiting.done()
    unsigned.signed(1, 40)
    async with asyncio.timeout(5):
        await waiting


async def test_signing_that_stands_still_is_waited_for_once(unsigned: Unsigned, watch: Watch) -> None:
    unsigned.grew(1, 0, 20)
    watch.seconds += 1
    async with asyncio.timeout(5):
        await unsigned.catch_up()
    assert not unsigned.behind()
    unsigned.grew(1, 20, 40)
    watch.seconds += 1
    assert unsigned.behind()  # what came since is looked at anew
    unsigned.signed(1, 40)
    assert unsigned.count == 0


async def test_a_log_that_cannot_be_signed_holds_up_no_other(patient: Unsigned, watch: Watch) -> None:
    unsigned = patient
    unsigned.grew(1, 0, 20)
    unsigned.grew(2, 0, 5)
    watch.seconds += 1
    waiting = asyncio.create_task(unsigned.catch_up())
    await asyncio.sleep(0.01)
    unsigned.leave(1)
    async with asyncio.timeout(5):
        await waiting
    assert unsigned.count == 5
    unsigned.signed(1, 20)
    assert unsigned.count == 5
    unsigned.grew(1, 20, 22)
    assert unsigned.count == 7


async def test_many_entries_end_the_pause_between_checkpoints(unsigned: Unsigned) -> None:
    unsigned.grew(1, 0, 14)
    waiting = asyncio.create_task(unsigned.until_many(60))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    unsigned.grew(1, 14, 15)
    async with asyncio.timeout(5):
        await waiting
        await unsigned.until_many(60)  # they wait still
    unsigned.signed(1, 15)
    unsigned.grew(1, 15, 16)
    begun = time.monotonic()
    await unsigned.until_many(0.05)
    assert time.monotonic() - begun >= 0.04
    await unsigned.until_many(-1)
