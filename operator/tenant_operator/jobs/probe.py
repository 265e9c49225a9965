"""The isolation probe: tries each target with a TCP connection and reports what happened as its termination message.

`python -m tenant_operator.jobs.probe '[{"name": …, "host": …, "port": …, "open": true|false}, …]'`
"""

import asyncio
import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

REPORT = Path("/dev/termination-log")
TIMEOUT_SECONDS = 3.0
ATTEMPTS = 5
"""An open target is tried this often before it counts as closed: a policy may take a moment to be in force."""
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


async def probe(target: Mapping[str, Any]) -> dict[str, Any]:
    """Try one target. A closed one is tried once; an open one until it answers or the attempts are spent."""
    connected, detail = False, ""
    for _ in range(ATTEMPTS if target["open"] else 1):
        connected, detail = await _connects(target["host"], target["port"])
        if connected:
            break
    return {"name": target["name"], "open": target["open"], "connected": connected, "detail": detail}


async def run(targets: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Try all targets and return the report."""
    await asyncio.sleep(SETTLE_SECONDS)
    results = await asyncio.gather(*(probe(target) for target in targets))
    return {"at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), "results": list(results)}


def main() -> int:
    """Report; the exit code says only whether the probe itself worked."""
    report = asyncio.run(run(json.loads(sys.argv[1])))
    text = json.dumps(report)
    REPORT.write_text(text)
    sys.stdout.write(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
