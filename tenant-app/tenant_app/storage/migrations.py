"""Schema migrations: numbered SQL files, forward only, each in one transaction, safe beside the app of the version before."""

import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import psycopg
from psycopg import sql

from tenant_app.settings import DatabaseSection, DatabaseUser, read_secret

_NAME = re.compile(r"^(\d{4})_([a-z0-9_]+)\.sql$")
# Any number will do, as long as every migrator takes the same lock.
_LOCK = 0x436C6F69


class MigrationMismatch(RuntimeError):
    """An applied migration differs from the file of the same number: the schema is not what the code thinks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One SQL file of the package."""

    number: int
    name: str
    text: str

    @property
    def digest(self) -> str:
        """Return the SHA-256 of the file, kept with its number when applied."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def migrations() -> list[Migration]:
    """Return the package's migrations in order."""
    found = []
    for entry in files("tenant_app.storage").joinpath("sql").iterdir():
        match = _NAME.match(entry.name)
        if match:
            found.append(Migration(number=int(match[1]), name=match[2], text=entry.read_text(encoding="utf-8")))
    return in_order(found)


def in_order(found: list[Migration]) -> list[Migration]:
    """Return migrations by number. Gaps are fine: branches number apart. Raises MigrationMismatch when two have one number."""
    numbers = [migration.number for migration in found]
    if twice := sorted({number for number in numbers if numbers.count(number) > 1}):
        raise MigrationMismatch(f"more than one migration has the number {twice[0]:04d}")
    return sorted(found, key=lambda migration: migration.number)


def migrate(database: DatabaseSection) -> list[int]:
    """Bring the schema up to date as the owner; return the numbers applied now (none when there was nothing to do).

    Two migrators at once are fine: the second waits, then finds nothing to do.
    """
    if database.owner is None:
        raise ValueError("database.owner is missing from the configuration: migrate needs the schema's owner")
    with psycopg.connect(**connect_args(database, database.owner), autocommit=True) as conn:
        conn.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        conn.execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations (number integer PRIMARY KEY, name text NOT NULL,"
            " digest text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        applied: dict[int, str] = dict(conn.execute("SELECT number, digest FROM schema_migrations").fetchall())
        return [migration.number for migration in migrations() if _apply(conn, migration, applied)]


def _apply(conn: psycopg.Connection, migration: Migration, applied: dict[int, str]) -> bool:
    known = applied.get(migration.number)
    if known is not None:
        if known != migration.digest:
            raise MigrationMismatch(f"migration {migration.number:04d} was applied with other contents")
        return False
    with conn.transaction():
        # Own files of this package, not input: the one place where SQL text is not a literal.
        conn.execute(sql.SQL(migration.text))
        conn.execute(
            "INSERT INTO schema_migrations (number, name, digest) VALUES (%s, %s, %s)",
            (migration.number, migration.name, migration.digest),
        )
    return True


def connect_args(database: DatabaseSection, user: DatabaseUser) -> dict[str, Any]:
    """Return psycopg's connection arguments; the password is read anew, since it may have been rotated."""
    return {
        "host": database.host,
        "port": database.port,
        "dbname": database.name,
        "user": user.user,
        "password": read_secret(user.password_file),
        "sslmode": "verify-full",
        "sslrootcert": str(database.ca_file),
        "connect_timeout": 5,
        "application_name": "tenant-app",
    }
