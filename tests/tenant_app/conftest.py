"""Fixtures: one PostgreSQL and one slapd for the session, one database per test cloned from a migrated template."""

import itertools
import json
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tenant_app import factory, settings
from tenant_app.adapters.directory import LdapDirectory
from tenant_app.storage.migrations import migrate
from tests.tenant_app.support import people
from tests.tenant_app.support.certificates import Authority
from tests.tenant_app.support.fakes import FakeAuditLog, FakeKeys
from tests.tenant_app.support.ground import configuration, make_roles
from tests.tenant_app.support.processes import postgres, slapd
from tests.tenant_app.support.site import Site

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def ground() -> Iterator[Path]:
    """A folder that a server without root can reach."""
    folder = Path(tempfile.mkdtemp(prefix="cloister-app-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def authority(ground: Path) -> Authority:
    return Authority(ground / "pki")


@dataclass(frozen=True)
class Server:
    port: int
    data: Path

    def admin(self, database: str = "postgres") -> psycopg.Connection:
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user="postgres", password="superuser-password", dbname=database,
            sslmode="require", autocommit=True,
        )  # fmt: skip


@pytest.fixture(scope="session")
def server(ground: Path, authority: Authority) -> Iterator[Server]:
    pair = authority.issue("database")
    with postgres(ground / "postgres", pair.cert, pair.key) as (port, data):
        found = Server(port=port, data=data)
        with found.admin() as conn:
            make_roles(conn)
        yield found


@pytest.fixture(scope="session")
def directory(ground: Path, authority: Authority) -> Iterator[tuple[int, int]]:
    pair = authority.issue("directory")
    with slapd(ground / "slapd", authority.ca, pair.cert, pair.key, people.ldif()) as ports:
        yield ports


@pytest.fixture(scope="session")
def config(ground: Path, authority: Authority, server: Server, directory: tuple[int, int]) -> dict:
    """The configuration file as the operator would render it, for the template database."""
    return configuration(ground, authority, server.port, directory[0])


@pytest.fixture(scope="session")
def migrated(config: dict, server: Server) -> str:
    migrate(settings.Settings.model_validate(config).database)
    return "template_app"


@pytest.fixture
def fresh(config: dict, server: Server, migrated: str) -> Iterator[settings.Settings]:
    """Settings whose database is this test's own."""
    name = f"app_{next(_numbers)}"
    with server.admin() as conn:
        conn.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template_app OWNER app_owner").format(sql.Identifier(name)))
    own = json.loads(json.dumps(config))
    own["database"]["name"] = name
    own["tenant"]["id"] = str(uuid.uuid4())
    yield settings.Settings.model_validate(own)
    with server.admin() as conn:
        conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def keys() -> FakeKeys:
    return FakeKeys()


@pytest.fixture
def audit() -> FakeAuditLog:
    return FakeAuditLog()


@pytest.fixture
async def app(fresh: settings.Settings, keys: FakeKeys, audit: FakeAuditLog) -> AsyncIterator[factory.App]:
    """The whole app on a real database and a real directory, its background work not started."""
    built = factory.build(fresh, factory.Ports(keys=keys, directory=LdapDirectory(fresh.ldap), audit=audit))
    await built.database.open()
    yield built
    await built.close()


@pytest.fixture
async def site(app: factory.App) -> AsyncIterator[Site]:
    """The web application in process, and browsers to sign in with."""
    made = Site(app)
    yield made
    await made.close()
