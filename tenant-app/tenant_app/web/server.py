"""Serves HTTPS with uvicorn, and takes up a rotated certificate without a restart."""

import asyncio
import logging
import ssl
from pathlib import Path

import uvicorn

from tenant_app import factory
from tenant_app.settings import Settings
from tenant_app.web.app import create

log = logging.getLogger(__name__)
LOOK_EVERY = 30.0


def serve(settings: Settings) -> None:
    """Serve until the process is told to stop."""
    asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    web = create(factory.build(settings, factory.real_ports(settings)))
    listen = settings.listen
    config = uvicorn.Config(
        web,
        host=listen.host,
        port=listen.port,
        ssl_certfile=str(listen.cert_file),
        ssl_keyfile=str(listen.key_file),
        ssl_version=ssl.PROTOCOL_TLS_SERVER,
        server_header=False,
        proxy_headers=False,  # the guard must not believe an address that a client wrote
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=20,
        h11_max_incomplete_event_size=32 * 1024,
    )
    config.load()
    if config.ssl is not None:
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
        watch = asyncio.create_task(_follow(config.ssl, listen.cert_file, listen.key_file))
        try:
            await uvicorn.Server(config).serve()
        finally:
            watch.cancel()


async def _follow(context: ssl.SSLContext, cert: Path, key: Path) -> None:
    seen = _stamp(cert, key)
    while True:
        await asyncio.sleep(LOOK_EVERY)
        now = _stamp(cert, key)
        if now == seen:
            continue
        try:
            context.load_cert_chain(cert, key)
        except (OSError, ssl.SSLError):
            # Half-written or not a pair yet: the next look finds both.
            log.warning("the new certificate cannot be used yet")
            continue
        seen = now
        log.info("took up the rotated certificate")


def _stamp(*paths: Path) -> tuple[float, ...]:
    try:
        return tuple(path.stat().st_mtime for path in paths)
    except OSError:
        return ()
