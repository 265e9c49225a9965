"""How far each log's copy under Object Lock has come."""

from dataclasses import dataclass
from datetime import datetime

import asyncpg

from audit_service.store.connect import POOL_SECONDS
from audit_service.store.errors import translated


@dataclass(frozen=True, slots=True)
class Progress:
    """A log's copy in one bucket: full bundles that are there, and the size of the last checkpoint that is there."""

    bundles: int = 0
    size: int = 0
    identity: str = ""
    copied: datetime | None = None


class CopyProgress:
    """The rows. Methods raise StoreUnavailableError."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def all(self) -> dict[tuple[int, str], Progress]:
        """Return the progress of every log (its number) in every bucket (its address)."""
        async with translated(), self._pool.acquire(timeout=POOL_SECONDS) as connection:
            rows = await connection.fetch("SELECT log, store, bundles, size, identity, copied FROM worm_copy")
        return {(row["log"], row["store"]): Progress(*row[2:]) for row in rows}

    async def of(self, log: int, store: str) -> Progress:
        """Return the progress of one log in one bucket."""
        async with translated(), self._pool.acquire(timeout=POOL_SECONDS) as connection:
            row = await connection.fetchrow(
                "SELECT bundles, size, identity, copied FROM worm_copy WHERE log = $1 AND store = $2", log, store
            )
        return Progress() if row is None else Progress(*row)

    async def save(self, log: int, store: str, progress: Progress) -> None:
        """Note how far it has come; a copy that is made again from the start does not take back what was noted."""
        async with translated(), self._pool.acquire(timeout=POOL_SECONDS) as connection:
            await connection.execute(
                "INSERT INTO worm_copy (log, store, bundles, size, identity) VALUES ($1, $2, $3, $4, $5) "
                "ON CONFLICT (log, store) DO UPDATE SET bundles = greatest(worm_copy.bundles, excluded.bundles), "
                "size = greatest(worm_copy.size, excluded.size), "
                "identity = excluded.identity, copied = now()",
                log,
                store,
                progress.bundles,
                progress.size,
                progress.identity,
            )
