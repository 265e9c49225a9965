"""A way past ASGI for the commonest request: one small append of which everything is at hand.

Its caller and its log were seen before and its body is whole, so nothing is waited for until it is durable: no task, no
messages to and fro, which are a third of what such a request costs. Whatever is otherwise, also every refusal, goes the usual
way, with nothing done yet that would have to be undone.
"""

import asyncio
from functools import partial
from typing import Any, Final, cast

import orjson
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from audit_service.front.desk import Answer, FrontDesk, outcome
from audit_service.http import taking
from audit_service.http.corked import CorkedProtocol
from audit_service.log.batch import Request

_OK: Final = b"HTTP/1.1 200 OK\r\n"


class AppendProtocol(CorkedProtocol):
    """uvicorn's protocol for a front. The application is a `Front`."""

    def __init__(self, config: uvicorn.Config, *arguments: Any, **more: Any) -> None:
        super().__init__(config, *arguments, **more)
        self._desk: FrontDesk = config.app.desk  # type: ignore[union-attr]  # its type says any application
        self._appending: tuple[RequestResponseCycle, str] | None = None

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Begin a request, whose body may be yet to come."""
        log = self._log_of(cycle)
        if log is None:
            super()._start_asgi_task(cycle, app)
        elif cycle.more_body:
            self._appending = cycle, log
        else:
            self._append(cycle, log)

    def on_message_complete(self) -> None:
        """Take note that the request is whole."""
        super().on_message_complete()
        if self._appending is not None and self._appending[0] is self.cycle:
            (cycle, log), self._appending = self._appending, None
            self._append(cycle, log)

    def _log_of(self, cycle: RequestResponseCycle) -> str | None:
        """Return the log's name for a small append, None for anything else."""
        scope = cycle.scope
        if scope["query_string"] or self.expect_100_continue:
            return None
        length = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
        if not length.isdigit() or len(length) > len(str(taking.LARGE)) or int(length) > taking.LARGE:
            return None
        return taking.log_of(cast("Scope", scope))

    def _append(self, cycle: RequestResponseCycle, log: str) -> None:
        """Send an append on if everything is at hand and nothing is wrong with it; else let it go the usual way."""
        body = bytes(cycle.body)
        try:
            request = self._ready(cycle, log, body)
        except Exception:  # whatever it is, the usual way comes upon it too, and says it
            request = None
        if request is None:
            super()._start_asgi_task(cycle, self.app)
        else:
            self._desk.append(request, body).add_done_callback(partial(self._appended, cycle, request))

    def _ready(self, cycle: RequestResponseCycle, log: str, body: bytes) -> Request | None:
        authorization = dict(cycle.scope["headers"]).get(b"authorization", b"")
        caller, record = self._desk.tokens.known(authorization.decode("latin-1")), self._desk.found_before(log)
        if caller is None or record is None:
            return None
        return taking.prepared(self._desk, caller, record, body)

    def _appended(self, cycle: RequestResponseCycle, request: Request, answer: "asyncio.Future[Answer]") -> None:
        """Answer, as `RequestResponseCycle.send` would."""
        error = answer.exception()
        if error is not None:
            super()._start_asgi_task(cycle, partial(self._refuse, error))
            return
        if cycle.disconnected or self.transport.is_closing():
            return
        body = orjson.dumps(taking.receipts(outcome(request, answer.result())))
        head = [_OK, *(b"%s: %s\r\n" % header for header in cycle.default_headers)]
        head.append(b"content-type: application/json\r\ncontent-length: %d\r\n" % len(body))
        head.append(b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n")
        self.transport.write(b"".join((*head, body)))
        cycle.response_started = cycle.response_complete = True
        cycle.message_event.set()
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()

    async def _refuse(self, error: BaseException, scope: Scope, receive: Receive, send: Send) -> None:
        async def refused(*_: object) -> None:
            raise error

        await taking.or_refused(refused, scope, receive, send, self._desk.refused)
