"""kill -9 of the service and of its PostgreSQL while entries come in: nothing acknowledged is lost, nothing is there twice.

A few crashes always; `pytest -m audit_campaign` does 200 (or what CLOISTER_AUDIT_CRASHES says).
"""

import asyncio
import http.server
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from audit_contract import bundle as bundles
from audit_contract.client import AuditClient, AuditUnavailable, Receipt
from audit_contract.entry import Change
from audit_contract.leaf import read_leaf
from audit_contract.tiles import split_entries
from audit_contract.verify import verify_bundle
from audit_service.settings import CONFIG_VARIABLE, Identity, Listen, Settings
from tests.audit_service.postgres import Postgres, free_port
from tests.audit_service.service import TENANT_LOG, Cluster, draft, make_settings, migrated

ROOT = Path(__file__).parents[2]


@dataclass
class Outside:
    """The service as a process of its own, its PostgreSQL that flushes, and an API server's keys."""

    settings: Settings
    config: Path
    postgres: Postgres
    cluster: Cluster
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        paths = {"PYTHONPATH": str(ROOT / "audit-service"), CONFIG_VARIABLE: str(self.config)}
        with (self.config.parent / "service.log").open("ab") as log:
            command = [sys.executable, "-m", "audit_service", "serve"]
            self.process = subprocess.Popen(command, env={**os.environ, **paths}, stderr=log)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(30)

    def client(self, pod: str) -> AuditClient:
        url = f"http://127.0.0.1:{self.settings.listen.port}"
        token = self.cluster.token(pod=pod, exp=2**33)
        return AuditClient(url, token=lambda: token, source_id=f"cloister-operator/{pod}")


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Outside]:
    cluster = Cluster()
    keys = cluster.transport().handler(httpx.Request("GET", "http://x")).content

    class Keys(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(keys)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Keys)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    folder = Path(tempfile.mkdtemp(prefix="cloister-audit-crash-"))
    folder.chmod(0o755)
    postgres = Postgres(folder / "server", free_port(), fsync=True)
    postgres.create()
    postgres.start()
    identity = Identity(jwks_ca_file=None, jwks_token_file=None, jwks_url=f"http://127.0.0.1:{server.server_port}/")
    (tmp_path / "guard").mkdir()
    settings = make_settings(postgres, tmp_path, "audit").model_copy(
        update={
            "identity": identity,
            "listen": Listen(host="127.0.0.1", port=free_port()),
            "guard_folder": tmp_path / "guard",
        }
    )
    asyncio.run(migrated(settings))
    (tmp_path / "config.json").write_text(settings.model_dump_json(by_alias=True))
    found = Outside(settings, tmp_path / "config.json", postgres, cluster)
    found.start()
    yield found
    found.kill()
    postgres.destroy()
    server.shutdown()
    server.server_close()
    folder.rmdir()


async def _retried(call, *arguments: object, **more: object):
    said = ""
    for _ in range(400):
        try:
            return await call(*arguments, **more)
        except AuditUnavailable as error:
            said = str(error)
            await asyncio.sleep(0.05)
    raise AssertionError(f"it never came back: {said}")


async def _write(outside: Outside, pod: str, done: asyncio.Event, receipts: list[Receipt]) -> None:
    chance = random.Random(pod)  # noqa: S311  # repeatable, not secret
    async with outside.client(pod) as client:
        while not done.is_set():
            drafts = [draft(change=[Change(path="/x", new=pod)]) for _ in range(chance.choice((1, 1, 4, 16)))]
            receipts += await _retried(client.append, TENANT_LOG, drafts)


async def _crash(outside: Outside, times: int) -> None:
    chance = random.Random(times)  # noqa: S311  # repeatable, not secret
    for number in range(times):
        await asyncio.sleep(chance.uniform(0.02, 0.4))
        if number % 3 == 2:
            await asyncio.to_thread(outside.postgres.stop, "KILL")
            await asyncio.to_thread(outside.postgres.start)
        else:
            outside.kill()
            outside.start()
        async with outside.client("watch") as client:
            await _retried(client.log, TENANT_LOG)


async def campaign(outside: Outside, times: int) -> None:
    receipts: list[Receipt] = []
    async with outside.client("first") as client:
        await _retried(
            client.ensure_log, TENANT_LOG, tenant="acme", namespace="tenant-acme", region="r", retention_days=1
        )
        done = asyncio.Event()
        writers = [asyncio.create_task(_write(outside, f"pod-{number}", done, receipts)) for number in range(4)]
        await _crash(outside, times)
        done.set()
        await asyncio.gather(*writers)
        last = (await _retried(client.append, TENANT_LOG, [draft()]))[0].index
        for _ in range(600):
            facts = await _retried(client.log, TENANT_LOG)
            if facts["size"] > last:
                break
            await asyncio.sleep(0.05)
        data = await _retried(client.export, TENANT_LOG)
    report = verify_bundle(data, facts["keys"])
    assert report.problems == []
    bundle = bundles.read(data)
    entries = [entry for member in bundle.entry_members() for entry in split_entries(bundle.members[member])]
    ids = [read_leaf(entry).id for entry in entries]
    assert len(set(ids)) == len(ids)
    assert all(ids[receipt.index] == receipt.id for receipt in receipts)
    assert len({receipt.id for receipt in receipts}) == len(receipts) > 0
    (outside.config.parent / "campaign.json").write_text(json.dumps({"crashes": times, "acknowledged": len(receipts)}))
    print(f"{times} crashes, {len(receipts)} acknowledged entries, 0 lost, 0 doubled")


async def test_a_few_crashes_lose_and_double_nothing(outside: Outside) -> None:
    await campaign(outside, 3)


@pytest.mark.audit_campaign
@pytest.mark.timeout(3600)
async def test_two_hundred_crashes_lose_and_double_nothing(outside: Outside) -> None:
    await campaign(outside, int(os.environ.get("CLOISTER_AUDIT_CRASHES", "200")))
