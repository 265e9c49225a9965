"""The tenants' PostgreSQL servers as an OutsideSystem: the kinds `role` and `database`, over psycopg.

The operator logs in as the superuser, over TLS checked against the installation's own CA, with the derived password. What it
writes contains SCRAM verifiers and never a password (`clients.scram`), and its sessions keep statements out of the server's log.
Everything is read before it is changed and changed in one transaction, so a lost reply or a kill leaves all or nothing;
CREATE DATABASE, which cannot be in one, is followed by its grants, and a database without them is seen as not as specified.
"""

import asyncio
import tempfile
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import psycopg

from tenant_operator.api.reasons import Reason
from tenant_operator.clients.postgres_calls import (
    drop,
    ensure_database,
    ensure_role,
    exists,
    read_database,
    read_role,
)
from tenant_operator.errors import CloisterError, Refused, Retryable
from tenant_operator.stack.database import PORT, SUPERUSER
from tenant_operator.stack.part import Context, External, ExternalKey

T = TypeVar("T")
Connection = psycopg.AsyncConnection[Any]

CONNECT_SECONDS = 3
STATEMENT_SECONDS = 15
IDLE_SECONDS = 5.0
"""A connection waits this long for the next call of the same pass, then it is closed: servers are many, slots are few."""
_OPTIONS = (
    f"-c statement_timeout={STATEMENT_SECONDS}s -c lock_timeout=5s "
    "-c log_statement=none -c log_min_error_statement=panic -c log_min_duration_statement=-1"
)
_TRANSIENT_CLASSES = ("08", "40", "53", "55", "57", "58")
"""SQLSTATE classes that another try may find gone: connection, rollback, resources, in use, shutdown, system (Appendix A)."""


class Address(NamedTuple):
    """Where a server is reached. The certificate must be for `host`; `hostaddr` skips the name's resolution."""

    host: str
    port: int = PORT
    hostaddr: str | None = None


def in_cluster(ctx: Context) -> Address:
    """Return the address of the tenant's own database Service."""
    return Address(ctx.names.service_host("database"))


class Postgres:
    """The OutsideSystem `postgres`. Raises Retryable (unreachable, starting) or Refused (the server said no)."""

    def __init__(self, address_of: Callable[[Context], Address] = in_cluster) -> None:
        self._address_of = address_of
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._idle: dict[str, tuple[Connection, asyncio.TimerHandle]] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._ca_files: dict[str, Path] = {}

    async def observe(self, ctx: Context, wanted: External) -> Mapping[str, Any] | None:
        """Return what is there, in the shape of `wanted.spec`; None when it is seen to be absent."""
        name = wanted.key.name
        match wanted.key.kind:
            case "role":
                return await self._run(ctx, f"read role {name}", lambda db: read_role(db, wanted))
            case "database":
                return await self._run(ctx, f"read database {name}", lambda db: read_database(db, name))
            case _:
                raise _unknown(wanted.key)

    async def ensure(self, ctx: Context, wanted: External, seen: Mapping[str, Any] | None) -> str:
        """Create it or bring it to `wanted.spec`; return create, update or rotate (only the password was another)."""
        del seen  # it is read again in the same transaction: a kill may lie between that look and now
        match wanted.key.kind:
            case "role":
                return await self._run(ctx, f"write role {wanted.key.name}", lambda db: ensure_role(db, wanted))
            case "database":
                return await self._run(ctx, f"write database {wanted.key.name}", lambda db: ensure_database(db, wanted))
            case _:
                raise _unknown(wanted.key)

    async def delete(self, ctx: Context, key: ExternalKey) -> None:
        """Destroy it. A database's sessions are ended; a role that still owns something is Refused."""
        await self._run(ctx, f"drop {key.kind} {key.name}", lambda db: drop(db, key))

    async def is_absent(self, ctx: Context, key: ExternalKey) -> bool:
        """Tell, from the server's catalogue, that it is gone."""
        return not await self._run(ctx, f"look for {key.kind} {key.name}", lambda db: exists(db, key))

    async def close(self) -> None:
        """Close every connection and remove the CA files."""
        for tenant in list(self._idle):
            connection, timer = self._idle.pop(tenant)
            timer.cancel()
            await connection.close()
        await asyncio.gather(*self._closing)
        for file in self._ca_files.values():
            file.unlink(missing_ok=True)
        self._ca_files.clear()

    async def _run(self, ctx: Context, what: str, act: Callable[[Connection], Awaitable[T]]) -> T:
        """Run one act. One that met a connection left from before may be repeated: every act here is idempotent."""
        tenant = ctx.names.id
        async with self._locks[tenant]:
            kept = self._take(tenant)
            if kept:
                try:
                    return await self._on(tenant, kept, act)
                except psycopg.OperationalError:
                    pass  # the server went away since; a new connection tells how it is now
                except psycopg.Error as error:
                    raise translate(what, error) from error
            try:
                return await self._on(tenant, await self._connect(ctx), act)
            except (psycopg.Error, OSError) as error:
                raise translate(what, error) from error

    async def _on(self, tenant: str, connection: Connection, act: Callable[[Connection], Awaitable[T]]) -> T:
        try:
            result = await act(connection)
        except BaseException:
            await connection.close()
            raise
        loop = asyncio.get_running_loop()
        self._idle[tenant] = connection, loop.call_later(IDLE_SECONDS, self._expire, tenant, connection)
        return result

    def _take(self, tenant: str) -> Connection | None:
        connection, timer = self._idle.pop(tenant, (None, None))
        if timer:
            timer.cancel()
        return None if connection is None or connection.closed else connection

    def _expire(self, tenant: str, connection: Connection) -> None:
        if self._idle.get(tenant, (None,))[0] is connection:
            del self._idle[tenant]
        task = asyncio.get_running_loop().create_task(connection.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _connect(self, ctx: Context) -> Connection:
        where = self._address_of(ctx)
        return await psycopg.AsyncConnection.connect(
            host=where.host,
            hostaddr=where.hostaddr,
            port=where.port,
            dbname="postgres",
            user=SUPERUSER,
            password=ctx.derive.password(ctx.names.id, SUPERUSER, ctx.spec.credentials.epoch),
            sslmode="verify-full",
            sslrootcert=str(self._ca_file(ctx.derive.ca.certificate)),
            channel_binding="require",
            connect_timeout=CONNECT_SECONDS,
            application_name="cloister-operator",
            options=_OPTIONS,
            autocommit=True,
        )

    def _ca_file(self, certificate: str) -> Path:
        """Return a file with the CA: libpq takes no PEM text."""
        file = self._ca_files.get(certificate)
        if file is None or not file.exists():
            with tempfile.NamedTemporaryFile("w", prefix="postgres-ca-", suffix=".crt", delete=False) as new:
                new.write(certificate)
            file = self._ca_files[certificate] = Path(new.name)
        return file


def _unknown(key: ExternalKey) -> Refused:
    return Refused(f"PostgreSQL has no kind {key.kind}", reason=Reason.DATABASE_REFUSED)


def translate(what: str, error: Exception) -> CloisterError:
    """Return our error for psycopg's. The server's own words are kept, the statement never is."""
    state = getattr(error, "sqlstate", None) or ""
    words = " ".join(str(error).split()) or type(error).__name__
    if state and not state.startswith(_TRANSIENT_CLASSES):
        return Refused(f"{what}: PostgreSQL refused ({state}): {words}", reason=Reason.DATABASE_REFUSED)
    if "authentication failed" in words or "certificate" in words:
        # The pod takes up a new password or certificate from its mounted files by itself, so it is worth another try.
        return Retryable(f"{what}: the server does not accept us: {words}", reason=Reason.DATABASE_REFUSED)
    return Retryable(f"{what}: the server does not answer: {words}", reason=Reason.DATABASE_UNREACHABLE)
