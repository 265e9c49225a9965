"""`python -m audit_service serve`: wire the rooms and serve until told to stop."""

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from audit_service import keyring
from audit_service.front.process import Fronts
from audit_service.http.app import build
from audit_service.http.corked import CorkedProtocol
from audit_service.http.identity import TokenChecker
from audit_service.http.state import State
from audit_service.log.books import Books
from audit_service.log.clock import now
from audit_service.log.writer import Writer
from audit_service.settings import Listen, Settings
from audit_service.store.connect import open_pool
from audit_service.store.reading import ReadingStore

_log = logging.getLogger(__name__)
_LOOK_SECONDS = 30.0
_STOP_SECONDS = 5
_PORT_SECONDS = 5.0
_BACKLOG = 1024
# A round holds tens of thousands of small objects, freed without a cycle among them the moment it is answered. At its usual
# pace (every 700 new ones) the collector walks through them over and over: a fifth of the time of a full round.
_GC_THRESHOLDS = (50_000, 20, 100)


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
            server = _Inside(_config(build(state), uds=inside, proxy_headers=True, forwarded_allow_ips="*"))
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
            return socket.create_server((listen.host, listen.port), family=family, backlog=_BACKLOG)
        except OSError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)


async def run_server(app: ASGIApp, listen: Listen, address: socket.socket | None = None, **more: Any) -> None:
    """Serve an application until SIGTERM or SIGINT, on a socket that is there already or on one of its own."""
    files = {"ssl_certfile": listen.cert_file, "ssl_keyfile": listen.key_file}
    config = _config(app, host=listen.host, port=listen.port, backlog=_BACKLOG, **files, **more)
    reloading = asyncio.create_task(_reload_certificate(config))
    try:
        await uvicorn.Server(config).serve(None if address is None else [address])
    finally:
        reloading.cancel()


def _config(app: ASGIApp, **more: Any) -> uvicorn.Config:
    """Return how to serve an application, and set the collector's pace for it."""
    config = uvicorn.Config(
        app,
        **{
            "loop": "none",
            "http": CorkedProtocol,
            "ws": "none",
            "access_log": False,
            "log_config": None,
            "server_header": False,
            "proxy_headers": False,
            "timeout_keep_alive": 75,
            "timeout_graceful_shutdown": _STOP_SECONDS,
            **more,
        },
    )
    config.load()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    return config


async def _reload_certificate(config: uvicorn.Config) -> None:
    """Take up a renewed certificate: connections made from then on use it."""
    if config.ssl is None or config.ssl_certfile is None or config.ssl_keyfile is None:
        return
    certificate, key = Path(config.ssl_certfile), Path(config.ssl_keyfile)
    seen = await asyncio.to_thread(certificate.read_bytes)
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        try:
            found = await asyncio.to_thread(certificate.read_bytes)
            if found != seen:
                config.ssl.load_cert_chain(certificate, key)
                seen = found
                _log.info("the TLS certificate was renewed")
        except OSError as error:  # also ssl.SSLError: half-written files are read again next time
            _log.warning("the TLS certificate cannot be read: %s", error)
