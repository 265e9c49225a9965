"""A front's side of the channel: what an append needs is asked for in the writer's process."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from audit_service.front.channel import GOOD, Channel
from audit_service.http.errors import ApiError
from audit_service.http.identity import Caller, TokenChecker
from audit_service.log.batch import Item, Outcome, Placed, Request
from audit_service.log.sealing import ValueSealer
from audit_service.settings import Identity
from audit_service.store.records import LogRecord

Tell = Callable[[str, Any], None]
"""What is called with how an answer is, and what it says."""


class Head(NamedTuple):
    """What is known of the head of a request: who sends, and to which log."""

    caller: Caller
    log: LogRecord


def placed(items: Sequence[Item], places: Sequence[tuple[int, bytes]]) -> Iterator[Placed]:
    """Yield where each entry is, from the index and leaf hash that the answer has for it."""
    for item, place in zip(items, places, strict=True):
        yield Placed(item.id, *place)


def refusal(said: tuple[int, str, dict[str, Any]]) -> ApiError:
    """Return what an answer refuses with."""
    status, text, facts = said
    return ApiError(status, text, **facts)


def _settle(asked: "asyncio.Future[Any]", how: str, said: Any) -> None:
    if asked.done():  # whoever asked went away
        return
    if how == GOOD:
        asked.set_result(said)
    else:
        asked.set_exception(refusal(said))


class FrontDesk:
    """Takes appends in. A log that was found is remembered: its identity and its key never change."""

    def __init__(self, identity: Identity) -> None:
        self.identity, self.tokens = identity, TokenChecker(identity)
        self.large = asyncio.Lock()
        self.heads: dict[bytes, Head] = {}  # what the protocol remembers, over all connections
        self._logs: dict[str, LogRecord] = {}
        self._sealers: dict[int, ValueSealer] = {}
        self._asked: dict[int, Tell] = {}
        self._number = 0
        self._channel: Channel | None = None

    def open(self, channel: Channel) -> None:
        """Ask over this channel."""
        self._channel = channel

    def heard(self, message: tuple[int, str, Any]) -> None:
        """Take an answer."""
        number, how, said = message
        self._asked.pop(number)(how, said)

    async def find_log(self, name: str) -> LogRecord:
        """Return the log with this name. Raises ApiError 404, 503."""
        found = self._logs.get(name)
        if found is None:
            answer = asyncio.get_running_loop().create_future()
            self._ask(partial(_settle, answer), "log", name)
            fields, key = await answer
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
        answer = asyncio.get_running_loop().create_future()
        self.append(request.log, request.kind, request.source, body, request.items, partial(_settle, answer))
        places, following = await answer
        return Outcome(tuple(placed(request.items, places)), following)

    def append(self, log: LogRecord, kind: str, source: str, body: bytes, items: Sequence[Item], tell: Tell) -> None:
        """Have a batch made durable. Raises ApiError 503 while there is nobody to ask."""
        rows = [(item.id, *item.unplaced, item.seq, item.values) for item in items]
        self._ask(tell, "append", log.number, kind, source, body, rows)

    def refused(self, status: int) -> None:
        """Have a refusal counted that the writer's process has not seen."""
        if self._channel is not None:
            self._channel.send((0, "refused", status))

    def _ask(self, tell: Tell, *question: Any) -> None:
        if self._channel is None:
            raise ApiError(503, "the audit service is starting")
        self._number += 1
        self._asked[self._number] = tell
        self._channel.send((self._number, *question))
