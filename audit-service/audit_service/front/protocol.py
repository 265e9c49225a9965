"""A way past HTTP's parser and ASGI for the commonest request: an append whose head came before, but for its length.

A caller's appends have the same head, byte for byte, so what the parser once said of it is remembered by its hash. When such a
head comes again and everything is at hand, nothing is waited for until the entries are durable: no parsing, no task, no
messages to and fro, which are half of what a small append costs. Whatever is otherwise, also every refusal, goes the usual
way, with nothing done yet that would have to be undone.
"""

import re
import time
from collections.abc import Sequence
from functools import partial
from hashlib import sha256
from typing import Any, Final, NamedTuple, cast

import orjson
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from audit_service.front.channel import GOOD
from audit_service.front.desk import FrontDesk, Head, placed, refusal
from audit_service.http import access, taking
from audit_service.http.corked import CorkedProtocol
from audit_service.log.batch import Item

_END: Final = b"\r\n\r\n"
_LENGTH: Final = re.compile(rb"\r\ncontent-length: ([0-9]{1,5})\r\n", re.IGNORECASE)
_REMEMBERED: Final = 1024
# A request with one of these is not what its length and its path alone say; "connection: keep-alive" says nothing new.
_SPECIAL: Final = frozenset({b"connection", b"expect", b"transfer-encoding", b"upgrade"})
_USUAL: Final = (b"connection", b"keep-alive")


class Arrival(NamedTuple):
    """Where the first request ends in what came, and what its head is remembered by."""

    body: int
    end: int
    key: bytes


def arrival(data: bytes) -> Arrival | None:
    """Find the first request in what came, if its head is whole and says a length that is not large."""
    end = data.find(_END)
    length = _LENGTH.search(data, 0, end + 2) if end >= 0 else None
    if length is None or int(length[1]) > taking.LARGE:
        return None
    if data.count(b"\n", 0, end) != data.count(b"\r\n", 0, end):  # a parser may take a line's end for the head's
        return None
    key = sha256(data[: length.start(1)])
    key.update(data[length.end(1) : end])
    body = end + len(_END)
    return Arrival(body, body + int(length[1]), key.digest())


class AppendProtocol(CorkedProtocol):
    """uvicorn's protocol for a front. The application is a `Front`."""

    def __init__(self, config: uvicorn.Config, *arguments: Any, **more: Any) -> None:
        super().__init__(config, *arguments, **more)
        self._desk: FrontDesk = config.app.desk  # type: ignore[union-attr]  # its type says any application
        self._heads = self._desk.heads
        self._parsing = False  # whether the parser is within a request
        self._asked = b""  # the request whose entries are being made durable
        self._rest = b""  # what came and has not been looked at
        self._entitled: tuple[Head, str, str] | None = None
        self._refusing: BaseException | None = None
        self._stopping = False
        self._answered_at = 0.0

    # What comes

    def data_received(self, data: bytes) -> None:
        """Take in what came."""
        if self._rest:
            data = self._rest + data
        if self._asked:
            self._rest = data
            self.flow.pause_reading()
            return
        self._rest = b""
        before = cast("RequestResponseCycle | None", self.cycle)
        quiet = not self._parsing and (before is None or before.response_complete)
        found = arrival(data) if quiet else None
        if found is None or not self._appends(data, found):
            self._parse(data, found)

    def _parse(self, data: bytes, found: Arrival | None) -> None:
        """Let it go the usual way, and remember its head if it may go past that the next time."""
        before = self.cycle
        super().data_received(data)
        cycle = self.cycle
        alone = found is not None and len(data) <= found.end  # what is remembered is said of the request that came last
        if found is None or not alone or cycle is before or not cycle.keep_alive:
            return
        headers = [header for header in cycle.scope["headers"] if header != _USUAL]
        names = [name for name, _ in headers]
        log = taking.log_of(cast("Scope", cycle.scope))
        if log is None or cycle.scope["query_string"] or not _SPECIAL.isdisjoint(names) or len(names) != len({*names}):
            return
        caller = self._desk.tokens.known(dict(headers).get(b"authorization", b"").decode("latin-1"))
        record = self._desk.found_before(log)
        if caller is not None and record is not None:
            if len(self._heads) >= _REMEMBERED:
                self._heads.clear()
            self._heads[found.key] = Head(caller, record)

    def on_message_begin(self) -> None:
        """Take note that a request has begun."""
        self._parsing = True
        super().on_message_begin()

    def on_message_complete(self) -> None:
        """Take note that a request is whole."""
        self._parsing = False
        super().on_message_complete()

    # The way past

    def _appends(self, data: bytes, found: Arrival) -> bool:
        """Send an append on if everything is at hand and nothing is wrong with it; tell whether it was, or is waited for."""
        head = self._heads.get(found.key)
        if head is None or head.caller.expires <= time.time():
            return False
        if len(data) < found.end:
            self._rest = data
            return True
        body = data[found.body : found.end]
        try:
            drafts, kind, source = taking.parse(body)
            if self._entitled != (head, kind, source):
                access.check_append(head.caller, head.log, kind, source, self._desk.identity)
                self._entitled = head, kind, source
            items = taking.items_of(drafts, head.log, self._desk.sealer(head.log))
            self._desk.append(head.log, kind, source, body, items, partial(self._told, items))
        except Exception:  # whatever it is, the usual way comes upon it too, and says it
            return False
        self._asked, self._rest = data[: found.end], data[found.end :]
        if self._rest:
            self.flow.pause_reading()
        return True

    def _told(self, items: Sequence[Item], how: str, said: Any) -> None:
        """Answer, as uvicorn would, and look at what came meanwhile."""
        data, self._asked = self._asked, b""
        rest, self._rest = self._rest, b""
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if how == GOOD:
            self._answer(taking.receipts(placed(items, said[0]), said[1]))
        else:
            self._refusing = refusal(said)
            super().data_received(data)
        if self._stopping:
            super().shutdown()
        elif rest:
            self.data_received(rest)

    def _answer(self, facts: dict[str, Any]) -> None:
        body = orjson.dumps(facts)
        head = [b"HTTP/1.1 200 OK\r\n", *(b"%s: %s\r\n" % header for header in self.server_state.default_headers)]
        head.append(b"content-type: application/json\r\ncontent-length: %d\r\n" % len(body))
        head.append(b"connection: close\r\n\r\n" if self._stopping else b"\r\n")
        self.transport.write(b"".join((*head, body)))
        self.server_state.total_requests += 1
        self._answered_at = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._close_when_idle(self.timeout_keep_alive)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        error, self._refusing = self._refusing, None
        super()._start_asgi_task(cycle, app if error is None else partial(self._refuse, error))

    async def _refuse(self, error: BaseException, scope: Scope, receive: Receive, send: Send) -> None:
        async def refused(*_: object) -> None:
            raise error

        await taking.or_refused(refused, scope, receive, send, self._desk.refused)

    # The connection

    def _close_when_idle(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection if it was idle for so long: answers on the way past do not set the alarm anew."""
        if self.transport.is_closing():
            return
        left = self._answered_at + self.timeout_keep_alive - self.loop.time()
        if self._asked or self._rest:
            left = self.timeout_keep_alive
        if left > 0:
            self._close_when_idle(left)
        else:
            super().timeout_keep_alive_handler()

    def shutdown(self) -> None:
        """Close the connection, after what it waits for."""
        self._stopping = True
        if not self._asked:
            super().shutdown()
