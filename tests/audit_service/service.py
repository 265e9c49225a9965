"""The service in this process, over a real PostgreSQL, with a cluster's signing key made here."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from audit_contract.client import AuditClient
from audit_contract.entry import Actor, Draft, ObjectRef
from audit_service import keyring
from audit_service.http.app import build
from audit_service.http.identity import TokenChecker
from audit_service.http.state import State
from audit_service.log.books import Books
from audit_service.log.clock import now
from audit_service.log.writer import Writer
from audit_service.settings import Database, Identity, Keys, Login, Pace, Settings
from audit_service.store.connect import open_pool
from audit_service.store.migrate import migrate
from audit_service.store.reading import ReadingStore
from tests.audit_service.postgres import Postgres

OPERATOR = "system:serviceaccount:cloister-system:cloister-operator"
PLATFORM_AUDITOR = "system:serviceaccount:cloister-audit:platform-auditor"
ISSUER = "https://kubernetes.default.svc.cluster.local"
TENANT_LOG = "tenant-0b7e6f5c-2f5f-4a53-9e0f-0d8a4c4f3a11"
ACTOR = Actor(type="user", sub="u-1", name="Ana Ruiz")


@dataclass
class Cluster:
    """An API server as far as tokens go: one signing key, and a JWKS endpoint that counts how often it was asked."""

    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    key_id: str = "k1"
    asked: int = 0
    fails: bool = False

    def token(self, subject: str = OPERATOR, *, pod: str = "pod-1", **claims: object) -> str:
        at = int(time.time())
        bound = {"namespace": subject.split(":")[2], "pod": {"name": "x", "uid": pod}} if pod else {}
        body = {
            "iss": ISSUER, "aud": ["cloister-audit"], "sub": subject, "iat": at, "nbf": at, "exp": at + 600,
            "kubernetes.io": bound, **claims,
        }  # fmt: skip
        return jwt.encode(
            {key: value for key, value in body.items() if value is not None}, self.key, "ES256", {"kid": self.key_id}
        )

    def transport(self) -> httpx.MockTransport:
        def answer(_: httpx.Request) -> httpx.Response:
            self.asked += 1
            if self.fails:
                return httpx.Response(500)
            jwk = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self.key.public_key()))
            return httpx.Response(200, json={"keys": [{**jwk, "kid": self.key_id, "use": "sig", "alg": "ES256"}]})

        return httpx.MockTransport(answer)


@dataclass
class Service:
    """A running service and how to talk to it."""

    settings: Settings
    state: State
    cluster: Cluster
    pool: asyncpg.Pool
    transport: httpx.ASGITransport
    postgres: Postgres

    def client(
        self, subject: str = OPERATOR, *, kind: str = "operator", pod: str = "pod-1", source: str = ""
    ) -> AuditClient:
        account = subject.rsplit(":", 1)[1]
        return AuditClient(
            "http://audit",
            token=lambda: self.cluster.token(subject, pod=pod),
            source_kind=kind,
            source_id=source or f"{account}/{pod}",
            transport=self.transport,
        )

    def http(self, subject: str | None = OPERATOR, **claims: object) -> httpx.AsyncClient:
        headers = {} if subject is None else {"Authorization": f"Bearer {self.cluster.token(subject, **claims)}"}
        return httpx.AsyncClient(base_url="http://audit", transport=self.transport, headers=headers)

    async def tenant_log(self, client: AuditClient, log: str = TENANT_LOG, tenant: str = "acme-pharma") -> str:
        await client.ensure_log(
            log, tenant=tenant, namespace=f"tenant-{tenant}", region="eu-central-1", retention_days=3650
        )
        return log

    async def signed(self, log: str, size: int) -> None:
        """Wait until a checkpoint covers `size` entries."""
        record = await self.state.find_log(log)
        for _ in range(1500):
            if (await self.state.reading.checkpoint(record.number)).size >= size:
                return
            await asyncio.sleep(0.02)
        raise AssertionError(f"{log} was not signed at {size}")


def draft(**more: object) -> Draft:
    facts: dict[str, object] = {
        "action": "operator:object:apply",
        "phase": "intent",
        "actor": ACTOR,
        "object": ObjectRef(type="ConfigMap", id="app-config", namespace="tenant-acme-pharma"),
    }
    return Draft(**{**facts, **more})


def make_settings(postgres: Postgres, folder: Path, database: str | None = None, **more: object) -> Settings:
    keyring.generate(folder / "keys")
    password = folder / "service-password"
    password.write_text("password-of-the-service\n")
    return Settings(
        install="test.example",
        database=Database(
            host="127.0.0.1",
            port=postgres.port,
            name=database or f"audit_{uuid4().hex[:12]}",
            password_file=password,
            admin=Login(user="postgres", password_file=postgres.password_file),
        ),
        identity=Identity(jwks_ca_file=None, jwks_token_file=None),
        keys=Keys(
            ed25519_file=folder / "keys/ed25519.pem",
            ml_dsa44_file=folder / "keys/ml-dsa-44.pem",
            sealing_file=folder / "keys/sealing.key",
        ),
        pace=Pace(checkpoint_ms=5, record_seconds=0.2),
        **more,
    )


@contextlib.asynccontextmanager
async def running(settings: Settings, postgres: Postgres, cluster: Cluster | None = None) -> AsyncIterator[Service]:
    """Run the service on a database that was migrated."""
    cluster = cluster or Cluster()
    pool = await open_pool(settings.database)
    reading = ReadingStore(pool)
    books = Books(reading, keyring.load(settings.keys) if settings.vault is None else None)
    writer = Writer(settings, pool, reading, books, now)
    state = State(settings, reading, books, writer, TokenChecker(settings.identity, cluster.transport()))
    transport = httpx.ASGITransport(build(state), raise_app_exceptions=False)
    writing = asyncio.create_task(writer.run())
    try:
        yield Service(settings, state, cluster, pool, transport, postgres)
    finally:
        writing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await writing
        pool.terminate()


async def signed_rows(client: AuditClient, log: str) -> list[dict]:
    """Return all entries of a log that a checkpoint covers, as they are served."""
    rows: list[dict] = []
    size = (await client.log(log))["size"]
    while len(rows) < size:
        rows += await client.entries(log, **{"from": len(rows), "limit": 256})
    return rows


async def until_writer(service: Service) -> None:
    for _ in range(1500):
        if service.state.writer.is_writer:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the service did not become the writer")


async def migrated(settings: Settings) -> Settings:
    await migrate(settings.database)
    return settings
