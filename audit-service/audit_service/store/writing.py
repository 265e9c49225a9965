"""Everything that is written, each in one transaction under the writer's fence."""

import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Final

import asyncpg

from audit_service.store.connect import POOL_SECONDS
from audit_service.store.errors import FencedError, translated
from audit_service.store.postings import SearchRows
from audit_service.store.records import Generation, LogRecord, NewLeaf, Signed, SourceHead, Stamped

_LOCK: Final = 0x6175646974  # "audit": the session lock that the one writer holds

SourceKey = tuple[int, str, str]
"""Log, kind and id of a source."""

# A round is one statement, so it takes one round trip and is its own transaction. A log that cannot be grown from the size that
# was expected, or a fence that is no longer the writer's, lets nothing of that log in.
_GROWN: Final = """
WITH mine AS (SELECT FROM writer WHERE fence = $1 FOR SHARE),
     grown AS (UPDATE head SET size = wanted.new
                 FROM unnest($2::int[], $3::bigint[], $4::bigint[]) AS wanted (log, old, new)
                WHERE head.log = wanted.log AND head.size = wanted.old AND EXISTS (SELECT FROM mine)
            RETURNING head.log),
     leaves AS (INSERT INTO leaf (log, index, id, hash, data)
                SELECT * FROM unnest($5::int[], $6::bigint[], $7::uuid[], $8::bytea[], $9::bytea[]) AS new (log)
                 WHERE log IN (SELECT log FROM grown)),
     senders AS (INSERT INTO source (log, kind, id, next, last)
                 SELECT * FROM unnest($10::int[], $11::text[], $12::text[], $13::bigint[], $14::bytea[]) AS new (log)
                  WHERE log IN (SELECT log FROM grown)
                     ON CONFLICT (log, kind, id) DO UPDATE SET next = excluded.next, last = excluded.last)"""
_BESIDE: Final = """,
     beside AS (INSERT INTO value (log, index, field, sealed)
                SELECT * FROM unnest($15::int[], $16::bigint[], $17::int[], $18::bytea[]) AS new (log)
                 WHERE log IN (SELECT log FROM grown))"""
_COUNT: Final = "\nSELECT count(*) FROM grown\n"
_COMMIT: Final = _GROWN + _COUNT
_COMMIT_VALUES: Final = _GROWN + _BESIDE + _COUNT
_INTEGRATE: Final = """
WITH moved AS (UPDATE checkpoint SET size = $3, root = $4, note = $5, signed = now()
                WHERE log = $1 AND size = $2 AND EXISTS (SELECT FROM writer WHERE fence = $6 FOR SHARE)
            RETURNING log),
     filled AS (INSERT INTO tile (log, level, index, hashes, root)
                SELECT * FROM unnest($7::int[], $8::smallint[], $9::bigint[], $10::bytea[], $11::bytea[]) AS new (log)
                 WHERE log IN (SELECT log FROM moved)),
     spans AS (INSERT INTO span (log, start, earliest, latest, events)
               SELECT log, $12::bigint, $13::text::timestamptz, $14::text::timestamptz, $15::text::timestamptz[] FROM moved),
     found AS (INSERT INTO posting (log, facet, value, start, offsets)
               SELECT log, facet, value, $12::bigint, offsets::smallint[]
                 FROM moved, unnest($16::smallint[], $17::bytea[], $18::text[]) AS new (facet, value, offsets))
SELECT count(*) FROM moved
"""


def _columns(rows: Iterable[Sequence[object]], count: int) -> Sequence[Sequence[object]]:
    """Turn rows into their `count` columns, empty ones when there is no row."""
    return list(zip(*rows, strict=True)) or [()] * count


class WritingStore:
    """The store as its one writer sees it. Every method raises StoreError's children and leaves nothing half done."""

    def __init__(self, pool: asyncpg.Pool, fence: int) -> None:
        self._pool = pool
        self.fence = fence
        self._held: asyncpg.Connection | None = None

    @contextlib.asynccontextmanager
    async def _committing(self) -> AsyncIterator[asyncpg.Connection]:
        """Lend the connection that commits, which one round does at a time: taking it anew costs a tenth of a small round."""
        if self._held is not None and self._held.is_closed():
            await self.close()
        if self._held is None:
            self._held = await self._pool.acquire(timeout=POOL_SECONDS)
        try:
            yield self._held
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Give the connection back."""
        held, self._held = self._held, None
        if held is not None:
            await self._pool.release(held)

    async def commit(
        self, growth: Mapping[int, tuple[int, int]], leaves: Sequence[NewLeaf], sources: Mapping[SourceKey, SourceHead]
    ) -> None:
        """Make leaves durable. `growth` has each log's old and new size, compared and set.

        Raises FencedError, DuplicateError (an id is already there) or StoreUnavailableError.
        """
        values = [(leaf.log, leaf.index, field, sealed) for leaf in leaves for field, sealed in leaf.values]
        rows = [
            *_columns([(log, *sizes) for log, sizes in growth.items()], 3),
            *_columns([leaf[:5] for leaf in leaves], 5),
            *_columns([(*key, *head) for key, head in sources.items()], 5),
        ]
        async with translated(), self._committing() as connection:
            if values:
                grown = await connection.fetchval(_COMMIT_VALUES, self.fence, *rows, *_columns(values, 4))
            else:
                grown = await connection.fetchval(_COMMIT, self.fence, *rows)
        if grown != len(growth):
            raise FencedError(f"fence {self.fence} is not the writer's, or a log has grown without it")

    async def create_log(self, record: LogRecord, signed: Signed, vkeys: Sequence[str]) -> int:
        """Add a log, empty and with its first checkpoint; return its number. Raises DuplicateError when it exists."""
        async with translated(), self._pool.acquire(timeout=POOL_SECONDS) as connection, connection.transaction():
            await self._check_fence(connection)
            number = await insert_log(connection, record, signed)
            await insert_generation(connection, number, Generation(0, tuple(vkeys)))
            return number

    async def add_generation(self, log: int, generation: Generation) -> None:
        """Note which keys sign from here on. Raises DuplicateError when another process has, FencedError."""
        async with translated(), self._pool.acquire() as connection, connection.transaction():
            await self._check_fence(connection)
            await insert_generation(connection, log, generation)

    async def integrate(
        self,
        log: int,
        old_size: int,
        signed: Signed,
        tiles: Sequence[tuple[int, int, int, bytes, bytes]],
        search: SearchRows,
    ) -> None:
        """Add full tiles (log, level, index, hashes, root) and search rows, and set the checkpoint, compared with the old.

        Raises FencedError when another process has done it or is the writer.
        """
        async with translated(), self._pool.acquire(timeout=POOL_SECONDS) as connection:
            moved = await connection.fetchval(
                _INTEGRATE,
                *(log, old_size, signed.size, signed.root, signed.note, self.fence),
                *_columns(tiles, 5),
                *search.span,
                *_columns(search.postings, 3),
            )
        if not moved:
            raise FencedError(
                f"log {log} is no longer at the checkpoint of {old_size} leaves, or fence {self.fence} fell"
            )

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


async def insert_generation(connection: asyncpg.Connection, log: int, new: Generation) -> None:
    """Note which keys sign from here on, in the transaction under way."""
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
