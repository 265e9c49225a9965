"""`python -m audit_service migrate`: make the database, its roles and its tables, as a superuser. Forward only, idempotent.

Two roles: `audit_owner` owns the tables and cannot log in; the service's own role logs in and can only add and read.
"""

import logging
from hashlib import sha256
from importlib.resources import files

import asyncpg

from audit_service.settings import Database, secret
from audit_service.store.connect import arguments

_log = logging.getLogger(__name__)
_LOCK = 0x636C6F6973746572
OWNER = "audit_owner"


class MigrateError(RuntimeError):
    """The database is not one that this program's migrations lead to."""


def migrations() -> list[tuple[str, str]]:
    """Return (file name, SQL) of every migration, in order."""
    folder = files("audit_service.store") / "sql"
    return sorted((each.name, each.read_text()) for each in folder.iterdir() if each.name.endswith(".sql"))


async def migrate(database: Database) -> list[str]:
    """Bring the database up to date; return what was done.

    Raises MigrateError when an applied migration's text has changed, asyncpg's errors when the server refuses.
    """
    if database.admin is None:
        raise MigrateError("database.admin: migrate needs a superuser's login")
    done = []
    server = await asyncpg.connect(**arguments(database, database.admin.database, database.admin))
    try:
        if not await server.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", database.name):
            await server.execute(f"CREATE DATABASE {quote(database.name)}")
            done.append(f"database {database.name}")
        done += await _roles(server, database)
    finally:
        await server.close()
    connection = await asyncpg.connect(**arguments(database, database.name, database.admin))
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
            done += await _tables(connection, database.user)
    finally:
        await connection.close()
    for each in done:
        _log.info("migrated: %s", each)
    return done


async def _roles(server: asyncpg.Connection, database: Database) -> list[str]:
    done = []
    for role, options in ((OWNER, "NOLOGIN"), (database.user, "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS")):
        if not await server.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role):
            await server.execute(f"CREATE ROLE {quote(role)} {options}")
            done.append(f"role {role}")
    password = secret(database.password_file)
    if password is not None:
        literal = await server.fetchval("SELECT quote_literal($1::text)", password)
        await server.execute(f"ALTER ROLE {quote(database.user)} PASSWORD {literal}")
    await server.execute(f"REVOKE ALL ON DATABASE {quote(database.name)} FROM PUBLIC")
    await server.execute(f"GRANT CONNECT ON DATABASE {quote(database.name)} TO {quote(database.user)}")
    return done


async def _tables(connection: asyncpg.Connection, user: str) -> list[str]:
    await connection.execute(f"GRANT USAGE, CREATE ON SCHEMA public TO {OWNER}")
    await connection.execute(f"GRANT USAGE ON SCHEMA public TO {quote(user)}")
    await connection.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    await connection.execute(f"SET LOCAL ROLE {OWNER}")
    await connection.execute("CREATE TABLE IF NOT EXISTS migration (name text PRIMARY KEY, sha256 text NOT NULL)")
    await connection.execute(f"GRANT SELECT ON migration TO {quote(user)}")
    applied = dict(await connection.fetch("SELECT name, sha256 FROM migration"))
    done = []
    for name, sql in migrations():
        digest = sha256(sql.encode()).hexdigest()
        if applied.get(name, digest) != digest:
            raise MigrateError(f"{name} was applied with other text; migrations are never edited")
        if name not in applied:
            await connection.execute(sql.replace("audit_service", quote(user)))
            await connection.execute("INSERT INTO migration VALUES ($1, $2)", name, digest)
            done.append(name)
    return done


def quote(identifier: str) -> str:
    """Return a PostgreSQL identifier in quotes."""
    return '"' + identifier.replace('"', '""') + '"'
