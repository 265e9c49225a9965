"""Witnesses as processes of their own, on loopback, as a customer runs them."""

import asyncio
import contextlib
import json
import os
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from audit_contract.keys import KeySigner, KeyType
from audit_service.settings import Settings, WitnessPeer
from tests.audit_service.postgres import free_port

ROOT = Path(__file__).parents[2]


@dataclass
class WitnessProcess:
    name: str
    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    ca: Path | None = None

    @property
    def url(self) -> str:
        return f"{'https' if self.ca else 'http'}://127.0.0.1:{self.port}"

    def get(self, path: str) -> httpx.Response:
        context = ssl.create_default_context(cafile=str(self.ca)) if self.ca else True
        return httpx.get(f"{self.url}/{path}", verify=context).raise_for_status()

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            command = [sys.executable, "-m", "audit_service", "witness", "--config", str(self.folder / "config.json")]
            env = {**os.environ, "PYTHONPATH": str(ROOT / "audit-service")}
            self.process = subprocess.Popen(command, env=env, stderr=log)
        for _ in range(600):
            with contextlib.suppress(httpx.HTTPError):
                self.get("healthz")
                return
            assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
            time.sleep(0.05)
        raise AssertionError("the witness did not start")

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(30)
            self.process = None

    def vkeys(self) -> list[str]:
        return self.get("vkey").text.split()

    def peer(self, **more: object) -> WitnessPeer:
        return WitnessPeer(**{"name": self.name, "url": self.url, "timeout_seconds": 2, **more})


def file_signers(settings: Settings, origin: str) -> list[KeySigner]:
    """What whoever holds the log's key files can sign."""
    kinds = ((KeyType.ED25519, settings.keys.ed25519_file), (KeyType.ML_DSA_44, settings.keys.ml_dsa44_file))
    return [KeySigner(origin, kind, load_pem_private_key(file.read_bytes(), None)) for kind, file in kinds]


def prepared(folder: Path, settings: Settings, name: str = "w1", **listen: object) -> WitnessProcess:
    """A witness of every log of this installation, not started."""
    made = WitnessProcess(name, folder / name, free_port())
    made.folder.mkdir()
    keys = [each.verifier.vkey for each in file_signers(settings, settings.origin("platform"))]
    config = {
        "name": f"witness.example/{name}",
        "storage": str(made.folder / "storage"),
        "listen": {"host": "127.0.0.1", "port": made.port, **listen},
        "logs": [{"prefix": settings.origin(""), "vkeys": keys}],
    }
    (made.folder / "config.json").write_text(json.dumps(config))
    return made


@contextlib.contextmanager
def witnesses(folder: Path, settings: Settings, count: int) -> Iterator[list[WitnessProcess]]:
    found = [prepared(folder, settings, f"w{number}") for number in range(1, count + 1)]
    try:
        for each in found:
            each.start()
        yield found
    finally:
        for each in found:
            each.kill()


@contextlib.asynccontextmanager
async def losing_the_reply(witness: WitnessProcess) -> AsyncIterator[tuple[int, asyncio.Event]]:
    """A port in front of the witness that kills it (-9) once it has answered a submission, and passes nothing on."""
    killed = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.ExitStack() as ends:
            ends.callback(writer.close)
            # Another submission that was under way when the witness was killed.
            ends.enter_context(contextlib.suppress(OSError, asyncio.IncompleteReadError))
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                (
                    int(line.partition(b":")[2])
                    for line in head.lower().split(b"\r\n")
                    if line.startswith(b"content-length")
                ),
                0,
            )
            body = await reader.readexactly(length)
            inner, out = await asyncio.open_connection("127.0.0.1", witness.port)
            ends.callback(out.close)
            out.write(head.replace(b"keep-alive", b"close") + body)
            answer = await inner.readuntil(b"\r\n\r\n")
            if head.startswith(b"POST /add-checkpoint") and not killed.is_set() and b" 200 " in answer[:16]:
                witness.kill()
                killed.set()
            else:
                writer.write(answer + await inner.read())

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], killed
    finally:
        server.close()
