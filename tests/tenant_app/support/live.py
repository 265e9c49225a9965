"""The app served for real: uvicorn over TLS in a thread of its own, its background work running."""

import asyncio
import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import uvicorn

from tenant_app import factory, settings
from tenant_app.web.app import create
from tests.tenant_app.support.processes import free_port


@contextlib.contextmanager
def served(config: settings.Settings, ports: factory.Ports) -> Iterator[str]:
    """Yield the address of a running app."""
    port = free_port()
    ready, failed = threading.Event(), []
    holder: dict = {}

    async def run() -> None:
        web = create(factory.build(config, ports))
        server = uvicorn.Server(
            uvicorn.Config(
                web,
                host="127.0.0.1",
                port=port,
                log_config=None,
                access_log=False,
                lifespan="on",
                ssl_certfile=str(config.listen.cert_file),
                ssl_keyfile=str(config.listen.key_file),
            )
        )
        holder["server"] = server
        task = asyncio.create_task(server.serve())
        while not server.started and not task.done():  # uvicorn has a flag, no event
            await asyncio.sleep(0.02)
        ready.set()
        await task

    def target() -> None:
        try:
            asyncio.run(run())
        except BaseException as error:
            failed.append(error)
            ready.set()

    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    ready.wait(20)
    if failed:
        raise failed[0]
    try:
        yield f"https://localhost:{port}"
    finally:
        holder["server"].should_exit = True
        thread.join(20)


def shots(*, keep: bool = False) -> Path:
    """Where screenshots go: outside the repository, unless CLOISTER_APP_SCREENSHOTS=1 asks for those that are kept in it."""
    asked = keep and os.environ.get("CLOISTER_APP_SCREENSHOTS") == "1"
    folder = Path(__file__).parents[3] / "docs" / "screenshots" / "app" if asked else Path("/tmp/cloister-app-shots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
