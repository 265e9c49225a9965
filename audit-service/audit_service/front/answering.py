"""The writer's side of the channels: fronts ask for logs, and for entries to be made durable."""

import asyncio
import logging
import socket
from dataclasses import astuple
from typing import Any

from audit_contract.form import Unplaced
from audit_service.front.channel import GOOD, NOT, Channel
from audit_service.http.errors import EXPECTED, count, translate
from audit_service.http.state import State
from audit_service.http.taking import parse
from audit_service.log.batch import Item, Outcome, Request

_log = logging.getLogger(__name__)


class Answering:
    """Answers one front."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._channel: Channel | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, end: socket.socket) -> None:
        """Answer what comes from this end, until it is gone."""
        self._channel = await Channel.open(end, self._heard, self._ended)

    def _ended(self) -> None:
        self._channel = None

    def close(self) -> None:
        """Answer no more."""
        if self._channel is not None:
            self._channel.close()

    def _heard(self, message: tuple[Any, ...]) -> None:
        number, what, *rest = message
        match what:
            case "append":
                self._append(number, *rest)
            case "refused":
                count(rest[0])
            case _:
                task = asyncio.get_running_loop().create_task(self._find(number, *rest))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def _append(self, number: int, log: int, kind: str, source: str, body: bytes, rows: list[tuple[Any, ...]]) -> None:
        items = tuple(Item(entry, Unplaced(*form), seq, values) for entry, *form, seq, values in rows)
        try:
            record = self._state.books.read_before(log)
            request = Request(record, kind, source, items, lambda: parse(body)[0], answer=_Asked(self, number))
            self._state.writer.desk.sequencer.enqueue(request)
        except Exception as error:
            self.refuse(number, error)

    def accept(self, number: int, outcome: Outcome) -> None:
        """Answer that a batch is durable."""
        self._say(number, GOOD, ([(each.index, each.hash) for each in outcome.placed], outcome.next))

    async def _find(self, number: int, name: str) -> None:
        try:
            log = await self._state.find_log(name)
            self._say(number, GOOD, (astuple(log), self._state.sealer(log).key))
        except Exception as error:
            self.refuse(number, error)

    def refuse(self, number: int, error: BaseException) -> None:
        """Answer that nothing of a question came about."""
        if not isinstance(error, EXPECTED):
            _log.error("an append failed for a reason nobody thought of", exc_info=error)
        said = translate(error)
        self._say(number, NOT, (said.status, str(said), said.facts))

    def _say(self, number: int, how: str, said: tuple[Any, ...]) -> None:
        if self._channel is not None:
            self._channel.send((number, how, said))


class _Asked:
    """A batch that a front asked for: it is answered the moment this is known."""

    __slots__ = ("_answering", "_done", "_number")

    def __init__(self, answering: Answering, number: int) -> None:
        self._answering, self._number, self._done = answering, number, False

    def done(self) -> bool:
        return self._done

    def set_result(self, outcome: Outcome) -> None:
        self._done = True
        self._answering.accept(self._number, outcome)

    def set_exception(self, error: Exception) -> None:
        self._done = True
        self._answering.refuse(self._number, error)
