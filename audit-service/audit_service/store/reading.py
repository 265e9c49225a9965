"""Everything that is read."""

from collections.abc import Iterable, Sequence
from typing import Final

import asyncpg

from audit_contract.merkle import HASH_SIZE
from audit_contract.tiles import WIDTH, Tile
from audit_service.store.connect import POOL_SECONDS
from audit_service.store.errors import DamagedError, translated
from audit_service.store.records import Generation, LogRecord, Signed, SourceHead, Stamped, Stored, Value
from audit_service.store.searching import question

_LOGS: Final = "SELECT number, name, origin, kind, tenant, namespace, region, retention_days, sealed_key FROM log "
_TILES: Final = f"""
SELECT CASE WHEN width = {WIDTH} THEN (
                SELECT hashes FROM tile WHERE (log, level, index) = ($1, asked.level, asked.index))
            WHEN level = 0 THEN (
                SELECT string_agg(hash, '' ORDER BY index) FROM leaf
                 WHERE log = $1 AND index >= asked.index * {WIDTH} AND index < asked.index * {WIDTH} + width)
            ELSE (
                SELECT string_agg(root, '' ORDER BY index) FROM tile
                 WHERE log = $1 AND level = asked.level - 1
                   AND index >= asked.index * {WIDTH} AND index < asked.index * {WIDTH} + width)
       END AS hashes
  FROM unnest($2::smallint[], $3::bigint[], $4::int[]) WITH ORDINALITY AS asked (level, index, width, number)
 ORDER BY number
"""  # noqa: S608  # the only thing put in is a constant
"""A tile that is not full is not stored: its hashes are the leaves' own, or the roots of the tiles below."""


class ReadingStore:
    """The store as everyone may see it. Methods raise StoreUnavailableError."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def _fetch(self, query: str, *values: object) -> list[asyncpg.Record]:
        async with translated(), self._pool.acquire(timeout=POOL_SECONDS) as connection:
            rows: list[asyncpg.Record] = await connection.fetch(query, *values)
            return rows

    async def ping(self) -> None:
        """Ask the server for an answer."""
        await self._fetch("SELECT 1")

    async def logs(self) -> list[LogRecord]:
        """Return every log."""
        return [LogRecord(*row) for row in await self._fetch(_LOGS + "ORDER BY number")]

    async def log(self, name: str) -> LogRecord | None:
        """Return the log with this name."""
        rows = await self._fetch(_LOGS + "WHERE name = $1", name)
        return LogRecord(*rows[0]) if rows else None

    async def size(self, log: int) -> int:
        """Return how many entries are durable."""
        rows = await self._fetch("SELECT size FROM head WHERE log = $1", log)
        size: int = rows[0]["size"]
        return size

    async def sizes(self) -> dict[int, tuple[int, int]]:
        """Return for every log how many entries are durable, and how many its checkpoint has."""
        rows = await self._fetch("SELECT log, head.size, checkpoint.size FROM head JOIN checkpoint USING (log)")
        return {row[0]: (row[1], row[2]) for row in rows}

    async def sources(self, log: int) -> dict[tuple[str, str], SourceHead]:
        """Return where every source of the log stands."""
        rows = await self._fetch("SELECT kind, id, next, last FROM source WHERE log = $1", log)
        return {(row["kind"], row["id"]): SourceHead(row["next"], row["last"]) for row in rows}

    async def known(self, log: int, ids: Sequence[str]) -> dict[str, Stored]:
        """Return those of the ids that the log already has."""
        rows = await self._fetch(
            "SELECT id, index, hash, data FROM leaf WHERE log = $1 AND id = ANY($2::uuid[])", log, list(ids)
        )
        return {str(row["id"]): Stored(row["index"], row["hash"], row["data"]) for row in rows}

    async def checkpoint(self, log: int) -> Signed:
        """Return the last checkpoint."""
        rows = await self._fetch("SELECT size, root, note FROM checkpoint WHERE log = $1", log)
        return Signed(*rows[0])

    async def standing(self, log: int) -> tuple[int, Signed]:
        """Return how many entries are durable, and the last checkpoint."""
        query = "SELECT head.size, checkpoint.size, root, note FROM head JOIN checkpoint USING (log) WHERE log = $1"
        size, *signed = (await self._fetch(query, log))[0]
        return size, Signed(*signed)

    async def checkpoints(self) -> list[tuple[str, Signed]]:
        """Return every log's name and last checkpoint."""
        rows = await self._fetch("SELECT name, size, root, note FROM checkpoint JOIN log ON number = log ORDER BY log")
        return [(row["name"], Signed(row["size"], row["root"], row["note"])) for row in rows]

    async def cosigned(self, log: int) -> bytes | None:
        """Return the last cosigned checkpoint's note, None when there is none yet."""
        rows = await self._fetch("SELECT note FROM cosigned WHERE log = $1", log)
        return rows[0]["note"] if rows else None

    async def unstamped(self, authority: str, seconds: float) -> list[int]:
        """Return the logs that have grown since this authority last stamped them, longer ago than that."""
        rows = await self._fetch(
            "SELECT c.log FROM checkpoint c LEFT JOIN stamp s ON s.log = c.log AND s.authority = $1 "
            "WHERE c.size > 0 GROUP BY c.log, c.size HAVING coalesce(max(s.size), 0) < c.size "
            "AND coalesce(max(s.at), '-infinity') < now() - make_interval(secs => $2) ORDER BY c.log",
            authority,
            seconds,
        )
        return [row["log"] for row in rows]

    async def stamps(self, log: int, size: int, limit: int) -> list[Stamped]:
        """Return the newest stamps of the log up to a size, at most `limit` of each authority, in the order of size."""
        rows = await self._fetch(
            "SELECT size, authority, note, request, reply FROM (SELECT *, "
            "row_number() OVER (PARTITION BY authority ORDER BY size DESC) AS place FROM stamp WHERE log = $1 AND size <= $2) "
            "AS newest WHERE place <= $3 ORDER BY size, authority",
            log,
            size,
            limit,
        )
        return [Stamped(*row) for row in rows]

    async def generations(self, log: int) -> list[Generation]:
        """Return the keys that have signed the log, one generation after the other."""
        rows = await self._fetch(
            "SELECT number, vkeys, announced, size, note FROM generation WHERE log = $1 ORDER BY number", log
        )
        return [Generation(row[0], tuple(row[1]), *row[2:]) for row in rows]

    async def unwitnessed(self) -> list[int]:
        """Return the logs whose last checkpoint is not cosigned."""
        rows = await self._fetch(
            "SELECT c.log FROM checkpoint c LEFT JOIN cosigned w USING (log) "
            "WHERE c.size > coalesce(w.size, -1) ORDER BY c.log"
        )
        return [row["log"] for row in rows]

    async def leaves(self, log: int, begin: int, end: int) -> list[Stored]:
        """Return the entries from `begin` to `end` - 1. Raises DamagedError when one is missing."""
        rows = await self._fetch(
            "SELECT index, hash, data FROM leaf WHERE log = $1 AND index >= $2 AND index < $3 ORDER BY index",
            log,
            begin,
            end,
        )
        if [row["index"] for row in rows] != list(range(begin, end)):
            raise DamagedError(f"log {log}: the store has not every entry from {begin} to {end - 1}")
        return [Stored(*row) for row in rows]

    async def values(self, log: int, begin: int, end: int) -> list[Value]:
        """Return the values beside the entries from `begin` to `end` - 1, in order."""
        rows = await self._fetch(
            "SELECT index, field, sealed, erased_by FROM value "
            "WHERE log = $1 AND index >= $2 AND index < $3 ORDER BY index, field",
            log,
            begin,
            end,
        )
        return [Value(*row) for row in rows]

    async def tile(self, log: int, tile: Tile) -> bytes | None:
        """Return a tile's hashes, full or partial; None when the log has not grown to it."""
        return (await self.tiles(log, [tile])).get(tile)

    async def tiles(self, log: int, wanted: Iterable[Tile]) -> dict[Tile, bytes]:
        """Return tiles' hashes; one that is missing is left out."""
        asked = sorted(set(wanted))
        columns = ([tile.level for tile in asked], [tile.index for tile in asked], [tile.width for tile in asked])
        rows = await self._fetch(_TILES, log, *columns)
        found = zip(asked, (row["hashes"] for row in rows), strict=True)
        return {tile: data for tile, data in found if data is not None and len(data) == tile.width * HASH_SIZE}

    async def find(
        self, log: int, begin: int, limit: int, filters: dict[str, str], size: int, *, newest: bool = False
    ) -> list[int]:
        """Return the indices of integrated entries from `begin` to before `size` that fit every filter, in order.

        With `newest` the last ones come first. Filters: actor, object_type, object_id, action (equal), since and until
        (event times, ISO 8601).
        """
        query, values = question(log, begin, size, filters, limit, newest=newest)
        return [row[0] for row in await self._fetch(query, *values)]

    async def entries(self, log: int, indices: Sequence[int]) -> list[Stored]:
        """Return these entries, in order."""
        rows = await self._fetch(
            "SELECT index, hash, data FROM leaf WHERE log = $1 AND index = ANY($2::bigint[]) ORDER BY index",
            log,
            list(indices),
        )
        return [Stored(*row) for row in rows]
