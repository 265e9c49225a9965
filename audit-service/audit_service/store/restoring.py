"""A log is made again: everything of it in one transaction, as the service's own role, which can add and nothing else."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg

from audit_service.store.errors import StoreError, translated
from audit_service.store.records import Generation, LogRecord, NewLeaf, Signed, SourceHead, Value
from audit_service.store.writing import insert_generation, insert_log


class OtherEntryError(StoreError):
    """The database has another entry at an index than the one that is to be restored there."""

    def __init__(self, index: int) -> None:
        super().__init__(f"the database has another entry {index} than the copy")
        self.index = index


class RestoringStore:
    """One log's transaction. Methods raise StoreError's children."""

    def __init__(self, connection: asyncpg.Connection, number: int, size: int) -> None:
        self._connection = connection
        self.number, self.size = number, size

    async def add(self, leaves: Sequence[NewLeaf], erased: Sequence[Value]) -> None:
        """Add consecutive entries; compare those that the database has already. Raises OtherEntryError."""
        known = [leaf for leaf in leaves if leaf.index < self.size]
        fresh = [leaf for leaf in leaves if leaf.index >= self.size]
        async with translated():
            if known:
                rows = await self._connection.fetch(
                    "SELECT index, data FROM leaf WHERE log = $1 AND index >= $2 AND index <= $3",
                    self.number,
                    known[0].index,
                    known[-1].index,
                )
                stored = {row["index"]: row["data"] for row in rows}
                for leaf in known:
                    if stored.get(leaf.index) != leaf.data:
                        raise OtherEntryError(leaf.index)
            await self._connection.copy_records_to_table(
                "leaf",
                columns=("log", "index", "id", "hash", "data"),
                records=[(self.number, leaf.index, leaf.id, leaf.hash, leaf.data) for leaf in fresh],
            )
            sealed = [(leaf.index, field, value, None) for leaf in fresh for field, value in leaf.values]
            gone = [(value.index, value.field, None, value.erased_by) for value in erased if value.index >= self.size]
            await self._connection.copy_records_to_table(
                "value",
                columns=("log", "index", "field", "sealed", "erased_by"),
                records=[(self.number, *row) for row in sealed + gone],
            )

    async def keys(self, generations: Sequence[Generation]) -> None:
        """Note the keys that signed the log one after the other, unless the database has noted them."""
        async with translated():
            if not await self._connection.fetchval("SELECT count(*) FROM generation WHERE log = $1", self.number):
                for each in generations:
                    await insert_generation(self._connection, self.number, each)

    async def finish(
        self, size: int, sources: Mapping[tuple[str, str], SourceHead], erasures: Mapping[tuple[str, int], int]
    ) -> None:
        """Set how far the log goes and where its sources stand, and erase what the log says was erased.

        `erasures` names an entry's id and a field's number, and the entry that says it was erased.
        """
        async with translated():
            await self._connection.execute("UPDATE head SET size = $2 WHERE log = $1", self.number, size)
            await self._connection.executemany(
                "INSERT INTO source (log, kind, id, next, last) VALUES ($1, $2, $3, $4, $5) "
                "ON CONFLICT (log, kind, id) DO UPDATE SET next = excluded.next, last = excluded.last",
                [(self.number, *key, head.next, head.last) for key, head in sources.items()],
            )
            await self._connection.executemany(
                "UPDATE value SET sealed = NULL, erased_by = $4 FROM leaf "
                "WHERE leaf.log = $1 AND leaf.id = $2 AND value.log = $1 AND value.index = leaf.index "
                "AND value.field = $3 AND value.erased_by IS NULL",
                [(self.number, UUID(entry), field, by) for (entry, field), by in erasures.items()],
            )


@asynccontextmanager
async def restoring(
    connection: asyncpg.Connection, record: LogRecord, first: Signed, known: tuple[int, int] | None
) -> AsyncIterator[RestoringStore]:
    """Open the transaction. `known` is the log's number and size where the database has it; else it is created."""
    async with connection.transaction():
        async with translated():
            # Between two statements the store of the copy is read, which may take its time.
            await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            number, size = known or (await insert_log(connection, record, first), 0)
        yield RestoringStore(connection, number, size)


async def set_note(connection: asyncpg.Connection, log: int, signed: Signed) -> None:
    """Put the very checkpoint that was published in the place of one of the same tree that was just signed."""
    async with translated():
        await connection.execute(
            "UPDATE checkpoint SET note = $4 WHERE log = $1 AND size = $2 AND root = $3",
            log,
            signed.size,
            signed.root,
            signed.note,
        )


async def raise_fence(connection: asyncpg.Connection, fence: int) -> None:
    """Let the next writer's number be above every number that a restored log was written under."""
    async with translated():
        await connection.execute("UPDATE writer SET fence = $1 WHERE fence < $1", fence)
