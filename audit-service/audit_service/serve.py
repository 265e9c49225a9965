"""`python -m audit_service serve`: wire the rooms and serve until told to stop."""

import asyncio
import contextlib
import signal
import socket
import tempfile
import time
from collections.abc import Iterator

import uvicorn

from audit_service import keyring
from audit_service.front.process import Fronts
from audit_service.http.app import build
from audit_service.http.identity import TokenChecker
from audit_service.http.server import BACKLOG, make_config
from audit_service.http.state import State
from audit_service.log.books import Books
from audit_service.log.clock import now
from audit_service.log.writer import Writer
from audit_service.settings import Listen, Settings
from audit_service.store.connect import open_pool
from audit_service.store.reading import ReadingStore

_PORT_SECONDS = 5.0


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; requests under way are answered first.

    Fronts have the address; this process writes, and answers on a Unix socket what they pass on.
    """
    pool = await open_pool(settings.database)
    reading = ReadingStore(pool)
    books = Books(reading, keyring.load(settings.keys) if settings.vault is None else None)
    writer = Writer(settings, pool, reading, books, now)
    state = State(settings, reading, books, writer, TokenChecker(settings.identity))
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="cloister-audit-") as folder,
            await _listening(settings.listen) as address,
        ):
            inside = f"{folder}/writer.sock"  # in a folder that nobody else can enter
            server = _Inside(
                make_config(build(state), uds=inside, proxy_headers=True, forwarded_allow_ips="*", date_header=False)
            )
            serving = asyncio.create_task(server.serve())
            fronts = asyncio.create_task(Fronts(state, address, inside, settings.listen.fronts).run())
            stopping = asyncio.create_task(stopped.wait())
            try:
                await asyncio.wait({serving, fronts, stopping}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                stopping.cancel()
                fronts.cancel()
                ended = (await asyncio.gather(fronts, return_exceptions=True))[0]
                server.should_exit = True
                await serving
            if isinstance(ended, Exception):
                raise ended
    finally:
        await pool.close()


class _Inside(uvicorn.Server):
    """A server that leaves signals to whoever runs it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _listening(listen: Listen) -> socket.socket:
    """Return the socket to serve on. A front whose writer was killed has it for a moment longer."""
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    deadline = time.monotonic() + _PORT_SECONDS
    while True:
        try:
            return socket.create_server((listen.host, listen.port), family=family, backlog=BACKLOG)
        except OSError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)
