"""The isolation probe: tries each target with a TCP connection and reports what happened as its termination message.

`python -m tenant_operator.jobs.probe '[{"name": …, "host": …, "port": …, "open": true|false}, …]'`
"""

import asyncio
import json
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

REPORT = Path("/dev/termination-log")
TIMEOUT_SECONDS = 3.0
PATIENCE_SECONDS = 90.0
"""An open target is tried for so long before it counts as closed: after an outage its database starts together with the probe."""
PAUSE_SECONDS = 1.0
SETTLE_SECONDS = 2.0
"""A new pod's policies take effect a little after it starts; probing earlier would report another pod's past."""


async def _connects(host: str, port: int) -> tuple[bool, str]:
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return False, "timed out"
    except OSError as error:
        return False, str(error)
    writer.close()
    return True, "connected"


async def _answers(host: str, port: int) -> tuple[bool, str]:
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        connected, detail = await _connects(host, port)
        if connected or time.monotonic() >= until:
            return connected, detail
        await asyncio.sleep(PAUSE_SECONDS)


async def probe(target: Mapping[str, Any]) -> dict[str, Any]:
    """Try one target: an open one until it answers or patience is spent, a closed one once."""
    tried = _answers if target["open"] else _connects
    connected, detail = await tried(target["host"], target["port"])
    return {"name": target["name"], "open": target["open"], "connected": connected, "detail": detail}


async def run(targets: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Try all targets and return the report.

    The closed ones come after the open ones: what cannot be reached proves something only from where something else can.
    """
    await asyncio.sleep(SETTLE_SECONDS)
    results = await asyncio.gather(*(probe(target) for target in targets if target["open"]))
    results += await asyncio.gather(*(probe(target) for target in targets if not target["open"]))
    return {"at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), "results": results}


def main() -> int:
    """Report; the exit code says only whether the probe itself worked."""
    report = asyncio.run(run(json.loads(sys.argv[1])))
    text = json.dumps(report)
    REPORT.write_text(text)
    sys.stdout.write(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
