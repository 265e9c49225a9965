"""The statements of `clients.postgres`: read from the catalogue, compare, change. Identifiers are always quoted by psycopg."""

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import sql

from tenant_operator.api.reasons import Reason
from tenant_operator.clients import scram
from tenant_operator.errors import Retryable
from tenant_operator.stack.part import External, ExternalKey

Connection = psycopg.AsyncConnection[Any]

_ATTRIBUTES: Mapping[str, tuple[str, str]] = {
    "login": ("rolcanlogin", "LOGIN"),
    "superuser": ("rolsuper", "SUPERUSER"),
    "createDatabase": ("rolcreatedb", "CREATEDB"),
    "createRole": ("rolcreaterole", "CREATEROLE"),
    "replication": ("rolreplication", "REPLICATION"),
    "bypassRowSecurity": ("rolbypassrls", "BYPASSRLS"),
}
_OTHER_PASSWORD = -1
"""The epoch of a password that is not the wanted one: which one it is, nobody can tell."""

_ROLE = """
SELECT rolcanlogin, rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls, rolpassword,
       ARRAY(SELECT g.rolname::text FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
             WHERE m.member = r.oid ORDER BY 1)
FROM pg_authid r WHERE rolname = %s
"""
_DATABASE = """
SELECT pg_get_userbyid(datdba)::text, has_database_privilege('public', datname, 'CONNECT'),
       ARRAY(SELECT r.rolname::text FROM aclexplode(coalesce(datacl, acldefault('d', datdba))) a
             JOIN pg_roles r ON r.oid = a.grantee WHERE a.privilege_type = 'CONNECT' ORDER BY 1)
FROM pg_database WHERE datname = %s
"""


async def read_role(db: Connection, wanted: External) -> dict[str, Any] | None:
    """Return a role's attributes; `passwordEpoch` is the wanted one when the stored verifier is of the wanted password."""
    cursor = await db.execute(_ROLE, (wanted.key.name,))
    row = await cursor.fetchone()
    if row is None:
        return None
    found = dict(zip(_ATTRIBUTES, row, strict=False))
    ours = scram.matches(wanted.secret["password"], row[6])
    return {
        **found,
        "memberOf": sorted(row[7]),
        "passwordEpoch": wanted.spec["passwordEpoch"] if ours else _OTHER_PASSWORD,
    }


async def ensure_role(db: Connection, wanted: External) -> str:
    """Create or alter a role in one transaction; the password is written only when it is another."""
    name, spec = sql.Identifier(wanted.key.name), wanted.spec
    async with db.transaction():
        seen = await read_role(db, wanted)
        if seen is None:
            await db.execute(sql.SQL("CREATE ROLE {}").format(name))
        flags: list[sql.Composable] = [
            sql.SQL(word if spec[field] else f"NO{word}") for field, (_, word) in _ATTRIBUTES.items()
        ]
        if seen is None or seen["passwordEpoch"] != spec["passwordEpoch"]:
            flags.append(sql.SQL("PASSWORD {}").format(sql.Literal(scram.verifier(wanted.secret["password"]))))
        await db.execute(sql.SQL("ALTER ROLE {} WITH {}").format(name, sql.SQL(" ").join(flags)))
        have, want = set(seen["memberOf"]) if seen else set(), set(spec["memberOf"])
        for group in sorted(want - have):
            await db.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(group), name))
        for group in sorted(have - want):
            await db.execute(sql.SQL("REVOKE {} FROM {}").format(sql.Identifier(group), name))
    if seen is None:
        return "create"
    return "rotate" if {**seen, "passwordEpoch": spec["passwordEpoch"]} == dict(spec) != seen else "update"


async def read_database(db: Connection, name: str) -> dict[str, Any] | None:
    """Return a database's owner and who may connect to it."""
    cursor = await db.execute(_DATABASE, (name,))
    row = await cursor.fetchone()
    return None if row is None else {"owner": row[0], "publicConnect": row[1], "connect": sorted(row[2])}


async def ensure_database(db: Connection, wanted: External) -> str:
    """Create a database if it is not there, then give it its owner and grants. Raises Retryable while the owner is missing."""
    name, owner = sql.Identifier(wanted.key.name), sql.Identifier(wanted.spec["owner"])
    if not await exists(db, ExternalKey("postgres", "role", wanted.spec["owner"])):
        raise Retryable(f"role {wanted.spec['owner']} has to be made first", reason=Reason.WAITING)
    seen = await read_database(db, wanted.key.name)
    if seen is None:
        await db.execute(sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0").format(name, owner))
    async with db.transaction():
        now = await read_database(db, wanted.key.name) or {}
        if now.get("owner") != wanted.spec["owner"]:
            await db.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(name, owner))
        if not wanted.spec["publicConnect"]:
            await db.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
        have, want = set(now.get("connect", ())), set(wanted.spec["connect"])
        for role in sorted(want):
            await db.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(name, sql.Identifier(role)))
        for role in sorted(have - want):
            await db.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM {}").format(name, sql.Identifier(role)))
    return "create" if seen is None else "update"


async def drop(db: Connection, key: ExternalKey) -> None:
    """Drop a role or a database, if it is there."""
    statement = {
        "role": sql.SQL("DROP ROLE IF EXISTS {}"),
        "database": sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)"),
    }[key.kind]
    await db.execute(statement.format(sql.Identifier(key.name)))


async def exists(db: Connection, key: ExternalKey) -> bool:
    """Tell whether a role or a database is in the catalogue."""
    query = {
        "role": "SELECT 1 FROM pg_roles WHERE rolname = %s",
        "database": "SELECT 1 FROM pg_database WHERE datname = %s",
    }[key.kind]
    cursor = await db.execute(query, (key.name,))
    return await cursor.fetchone() is not None
