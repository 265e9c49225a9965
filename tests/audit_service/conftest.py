"""One PostgreSQL for the session, one database and one service a test."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from audit_service.settings import Settings
from audit_service.store.connect import arguments
from tests.audit_service.postgres import Postgres, free_port
from tests.audit_service.service import Service, make_settings, migrated, running, until_writer


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    folder = Path(tempfile.mkdtemp(prefix="cloister-audit-postgres-"))  # pytest's own folders are root's alone
    folder.chmod(0o755)
    server = Postgres(folder / "server", free_port())
    server.create()
    server.start()
    yield server
    server.destroy()
    folder.rmdir()


@pytest.fixture(scope="session")
def database(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The session's database and keys, migrated once."""
    return asyncio.run(migrated(make_settings(postgres, tmp_path_factory.mktemp("settings"))))


@pytest.fixture
async def settings(database: Settings) -> Settings:
    """The same database, emptied by its superuser; nobody else could."""
    connection = await asyncpg.connect(**arguments(database.database, database.database.name, database.database.admin))
    try:
        tables = "log, head, leaf, source, value, tile, checkpoint, span, posting, held_key"
        await connection.execute(f"TRUNCATE {tables} RESTART IDENTITY CASCADE")
    finally:
        await connection.close()
    return database


@pytest.fixture
async def service(settings: Settings, postgres: Postgres) -> AsyncIterator[Service]:
    async with running(settings, postgres) as found:
        await until_writer(found)
        yield found


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "audit_campaign: minutes of crashes and mutations, run with -m audit_campaign")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "audit_campaign" in (config.option.markexpr or ""):
        return
    long = [item for item in items if item.get_closest_marker("audit_campaign")]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if item not in long]
