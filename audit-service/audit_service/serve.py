"""`python -m audit_service serve`: wire the rooms and serve until told to stop."""

import asyncio
import gc
import logging
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from audit_service import keyring
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
# A round holds tens of thousands of small objects, freed without a cycle among them the moment it is answered. At its usual
# pace (every 700 new ones) the collector walks through them over and over: a fifth of the time of a full round.
_GC_THRESHOLDS = (50_000, 20, 100)


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; requests under way are answered first."""
    pool = await open_pool(settings.database)
    reading = ReadingStore(pool)
    books = Books(reading, keyring.load(settings.keys) if settings.vault is None else None)
    writer = Writer(settings, pool, reading, books, now)
    app = build(State(settings, reading, books, writer, TokenChecker(settings.identity)))
    listen = settings.listen
    try:
        await run_server(app, listen)
    finally:
        await pool.close()


async def run_server(app: Starlette, listen: Listen) -> None:
    """Serve an application until SIGTERM or SIGINT."""
    config = uvicorn.Config(
        app,
        host=listen.host,
        port=listen.port,
        ssl_certfile=listen.cert_file,
        ssl_keyfile=listen.key_file,
        loop="none",
        http=CorkedProtocol,
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=_STOP_SECONDS,
        backlog=1024,
    )
    config.load()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    reloading = asyncio.create_task(_reload_certificate(config))
    try:
        await uvicorn.Server(config).serve()
    finally:
        reloading.cancel()


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
