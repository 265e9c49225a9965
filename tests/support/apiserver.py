"""A real etcd and kube-apiserver on loopback, with our CRDs: for what only the API server can show. No nodes, no controllers."""

import contextlib
import json
import os
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.helm import ROOT
from tests.support.tenants import DERIVE

OPERATOR = "system:serviceaccount:cloister-system:cloister-operator"
PEOPLE = {"alice": ["cloister:approvers"], "bob": ["cloister:approvers"], "admin": ["system:masters"], OPERATOR: []}


def find() -> Path:
    """Return the program that is etcd and kube-apiserver, as the local cluster built it."""
    cache = Path(os.environ.get("CLOISTER_CACHE") or Path.home() / ".cache" / "cloister")
    built = sorted(cache.glob("bin/kubernetes-*/kubernetes"), key=lambda path: path.stat().st_mtime)
    assert built, f"no kube-apiserver under {cache}: run `make up` first, it builds one"
    return built[-1]


@dataclass
class ApiServer:
    """An API server and the people it knows; everybody may do everything, who asks is what matters here."""

    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    @property
    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.folder / "ca.crt"))

    async def call(
        self, method: str, path: str, body: Any = None, *, user: str = "admin", kind: str = "", **query: str
    ):
        """Send a request; return the status code and the answer."""
        headers = {"authorization": f"Bearer token-{user}", "content-type": kind or "application/json"}
        async with httpx.AsyncClient(verify=self.trust, timeout=30) as client:
            answer = await client.request(
                method, f"{self.url}{path}", headers=headers, params=query, content=json.dumps(body) if body else None
            )
        # Of a path that it does not serve the API server says so in plain text.
        as_json = answer.headers.get("content-type", "").startswith("application/json")
        return answer.status_code, answer.json() if as_json else {"message": answer.text}

    async def ok(self, *args: Any, **more: Any) -> dict[str, Any]:
        status, answer = await self.call(*args, **more)
        assert status < 300, answer
        return answer

    def audit(self) -> list[dict[str, Any]]:
        """Return the API server's own audit log."""
        return [json.loads(line) for line in (self.folder / "audit.log").read_text().splitlines()]


def _free(count: int) -> list[int]:
    """Return so many different ports: each is held until the last is found."""
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(count)]
        for found in held:
            found.bind(("127.0.0.1", 0))
        return [int(found.getsockname()[1]) for found in held]


@contextlib.contextmanager
def running() -> Iterator[ApiServer]:
    """Have an API server for as long as it is needed."""
    with tempfile.TemporaryDirectory(prefix="cloister-apiserver-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        for program in ("etcd", "kube-apiserver"):
            (folder / program).symlink_to(find())
        store, peer, port = _free(3)
        etcd = {
            "data-dir": folder / "etcd-data",
            "listen-client-urls": f"http://127.0.0.1:{store}",
            "advertise-client-urls": f"http://127.0.0.1:{store}",
            "listen-peer-urls": f"http://127.0.0.1:{peer}",
            "initial-advertise-peer-urls": f"http://127.0.0.1:{peer}",
            "initial-cluster": f"default=http://127.0.0.1:{peer}",
            "unsafe-no-fsync": "true",
        }
        _start(stack, folder, "etcd", etcd)
        _start(stack, folder, "kube-apiserver", _flags(folder, store, port))
        server = ApiServer(folder, port)
        _until_ready(server)
        yield server


def _flags(folder: Path, store: int, port: int) -> dict[str, Any]:
    key = rsa.generate_private_key(65537, 2048)
    pem = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "sa.key").write_bytes(key.private_bytes(*pem))
    serving = DERIVE.certificate("tests/apiserver", ("localhost", "127.0.0.1"), datetime.now(UTC))
    for name, text in (("ca.crt", DERIVE.ca.certificate), ("tls.crt", serving.certificate), ("tls.key", serving.key)):
        (folder / name).write_text(text)
    lines = [f'token-{user},{user},uid-{user},"{",".join(groups)}"' for user, groups in PEOPLE.items()]
    (folder / "tokens.csv").write_text("\n".join(lines) + "\n")
    rules = [{"level": "None", "users": ["system:apiserver"]}, {"level": "Metadata"}]
    policy = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": rules}
    (folder / "policy.json").write_text(json.dumps(policy))
    return {
        "etcd-servers": f"http://127.0.0.1:{store}",
        "bind-address": "127.0.0.1",
        "secure-port": port,
        "tls-cert-file": folder / "tls.crt",
        "tls-private-key-file": folder / "tls.key",
        "token-auth-file": folder / "tokens.csv",
        "authorization-mode": "AlwaysAllow",
        "disable-admission-plugins": "ServiceAccount",
        "service-account-issuer": "https://kubernetes.default.svc",
        "service-account-key-file": folder / "sa.key",
        "service-account-signing-key-file": folder / "sa.key",
        "service-cluster-ip-range": "10.0.0.0/24",
        "endpoint-reconciler-type": "none",
        "audit-policy-file": folder / "policy.json",
        "audit-log-path": folder / "audit.log",
    }


def _start(stack: contextlib.ExitStack, folder: Path, program: str, flags: dict[str, Any]) -> None:
    log = stack.enter_context((folder / f"{program}.log").open("wb"))
    command = [str(folder / program), *(f"--{name}={value}" for name, value in flags.items())]
    process = subprocess.Popen(command, stdout=log, stderr=log)

    def end() -> None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    stack.callback(end)


def _until_ready(server: ApiServer) -> None:
    headers = {"authorization": "Bearer token-admin"}
    deadline = time.monotonic() + 90
    while True:
        with (
            contextlib.suppress(OSError, httpx.HTTPError),
            httpx.Client(verify=server.trust, headers=headers) as client,
        ):
            if client.get(f"{server.url}/readyz").status_code == 200:
                break
        assert time.monotonic() < deadline, (server.folder / "kube-apiserver.log").read_text()[-3000:]
        time.sleep(0.2)
    with httpx.Client(verify=server.trust, headers=headers, timeout=30) as client:
        collection = f"{server.url}/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        for path in sorted((ROOT / "crds").glob("*.yaml")):
            assert client.post(collection, json=yaml.safe_load(path.read_text())).status_code == 201
        for path in sorted((ROOT / "crds").glob("*.yaml")):
            while client.get(f"{server.url}/apis/cloister.dev/v1alpha1/{path.stem}").status_code != 200:
                assert time.monotonic() < deadline, f"{path.stem} is not served"
                time.sleep(0.1)
