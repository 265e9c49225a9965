"""Search against a naive one: every filter, alone and together, over spans of any length; and what was there before spans."""

import itertools
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import orjson
import pytest

from audit_contract.entry import Actor, ObjectRef, timestamp
from audit_service.settings import Settings
from audit_service.store import migrate as migrating
from audit_service.store.connect import arguments, open_pool
from audit_service.store.postings import SPAN, search_rows
from audit_service.store.reading import ReadingStore
from audit_service.store.records import Stored
from audit_service.store.searching import question
from tests.audit_service.postgres import Postgres
from tests.audit_service.service import Service, draft, make_settings

LOG, OTHER = 7, 8
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def _made(count: int, dice: random.Random) -> list[dict[str, Any]]:
    """Return facts of entries: few actors, more objects, and times that do not follow the index."""
    return [
        {
            "actor": f"u-{dice.randrange(4)}",
            "object_id": f"doc-{dice.randrange(40)}",
            "object_type": dice.choice(["Document", "Tenant"]),
            "action": dice.choice(["app:document:create", "app:document:read", "app:session:begin"]),
            "event": timestamp(BEGAN + timedelta(seconds=number - dice.randrange(900))),
        }
        for number in range(count)
    ]


def _stored(index: int, facts: dict[str, Any]) -> Stored:
    leaf = {
        "action": facts["action"],
        "actor": {"sub": facts["actor"]},
        "object": {"id": facts["object_id"], "type": facts["object_type"]},
        "t": {"event": facts["event"]},
    }
    return Stored(index, b"", orjson.dumps(leaf))


async def _fill(connection: asyncpg.Connection, log: int, made: list[dict[str, Any]], lengths: list[int]) -> None:
    """Put search rows there as the integrator's statement does, in spans of these lengths."""
    start = 0
    for length in lengths:
        rows = search_rows([_stored(start + at, each) for at, each in enumerate(made[start : start + length])])
        await connection.execute(
            "INSERT INTO span VALUES ($1, $2, $3::text::timestamptz, $4::text::timestamptz, $5::text::timestamptz[])",
            log,
            *rows.span,
        )
        await connection.executemany(
            "INSERT INTO posting (log, start, facet, value, offsets) VALUES ($1, $2, $3, $4, $5::text::smallint[])",
            [(log, start, *row) for row in rows.postings],
        )
        start += length


def _naive(made: list[dict[str, Any]], filters: dict[str, str], begin: int, size: int) -> list[int]:
    def fits(facts: dict[str, Any]) -> bool:
        equal = all(facts[key] == value for key, value in filters.items() if key not in {"since", "until"})
        return equal and filters.get("since", "") <= facts["event"] < filters.get("until", "9")

    return [index for index in range(begin, size) if fits(made[index])]


def _questions(dice: random.Random) -> list[dict[str, str]]:
    whole = {
        "actor": "u-1",
        "object_id": "doc-3",
        "object_type": "Document",
        "action": "app:document:read",
        "since": timestamp(BEGAN + timedelta(seconds=dice.randrange(2000))),
        "until": timestamp(BEGAN + timedelta(seconds=2000 + dice.randrange(2000))),
    }
    subsets = itertools.chain.from_iterable(itertools.combinations(whole, count) for count in range(1, 7))
    return [{key: whole[key] for key in each} for each in subsets] + [
        {"actor": "nobody"},
        {"since": "2099-01-01T00:00:00Z"},
    ]


async def test_every_filter_finds_what_a_naive_search_finds(settings: Settings) -> None:
    dice = random.Random(4)  # noqa: S311  # a test's choice
    lengths = [1, 1, 2, 7, SPAN, 1, 300, SPAN, 92]
    made = _made(sum(lengths), dice)
    pool = await open_pool(settings.database)
    try:
        async with pool.acquire() as connection:
            await _fill(connection, LOG, made, lengths)
            await _fill(connection, OTHER, _made(500, dice), [500])
        reading = ReadingStore(pool)
        for filters in _questions(dice):
            for begin, size in ((0, len(made)), (5, 2100), (2059, 2060), (len(made) - 1, len(made)), (40, 40)):
                expected = _naive(made, filters, begin, size)
                said = (filters, begin, size)
                assert await reading.find(LOG, begin, 10_000, filters, size) == expected, said
                assert await reading.find(LOG, begin, 7, filters, size) == expected[:7], said
                newest = await reading.find(LOG, begin, 7, filters, size, newest=True)
                assert newest == expected[::-1][:7], said
    finally:
        await pool.close()


async def test_a_page_is_read_without_reading_the_rest(settings: Settings) -> None:
    """A common value in a long log: the plan takes span after span and stops when the page is full."""
    pool = await open_pool(settings.database)
    try:
        async with pool.acquire() as connection:
            made = _made(20_000, random.Random(5))  # noqa: S311  # a test's choice
            await _fill(connection, LOG, made, [4] * 5_000)
        admin = arguments(settings.database, settings.database.name, settings.database.admin)
        owner = await asyncpg.connect(**admin)
        await owner.execute("ANALYZE span, posting")
        try:
            for filters in (
                {"actor": "u-1"},
                {"actor": "u-1", "action": "app:document:read"},
                {"since": made[0]["event"]},
            ):
                for newest in (False, True):
                    query, values = question(LOG, 0, len(made), filters, 10, newest=newest)
                    [row] = await owner.fetch("EXPLAIN (ANALYZE, FORMAT JSON) " + query, *values)
                    read = _rows_read(orjson.loads(row[0])[0]["Plan"])
                    assert read < 2_000, (filters, newest, read)
        finally:
            await owner.close()
    finally:
        await pool.close()


def _rows_read(plan: dict[str, Any]) -> float:
    """Return how many rows the scans of tables gave."""
    own = plan["Actual Rows"] * plan["Actual Loops"] if plan["Node Type"].endswith("Scan") else 0
    return own + sum(_rows_read(each) for each in plan.get("Plans", []))


async def test_values_as_long_as_they_may_be_are_integrated_and_found(service: Service) -> None:
    """1024 characters of four bytes each are more than an index of PostgreSQL takes, and cannot be compressed into it."""
    dice = random.Random(6)  # noqa: S311  # a test's choice
    long = "".join(chr(dice.randrange(0x20000, 0x2A6DF)) for _ in range(1024))
    async with service.client() as client, service.http() as http:
        log = await service.tenant_log(client)
        made = draft(actor=Actor(type="user", sub=long), object=ObjectRef(type="ConfigMap", id=long[::-1]))
        await client.append(log, [made, draft()])
        await service.signed(log, 3)
        for query in (
            {"actor": long},
            {"object": long[::-1]},
            {"actor": long, "object": long[::-1], "type": "ConfigMap"},
        ):
            found = (await http.get(f"/v1/logs/{log}/entries", params=query)).json()["entries"]
            assert [row["entry"]["id"] for row in found] == [made.id]


async def test_what_was_found_before_spans_is_found_after(
    postgres: Postgres, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings(postgres, tmp_path)
    whole = migrating.migrations()
    with monkeypatch.context() as before:
        before.setattr(migrating, "migrations", lambda: whole[:3])
        await migrating.migrate(settings.database)
    made = _made(2 * SPAN + 60, random.Random(7))  # noqa: S311  # a test's choice
    owner = await asyncpg.connect(**arguments(settings.database, settings.database.name, settings.database.admin))
    try:
        await owner.execute(
            "INSERT INTO log (name, origin, kind, tenant, namespace, region, retention_days, sealed_key) "
            "VALUES ('a', 'o', 'tenant', '', '', '', 0, '')"
        )
        columns = ("actor", "object_type", "object_id", "action")
        await owner.copy_records_to_table(
            "finding",
            columns=("log", "index", *columns, "event"),
            records=[
                (1, index, *(each[key] for key in columns), datetime.fromisoformat(each["event"]))
                for index, each in enumerate(made)
            ],
        )
        await migrating.migrate(settings.database)
        assert await owner.fetchval("SELECT to_regclass('finding')") is None
    finally:
        await owner.close()
    pool = await open_pool(settings.database)
    try:
        reading = ReadingStore(pool)
        for filters in _questions(random.Random(8)):  # noqa: S311  # a test's choice
            assert await reading.find(1, 0, 10_000, filters, len(made)) == _naive(made, filters, 0, len(made)), filters
    finally:
        await pool.close()
