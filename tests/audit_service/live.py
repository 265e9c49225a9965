"""The service served for real, over TLS, in a thread of its own: for browsers and other tools that are not of this process."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from audit_service.settings import Settings
from tests.audit_service.postgres import Postgres, free_port
from tests.audit_service.service import Service, running, until_writer


@dataclass
class Live:
    """Where it listens, and the service itself, whose work is done in its own thread."""

    address: str
    service: Service
    loop: asyncio.AbstractEventLoop

    def do(self, work: Callable[[Service], Coroutine]):
        return asyncio.run_coroutine_threadsafe(work(self.service), self.loop).result(60)


@contextlib.contextmanager
def served(settings: Settings, postgres: Postgres, folder: Path) -> Iterator[Live]:
    port = free_port()
    certificate, key = certify(folder)
    ready, found, failed = threading.Event(), [], []
    holder: dict[str, uvicorn.Server] = {}

    async def run() -> None:
        async with running(settings, postgres) as service:
            await until_writer(service)
            config = uvicorn.Config(
                service.transport.app, host="127.0.0.1", port=port, lifespan="off", log_config=None, access_log=False,
                ws="none", ssl_certfile=str(certificate), ssl_keyfile=str(key), timeout_graceful_shutdown=2,
            )  # fmt: skip
            holder["server"] = uvicorn.Server(config)
            task = asyncio.create_task(holder["server"].serve())
            while not holder["server"].started and not task.done():  # uvicorn has a flag, no event
                await asyncio.sleep(0.02)
            found.append(Live(f"https://localhost:{port}", service, asyncio.get_running_loop()))
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
    ready.wait(30)
    if failed:
        raise failed[0]
    try:
        yield found[0]
    finally:
        holder["server"].should_exit = True
        thread.join(20)


def certify(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    at = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - timedelta(minutes=5))
        .not_valid_after(at + timedelta(hours=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = folder / "live.crt", folder / "live.key"
    files[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return files
