"""Changing the keys: the new ones are announced in every log, under the signature of those before, and then take over.

While both are configured both sign, so that who knows only one of them can still read. Everything here is done again where a
process ended half way: an announcement that was not followed by its hand-over is made once more.
"""

import asyncio
import logging

from audit_contract.actions import Action
from audit_contract.keys import parse_vkey
from audit_service.keyring import KeySet
from audit_service.log.books import Books
from audit_service.log.own import OwnEntries, keys_changed
from audit_service.store.errors import FencedError, StoreError
from audit_service.store.reading import ReadingStore
from audit_service.store.records import Generation, LogRecord
from audit_service.store.writing import WritingStore
from audit_service.transit import TransitError

_log = logging.getLogger(__name__)


class Rotation:
    """Brings every log to the keys that are configured. `run` is one task of the writer."""

    def __init__(
        self, reading: ReadingStore, writing: WritingStore, books: Books, own: OwnEntries, signed: asyncio.Condition
    ) -> None:
        self._reading, self._writing, self._books, self._own, self._signed = reading, writing, books, own, signed

    async def run(self, every: float) -> None:
        """Look at every log, for ever: new ones are made with the keys before while others are still rotated."""
        while True:
            try:
                for log in await self._reading.logs():
                    await self._look(log)
            except FencedError:
                raise
            except StoreError as error:
                _log.warning("the keys are not handed over yet: %s", error)
            await asyncio.sleep(every)

    async def _look(self, log: LogRecord) -> None:
        """Bring one log; what keeps it back keeps no other."""
        try:
            await self._bring(log)
        except FencedError:
            raise
        except (StoreError, TransitError) as error:
            _log.warning("%s: the keys are not handed over yet: %s", log.name, error)

    async def _bring(self, log: LogRecord) -> None:
        sets = self._books.keyring.sets
        if not await self._books.generations(log):
            vkeys = [each.vkey for each in await sets[0].verifiers(log.origin)]
            await self._writing.add_generation(log.number, Generation(0, tuple(vkeys)))
            self._books.forget_keys(log)
        if len(sets) > 1:
            await self._hand_over(log, sets[-1])
        await self._activate(log)

    async def _hand_over(self, log: LogRecord, following: KeySet) -> None:
        verifiers = await following.verifiers(log.origin)
        vkeys = tuple(each.vkey for each in verifiers)
        last = (await self._books.generations(log))[-1]
        if last.vkeys == vkeys:
            return
        await self._books.signers(log)  # raises unless the keys in force are those at hand
        outcome = await self._own.append(log, keys_changed(Action.KEY_ANNOUNCE, log, last.number + 1, verifiers))
        announced = outcome.placed[0].index
        async with self._signed:
            while (signed := await self._reading.checkpoint(log.number)).size <= announced:
                await self._signed.wait()
        made = Generation(last.number + 1, vkeys, announced, signed.size, signed.note)
        await self._writing.add_generation(log.number, made)
        self._books.forget_keys(log)
        _log.info("%s: the keys of generation %d have taken over", log.name, made.number)

    async def _activate(self, log: LogRecord) -> None:
        """Let a quiet log grow by one entry when its last checkpoint is not signed by the keys in force.

        Those before signed the hand-over. Who knows only the new ones could check neither the log nor its copy until it grew.
        """
        last = (await self._books.generations(log))[-1]
        if last.number == 0:
            return
        size, signed = await self._reading.standing(log.number)
        if size == signed.size and not last.has_signed(signed.note):
            verifiers = [parse_vkey(each) for each in last.vkeys]
            await self._own.append(log, keys_changed(Action.KEY_ACTIVATE, log, last.number, verifiers))
