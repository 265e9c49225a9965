"""The keys that the service holds itself, sealed by Vault. Added once, never changed."""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

import asyncpg

from audit_service.store.connect import POOL_SECONDS
from audit_service.store.errors import FencedError, translated


class HeldKind(StrEnum):
    """What a key is for. Number 0 of `SEALING` came from a file, of before the keys were in Vault."""

    ML_DSA_44 = "ml-dsa-44"
    SEALING = "sealing"


class HeldKey(NamedTuple):
    """A key as Vault sealed it: `vault:v<version>:<base64>`."""

    kind: HeldKind
    number: int
    sealed: str


class HeldStore:
    """The rows. Methods raise StoreError's children."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def all(self) -> list[HeldKey]:
        """Return every key."""
        async with translated(), self._pool.acquire(timeout=POOL_SECONDS) as connection:
            rows = await connection.fetch("SELECT kind, number, sealed FROM held_key ORDER BY kind, number")
        return [HeldKey(HeldKind(row["kind"]), row["number"], row["sealed"]) for row in rows]

    async def add(self, fence: int, keys: Sequence[HeldKey]) -> None:
        """Add keys, all or none. Raises FencedError, or DuplicateError when another process has made them."""
        async with translated(), self._pool.acquire(timeout=POOL_SECONDS) as connection, connection.transaction():
            if not await connection.fetchval("SELECT 1 FROM writer WHERE fence = $1 FOR SHARE", fence):
                raise FencedError(f"fence {fence} is not the writer's")
            await insert_held(connection, keys)


async def insert_held(connection: asyncpg.Connection, keys: Sequence[HeldKey]) -> None:
    """Add keys, in the transaction under way."""
    await connection.executemany("INSERT INTO held_key (kind, number, sealed) VALUES ($1, $2, $3)", keys)
