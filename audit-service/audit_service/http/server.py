"""uvicorn, as all of our programs run it: over TLS whose certificate may be renewed, with the collector at a server's pace."""

import asyncio
import gc
import logging
import socket
from pathlib import Path
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp

from audit_service.http.corked import CorkedProtocol
from audit_service.settings import Listen

BACKLOG: Final = 1024
_log = logging.getLogger(__name__)
_LOOK_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 5
# A round holds tens of thousands of small objects, freed without a cycle among them the moment it is answered. At its usual
# pace (every 700 new ones) the collector walks through them over and over: a fifth of the time of a full round.
_GC_THRESHOLDS: Final = (50_000, 20, 100)


async def run_server(app: ASGIApp, listen: Listen, address: socket.socket | None = None, **more: Any) -> None:
    """Serve an application until SIGTERM or SIGINT, on a socket that is there already or on one of its own."""
    files = {"ssl_certfile": listen.cert_file, "ssl_keyfile": listen.key_file}
    config = make_config(app, host=listen.host, port=listen.port, backlog=BACKLOG, **files, **more)
    reloading = asyncio.create_task(_reload_certificate(config))
    try:
        await uvicorn.Server(config).serve(None if address is None else [address])
    finally:
        reloading.cancel()


def make_config(app: ASGIApp, **more: Any) -> uvicorn.Config:
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
