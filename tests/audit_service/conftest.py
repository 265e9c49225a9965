"""One PostgreSQL for the session, one database and one service a test."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from audit_service.settings import Settings
from tests.audit_service.postgres import Postgres, free_port
from tests.audit_service.service import Service, make_settings, migrated, running, until_writer


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    folder = tmp_path_factory.mktemp("postgres")
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(0o755)  # the server runs as another user than root
    server = Postgres(folder / "server", free_port())
    server.create()
    server.start()
    yield server
    server.destroy()


@pytest.fixture
async def settings(postgres: Postgres, tmp_path: Path) -> Settings:
    return await migrated(make_settings(postgres, tmp_path))


@pytest.fixture
async def service(settings: Settings, postgres: Postgres) -> AsyncIterator[Service]:
    async with running(settings, postgres) as found:
        await until_writer(found)
        yield found
