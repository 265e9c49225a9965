"""What the store can answer besides success. Adapters translate PostgreSQL's errors into these."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg


class StoreError(Exception):
    """The store did not do what it was asked; nothing of it is durable."""


class StoreUnavailableError(StoreError):
    """PostgreSQL cannot be reached or refused; later it may do it."""


class StoreFullError(StoreUnavailableError):
    """The database's disk is full. It goes on by itself once there is space again."""


class FencedError(StoreError):
    """Another process has become the writer; this one must stop writing."""


class DuplicateError(StoreError):
    """An id in the batch is already in its log."""


class DamagedError(StoreError):
    """What is stored is not what was written: a hash does not fit. Never continued from by itself."""


@asynccontextmanager
async def translated() -> AsyncIterator[None]:
    """Turn what PostgreSQL, the network or a timeout raises into a StoreError."""
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        raise DuplicateError(str(error)) from error
    except asyncpg.DiskFullError as error:
        said = (
            "the audit database has no space left, so nothing was recorded; enlarge its volume and it goes on by itself"
        )
        raise StoreFullError(f"{said} ({error})") from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise StoreUnavailableError(f"the audit database: {type(error).__name__}: {error}") from error
