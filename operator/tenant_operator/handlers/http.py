"""The operator's own little server: is it alive, is it ready, its metrics; and the beacon that isolation probes aim at."""

import asyncio
from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

PORT = 8080
BEACON_PORT = 8090


async def serve(dead: Callable[[], list[str]], ready: Callable[[], bool]) -> None:
    """Serve until cancelled. `/healthz` fails when a watch is dead: a restart is the cure."""

    async def healthz(_: web.Request) -> web.Response:
        silent = dead()
        return web.Response(text=f"watches are silent: {silent}" if silent else "ok", status=503 if silent else 200)

    async def readyz(_: web.Request) -> web.Response:
        return web.Response(text="ok" if ready() else "starting", status=200 if ready() else 503)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(REGISTRY), headers={"content-type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "0.0.0.0", PORT).start()  # noqa: S104 - the network policy decides who gets here
    beacon = await asyncio.start_server(_beacon, "0.0.0.0", BEACON_PORT)  # noqa: S104 - it is there to be open
    try:
        await beacon.serve_forever()
    finally:
        await runner.cleanup()


async def _beacon(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"cloister beacon\n")
    writer.close()
