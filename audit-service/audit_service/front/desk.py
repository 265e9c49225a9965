"""A front's side of the channel: what an append needs is asked for in the writer's process."""

import asyncio
from typing import Any

from audit_service.front.channel import GOOD, Channel
from audit_service.http.errors import ApiError
from audit_service.http.identity import TokenChecker
from audit_service.log.batch import Outcome, Placed, Request
from audit_service.log.sealing import ValueSealer
from audit_service.settings import Identity
from audit_service.store.records import LogRecord

Answer = tuple[list[tuple[int, bytes]], int]
"""The index and leaf hash of each draft of a request, and its source's next number."""


def outcome(request: Request, answer: Answer) -> Outcome:
    """Return an answer with the ids that it is about."""
    placed, following = answer
    pairs = zip(request.items, placed, strict=True)
    return Outcome(tuple(Placed(item.id, *place) for item, place in pairs), following)


class FrontDesk:
    """Takes appends in. A log that was found is remembered: its identity and its key never change."""

    def __init__(self, identity: Identity) -> None:
        self.identity, self.tokens = identity, TokenChecker(identity)
        self.large = asyncio.Lock()
        self._logs: dict[str, LogRecord] = {}
        self._sealers: dict[int, ValueSealer] = {}
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._number = 0
        self._channel: Channel | None = None

    def open(self, channel: Channel) -> None:
        """Ask over this channel."""
        self._channel = channel

    def heard(self, message: tuple[int, str, Any]) -> None:
        """Take an answer."""
        number, how, said = message
        asked = self._asked.pop(number)
        if asked.done():  # whoever asked went away
            return
        if how == GOOD:
            asked.set_result(said)
        else:
            status, text, facts = said
            asked.set_exception(ApiError(status, text, **facts))

    async def find_log(self, name: str) -> LogRecord:
        """Return the log with this name. Raises ApiError 404, 503."""
        found = self._logs.get(name)
        if found is None:
            fields, key = await self._ask("log", name)
            found = self._logs[name] = LogRecord(*fields)
            self._sealers[found.number] = ValueSealer(key)
        return found

    def found_before(self, name: str) -> LogRecord | None:
        """Return the log with this name, None for one that was not asked for yet."""
        return self._logs.get(name)

    def sealer(self, log: LogRecord) -> ValueSealer:
        """Return what seals the values of a log that was found."""
        return self._sealers[log.number]

    async def submit(self, request: Request, body: bytes) -> Outcome:
        """Wait until a request is durable. Raises ApiError."""
        return outcome(request, await self.append(request, body))

    def append(self, request: Request, body: bytes) -> "asyncio.Future[Answer]":
        """Have a request made durable."""
        items = [(item.id, *item.unplaced, item.seq, item.values) for item in request.items]
        return self._ask("append", request.log.number, request.kind, request.source, body, items)

    def refused(self, status: int) -> None:
        """Have a refusal counted that the writer's process has not seen."""
        if self._channel is not None:
            self._channel.send((0, "refused", status))

    def _ask(self, *question: Any) -> asyncio.Future[Any]:
        if self._channel is None:
            raise ApiError(503, "the audit service is starting")
        self._number += 1
        asked = self._asked[self._number] = asyncio.get_running_loop().create_future()
        self._channel.send((self._number, *question))
        return asked
