"""A front as a process of its own, started by `serve`: it imports as little as it can, so that it is soon there."""

import os
import socket
from functools import partial

from starlette.types import Receive, Scope, Send

from audit_service.front.channel import Channel
from audit_service.front.desk import FrontDesk
from audit_service.front.forward import Forward
from audit_service.front.protocol import AppendProtocol
from audit_service.http import taking
from audit_service.http.errors import ApiError, response
from audit_service.http.server import run_server
from audit_service.settings import Settings


class Front:
    """An ASGI application that takes in appends, and passes on what else there is and what waits for a checkpoint."""

    def __init__(self, desk: FrontDesk, forward: Forward) -> None:
        self.desk, self._forward = desk, forward

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        log = taking.log_of(scope)
        if log is not None and not scope["query_string"]:
            await taking.or_refused(partial(self._append, log), scope, receive, send, self.desk.refused)
            return
        try:
            await self._forward(scope, receive, send)
        except ApiError as error:
            await response(error)(scope, receive, send)

    async def _append(self, log: str, scope: Scope, receive: Receive, send: Send) -> None:
        _, outcome = await taking.take(self.desk, log, scope, receive)
        await taking.answer(send, 200, taking.receipts(outcome.placed, outcome.next))


async def run_front(settings: Settings, address: int, channel: int, inside: str) -> None:
    """Serve on a listening socket until SIGTERM, or until the writer's process is gone: then at once, its port is wanted."""
    desk = FrontDesk(settings.identity)
    desk.open(await Channel.open(socket.socket(fileno=channel), desk.heard, partial(os._exit, 1)))
    forward = Forward(inside)
    try:
        await run_server(
            Front(desk, forward), settings.listen, socket.socket(fileno=address), lifespan="off", http=AppendProtocol
        )
    finally:
        await forward.close()
