"""Connections: one pool as `app` for work, one as `audit_writer` for entries that stand alone."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from tenant_app.errors import DependencyAway
from tenant_app.settings import DatabaseSection, DatabaseUser
from tenant_app.storage.migrations import connect_args

Row = dict[str, Any]
Conn = psycopg.AsyncConnection[Row]


class Database:
    """The tenant's PostgreSQL. Every failure to reach it is DependencyAway; every other error is a defect and goes up."""

    def __init__(self, section: DatabaseSection) -> None:
        self._app = _pool(section, section.app, section.pool_size)
        self._writer = _pool(section, section.audit_writer, 2)

    async def open(self) -> None:
        """Start both pools without waiting for the server: readiness says whether it answers."""
        await self._app.open(wait=False)
        await self._writer.open(wait=False)

    async def close(self) -> None:
        """Close both pools."""
        await self._app.close()
        await self._writer.close()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Conn]:
        """One transaction as `app`: all of it or nothing, the audit entries included."""
        async with _translated(), self._app.connection() as conn, conn.transaction():
            yield conn

    @asynccontextmanager
    async def record(self) -> AsyncIterator[Conn]:
        """One transaction as `audit_writer`, who can append to the trail and nothing else."""
        async with _translated(), self._writer.connection() as conn, conn.transaction():
            yield conn


def _pool(section: DatabaseSection, user: DatabaseUser, size: int) -> AsyncConnectionPool[Conn]:
    async def kwargs() -> dict[str, Any]:
        return {**connect_args(section, user), "row_factory": dict_row}

    return AsyncConnectionPool(
        kwargs=kwargs,
        connection_class=psycopg.AsyncConnection[Row],
        min_size=1,
        max_size=size,
        open=False,
        timeout=5,
        check=AsyncConnectionPool.check_connection,
        name=f"{user.user}",
    )


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout) as error:
        raise DependencyAway("The database does not answer. Nothing was changed.") from error
