"""The service as a process of its own over a PostgreSQL that writes as the chart's does: for crash tests and for the benchmark."""

import asyncio
import contextlib
import http.server
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from audit_contract.client import AuditClient, AuditUnavailable
from audit_service.settings import CONFIG_VARIABLE, Identity, Listen, Settings
from tests.audit_service.postgres import Postgres, free_port
from tests.audit_service.service import Cluster, make_settings, migrated

ROOT = Path(__file__).parents[2]
AS_INSTALLED = ROOT / "charts/cloister/files/audit-postgresql.conf"
"""How the chart has the audit log's PostgreSQL write."""


@dataclass
class Outside:
    """The service as a process of its own, its PostgreSQL that flushes, and an API server's keys."""

    settings: Settings
    config: Path
    postgres: Postgres
    cluster: Cluster
    python: str = sys.executable
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        paths = {"PYTHONPATH": str(ROOT / "audit-service"), CONFIG_VARIABLE: str(self.config)}
        with (self.config.parent / "service.log").open("ab") as log:
            command = [self.python, "-m", "audit_service", "serve"]
            self.process = subprocess.Popen(command, env={**os.environ, **paths}, stderr=log)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(30)

    def client(self, pod: str) -> AuditClient:
        url = f"http://127.0.0.1:{self.settings.listen.port}"
        token = self.cluster.token(pod=pod, exp=2**33)
        return AuditClient(url, token=lambda: token, source_id=f"cloister-operator/{pod}")


@contextlib.contextmanager
def outside(tmp_path: Path, python: str = sys.executable, **more: object) -> Iterator[Outside]:
    """Run the service with an interpreter; `more` are settings other than the tests' own."""
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
    postgres = Postgres(folder / "server", free_port(), fsync=True, settings=AS_INSTALLED.read_text())
    postgres.create()
    postgres.start()
    identity = Identity(jwks_ca_file=None, jwks_token_file=None, jwks_url=f"http://127.0.0.1:{server.server_port}/")
    (tmp_path / "guard").mkdir()
    settings = make_settings(postgres, tmp_path, "audit").model_copy(
        update={
            "identity": identity,
            "listen": Listen(host="127.0.0.1", port=free_port()),
            "guard_folder": tmp_path / "guard",
            **more,
        }
    )
    migrating = threading.Thread(target=lambda: asyncio.run(migrated(settings)))  # a loop may be running here
    migrating.start()
    migrating.join()
    (tmp_path / "config.json").write_text(settings.model_dump_json(by_alias=True))
    found = Outside(settings, tmp_path / "config.json", postgres, cluster, python)
    found.start()
    try:
        yield found
    finally:
        found.kill()
        postgres.destroy()
        server.shutdown()
        server.server_close()
        folder.rmdir()


async def retried(call, *arguments: object, **more: object):
    """Call until the service is available again."""
    said = ""
    for _ in range(6000):  # a busy machine takes seconds to start a program, and several crashes may follow one another
        try:
            return await call(*arguments, **more)
        except AuditUnavailable as error:
            said = str(error)
            await asyncio.sleep(0.05)
    raise AssertionError(f"it never came back: {said}")
