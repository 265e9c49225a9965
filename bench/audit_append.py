"""Durable appends a second over HTTP, by clients and batch, and the time from an entry's answer to its signed checkpoint.

`python bench/audit_append.py [SECONDS]` starts PostgreSQL (flushing) and the service here, sends bodies over plain keep-alive
connections, and prints a table. Load, service and database share the machine; ratios within one run are what counts.
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path[:0] = [str(Path(__file__).parents[1] / each) for each in ("audit-service", ".")]

from audit_contract.entry import Draft  # noqa: E402  # after the path
from tests.audit_service.service import TENANT_LOG, Cluster, draft  # noqa: E402
from tests.audit_service.stage import Outside, outside  # noqa: E402

CASES = [(clients, batch) for batch in (1, 16, 256) for clients in (1, 8, 32)]


def request(token: str, source: str, seq: int, drafts: list[Draft]) -> bytes:
    """One HTTP request as it goes over the wire."""
    entries = [
        {**each.body(), "src": {"kind": "operator", "id": source, "seq": seq + at}} for at, each in enumerate(drafts)
    ]
    body = json.dumps({"entries": entries}).encode()
    head = f"POST /v1/logs/{TENANT_LOG}/entries HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def client(port: int, cluster: Cluster, name: str, batch: int, requests: int) -> tuple[float, float, list[float]]:
    """Send prepared requests one after the other; return when it began, when it ended, and each one's seconds."""
    token = cluster.token(pod=name, exp=2**33)
    prepared = [
        request(token, f"cloister-operator/{name}", number * batch, [draft() for _ in range(batch)])
        for number in range(requests)
    ]
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
    took = []
    began = time.monotonic()
    for each in prepared:
        start = time.monotonic()
        writer.write(each)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        answer = await reader.readexactly(length)
        assert head.startswith(b"HTTP/1.1 200"), answer[:300]
        took.append(time.monotonic() - start)
    ended = time.monotonic()
    writer.close()
    return began, ended, took


async def case(stage: Outside, clients: int, batch: int, total: int) -> str:
    """Run one case and return its line."""
    requests = max(3, total // (clients * batch))
    port = stage.settings.listen.port
    tag = f"{time.monotonic_ns()}"
    found = await asyncio.gather(
        *(client(port, stage.cluster, f"c{number}-{tag}", batch, requests) for number in range(clients))
    )
    span = max(each[1] for each in found) - min(each[0] for each in found)
    took = sorted(second for each in found for second in each[2])
    rate = clients * requests * batch / span
    return f"{clients:>7} {batch:>6} {rate:>10,.0f} {took[len(took) // 2] * 1e3:>8.1f} {took[int(len(took) * 0.99)] * 1e3:>8.1f}"


async def main() -> None:
    """Run every case."""
    with TemporaryDirectory() as folder, outside(Path(folder)) as stage:
        async with stage.client("first") as first:
            for _ in range(200):
                try:
                    await first.ensure_log(
                        TENANT_LOG, tenant="acme", namespace="tenant-acme", region="r", retention_days=1
                    )
                    break
                except Exception:  # it is starting
                    await asyncio.sleep(0.1)
        print(f"{'clients':>7} {'batch':>6} {'entries/s':>10} {'p50 ms':>8} {'p99 ms':>8}")
        for clients, batch in CASES:
            print(await case(stage, clients, batch, {1: 2_000, 16: 8_000, 256: 20_000}[batch]), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
