"""Everything that is written, each in one transaction under the writer's fence."""

from collections.abc import Mapping, Sequence
from typing import Final

import asyncpg

from audit_service.store.connect import POOL_SECONDS
from audit_service.store.errors import FencedError, translated
from audit_service.store.records import Generation, LogRecord, NewLeaf, Signed, SourceHead, Stamped

_LOCK: Final = 0x6175646974  # "audit": the session lock that the one writer holds

SourceKey = tuple[int, str, str]
"""Log, kind and id of a source."""

_ADVANCE: Final = """
WITH mine AS (SELECT 1 FROM writer WHERE fence = $1 FOR SHARE),
     grown AS (UPDATE head SET size = wanted.new
                 FROM unnest($2::int[], $3::bigint[], $4::bigint[]) AS wanted (log, old, new)
                WHERE head.log = wanted.log AND head.size = wanted.old AND EXISTS (SELECT FROM mine)
            RETURNING 1)
SELECT (SELECT count(*) FROM mine), (SELECT count(*) FROM grown)
"""
_SOURCES: Final = """
INSERT INTO source (log, kind, id, next, last)
SELECT * FROM unnest($1::int[], $2::text[], $3::text[], $4::bigint[], $5::bytea[])
ON CONFLICT (log, kind, id) DO UPDATE SET next = excluded.next, last = excluded.last
"""
_CHECKPOINT: Final = """
UPDATE checkpoint SET size = $3, root = $4, note = $5, signed = now()
 WHERE log = $1 AND size = $2 AND EXISTS (SELECT FROM writer WHERE fence = $6 FOR SHARE)
"""


class WritingStore:
    """The store as its one writer sees it. Every method raises StoreError's children and leaves nothing half done."""

    def __init__(self, pool: asyncpg.Pool, fence: int) -> None:
        self._pool = pool
        self.fence = fence

    async def commit(
        self, growth: Mapping[int, tuple[int, int]], leaves: Sequence[NewLeaf], sources: Mapping[SourceKey, SourceHead]
    ) -> None:
        """Make leaves durable. `growth` has each log's old and new size, compared and set.

        Raises FencedError, DuplicateError (an id is already there) or StoreUnavailableError.
        """
        async with translated(), self._pool.acquire(timeout=POOL_SECONDS) as connection, connection.transaction():
            old, new = ([each[at] for each in growth.values()] for at in (0, 1))
            mine, grown = await connection.fetchrow(_ADVANCE, self.fence, list(growth), old, new)
            if not mine or grown != len(growth):
                raise FencedError(f"fence {self.fence} is not the writer's, or a log has grown without it")
            await connection.copy_records_to_table(
                "leaf",
                columns=("log", "index", "id", "hash", "data"),
                records=[(leaf.log, leaf.index, leaf.id, leaf.hash, leaf.data) for leaf in leaves],
            )
            values = [(leaf.log, leaf.index, field, sealed) for leaf in leaves for field, sealed in leaf.values]
            if values:
                await connection.copy_records_to_table(
                    "value", columns=("log", "index", "field", "sealed"), records=values
                )
            rows = [(*key, head.next, head.last) for key, head in sources.items()]
            await connection.execute(_SOURCES, *([row[at] for row in rows] for at in range(5)))

    async def create_log(self, record: LogRecord, signed: Signed, vkeys: Sequence[str]) -> int:
        """Add a log, empty and with its first checkpoint; return its number. Raises DuplicateError when it exists."""
        async with translated(), self._pool.acquire(timeout=POOL_SECONDS) as connection, connection.transaction():
            await self._check_fence(connection)
            number = await insert_log(connection, record, signed)
            await _insert_generation(connection, number, Generation(0, tuple(vkeys)))
            return number

    async def add_generation(self, log: int, generation: Generation) -> None:
        """Note which keys sign from here on. Raises DuplicateError when another process has, FencedError."""
        async with translated(), self._pool.acquire() as connection, connection.transaction():
            await self._check_fence(connection)
            await _insert_generation(connection, log, generation)

    async def integrate(
        self,
        log: int,
        old_size: int,
        signed: Signed,
        tiles: Sequence[tuple[int, int, int, bytes, bytes]],
        findings: Sequence[tuple[object, ...]],
    ) -> None:
        """Add full tiles (log, level, index, hashes, root) and search rows, and set the checkpoint, compared with the old.

        Raises FencedError when another process has done it or is the writer.
        """
        async with translated(), self._pool.acquire(timeout=POOL_SECONDS) as connection, connection.transaction():
            values = (log, old_size, signed.size, signed.root, signed.note, self.fence)
            if await connection.execute(_CHECKPOINT, *values) != "UPDATE 1":
                raise FencedError(
                    f"log {log} is no longer at the checkpoint of {old_size} leaves, or fence {self.fence} fell"
                )
            if tiles:
                await connection.copy_records_to_table(
                    "tile", columns=("log", "level", "index", "hashes", "root"), records=tiles
                )
            if findings:
                columns = ("log", "index", "actor", "object_type", "object_id", "action", "event")
                await connection.copy_records_to_table("finding", columns=columns, records=findings)

    async def cosign(self, log: int, size: int, note: bytes) -> None:
        """Publish a cosigned checkpoint, unless a larger one is there. Raises FencedError."""
        async with translated(), self._pool.acquire() as connection, connection.transaction():
            await self._check_fence(connection)
            await connection.execute(
                "INSERT INTO cosigned (log, size, note) VALUES ($1, $2, $3) ON CONFLICT (log) DO UPDATE "
                "SET size = excluded.size, note = excluded.note, at = now() WHERE cosigned.size <= excluded.size",
                log,
                size,
                note,
            )

    async def stamp(self, log: int, stamped: Stamped) -> None:
        """Keep a time-stamp. Raises FencedError."""
        async with translated(), self._pool.acquire() as connection, connection.transaction():
            await self._check_fence(connection)
            await connection.execute(
                "INSERT INTO stamp (log, size, authority, note, request, reply) VALUES ($1, $2, $3, $4, $5, $6)",
                log,
                stamped.size,
                stamped.authority,
                stamped.note,
                stamped.request,
                stamped.reply,
            )

    async def erase(self, log: int, index: int, field: int, by: int) -> bool:
        """Erase one value in the name of the entry `by`; tell whether there was one to erase."""
        async with translated(), self._pool.acquire(timeout=POOL_SECONDS) as connection, connection.transaction():
            await self._check_fence(connection)
            answer: str = await connection.execute(
                "UPDATE value SET sealed = NULL, erased_by = $4 "
                "WHERE log = $1 AND index = $2 AND field = $3 AND erased_by IS NULL",
                log,
                index,
                field,
                by,
            )
            return answer == "UPDATE 1"

    async def _check_fence(self, connection: asyncpg.Connection) -> None:
        if not await connection.fetchval("SELECT 1 FROM writer WHERE fence = $1 FOR SHARE", self.fence):
            raise FencedError(f"fence {self.fence} is not the writer's")


async def _insert_generation(connection: asyncpg.Connection, log: int, new: Generation) -> None:
    await connection.execute(
        "INSERT INTO generation (log, number, vkeys, announced, size, note) VALUES ($1, $2, $3, $4, $5, $6)",
        log,
        new.number,
        list(new.vkeys),
        new.announced,
        new.size,
        new.note,
    )


async def insert_log(connection: asyncpg.Connection, record: LogRecord, signed: Signed) -> int:
    """Add a log, empty and with its first checkpoint, in the transaction under way; return its number."""
    number: int = await connection.fetchval(
        "INSERT INTO log (name, origin, kind, tenant, namespace, region, retention_days, sealed_key) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING number",
        record.name,
        record.origin,
        *record.identity(),
        record.sealed_key,
    )
    await connection.execute("INSERT INTO head VALUES ($1, 0)", number)
    await connection.execute(
        "INSERT INTO checkpoint (log, size, root, note) VALUES ($1, $2, $3, $4)",
        number,
        signed.size,
        signed.root,
        signed.note,
    )
    return number


async def take_lease(connection: asyncpg.Connection, holder: str) -> int | None:
    """Become the one writer for as long as this connection lives; return the new fence, None while another is.

    The lock ends with its session, so a killed writer is replaced at once; the fence stops one that does not know it is dead.
    """
    async with translated():
        if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
            return None
        fence: int = await connection.fetchval(
            "UPDATE writer SET fence = fence + 1, holder = $1, since = now() RETURNING fence", holder
        )
        return fence
