"""People, sessions and failed sign-ins."""

from datetime import datetime
from typing import Any

from tenant_app.domain.identity import SessionEnd
from tenant_app.domain.lockout import Failures, Scope
from tenant_app.storage.database import Conn, Row


async def find_person(conn: Conn, sub: str) -> bytes | None:
    """Return the sealed description of a person, or None before their first sign-in."""
    cursor = await conn.execute("SELECT sealed FROM people WHERE sub = %s", (sub,))
    row = await cursor.fetchone()
    return row["sealed"] if row else None


async def is_suspended(conn: Conn, sub: str) -> bool:
    """Say whether a loss was reported for a person and nobody has restored their access."""
    cursor = await conn.execute("SELECT 1 FROM people WHERE sub = %s AND suspended_at IS NOT NULL", (sub,))
    return await cursor.fetchone() is not None


async def keep_person(conn: Conn, sub: str, sealed: bytes) -> None:
    """Store a person's newest description."""
    await conn.execute(
        "INSERT INTO people (sub, sealed) VALUES (%s, %s)"
        " ON CONFLICT (sub) DO UPDATE SET sealed = excluded.sealed, updated_at = now()",
        (sub, sealed),
    )


async def all_people(conn: Conn) -> list[Row]:
    """Return everyone who ever signed in: sub, sealed, enrolled_at, live (count of live sessions)."""
    cursor = await conn.execute(
        "SELECT p.sub, p.sealed, p.enrolled_at, p.suspended_at, count(s.id_hash) AS live FROM people p"
        " LEFT JOIN sessions s ON s.sub = p.sub AND s.ended_at IS NULL GROUP BY p.sub ORDER BY p.enrolled_at"
    )
    return await cursor.fetchall()


async def lock_person(conn: Conn, sub: str) -> None:
    """Let one sign-in of a person at a time through: a hundred at once leave exactly the limit (AT-48).

    Before the session is inserted, since its foreign key would take a weaker lock that two of them cannot both raise.
    """
    await conn.execute("SELECT 1 FROM people WHERE sub = %s FOR UPDATE", (sub,))


async def open_session(conn: Conn, row: dict[str, Any]) -> None:
    """Insert a session: id_hash, sub, roles, csrf, client_hash, at, factor, method."""
    await conn.execute(
        "INSERT INTO sessions (id_hash, sub, roles, csrf, client_hash, signed_in_at, last_seen_at, factor, method)"
        " VALUES (%(id_hash)s, %(sub)s, %(roles)s, %(csrf)s, %(client_hash)s, %(at)s, %(at)s,"
        " %(factor)s, %(method)s)",
        row,
    )


async def displace(conn: Conn, sub: str, keep: int, now: datetime) -> int:
    """End the person's oldest live sessions beyond `keep`; return how many. After `lock_person`."""
    cursor = await conn.execute(
        "UPDATE sessions SET ended_at = %s, end_reason = %s WHERE id_hash IN (SELECT id_hash FROM sessions"
        " WHERE sub = %s AND ended_at IS NULL ORDER BY signed_in_at DESC, id_hash OFFSET %s)",
        (now, SessionEnd.DISPLACED, sub, keep),
    )
    return cursor.rowcount


async def live_session(conn: Conn, id_hash: bytes) -> Row | None:
    """Return a live session joined with its person's sealed description."""
    cursor = await conn.execute(
        "SELECT s.*, p.sealed FROM sessions s JOIN people p USING (sub) WHERE s.id_hash = %s AND s.ended_at IS NULL",
        (id_hash,),
    )
    return await cursor.fetchone()


async def touch(conn: Conn, id_hash: bytes, now: datetime) -> None:
    """Move the idle clock."""
    await conn.execute("UPDATE sessions SET last_seen_at = %s WHERE id_hash = %s", (now, id_hash))


async def end_session(conn: Conn, id_hash: bytes, reason: SessionEnd, now: datetime) -> bool:
    """End one session; False when it had ended already."""
    cursor = await conn.execute(
        "UPDATE sessions SET ended_at = %s, end_reason = %s WHERE id_hash = %s AND ended_at IS NULL",
        (now, reason, id_hash),
    )
    return cursor.rowcount == 1


async def end_all(conn: Conn, sub: str, reason: SessionEnd, now: datetime) -> int:
    """End every live session of a person; return how many."""
    cursor = await conn.execute(
        "UPDATE sessions SET ended_at = %s, end_reason = %s WHERE sub = %s AND ended_at IS NULL", (now, reason, sub)
    )
    return cursor.rowcount


async def expire(conn: Conn, idle_before: datetime, absolute_before: datetime, now: datetime) -> list[Row]:
    """End every session whose time is over though nobody came back to hear it; return sub, id_hash and end_reason of each."""
    cursor = await conn.execute(
        "UPDATE sessions SET ended_at = %(now)s,"
        " end_reason = CASE WHEN signed_in_at <= %(absolute)s THEN 'absolute' ELSE 'idle' END"
        " WHERE ended_at IS NULL AND (last_seen_at <= %(idle)s OR signed_in_at <= %(absolute)s)"
        " RETURNING sub, id_hash, end_reason",
        {"now": now, "idle": idle_before, "absolute": absolute_before},
    )
    return await cursor.fetchall()


async def live_people(conn: Conn) -> dict[str, frozenset[str]]:
    """Return everyone with a live session, with the roles that their sessions carry."""
    cursor = await conn.execute("SELECT sub, roles FROM sessions WHERE ended_at IS NULL")
    found: dict[str, frozenset[str]] = {}
    for row in await cursor.fetchall():
        found[row["sub"]] = found.get(row["sub"], frozenset()) | frozenset(row["roles"])
    return found


async def set_roles(conn: Conn, sub: str, roles: list[str]) -> None:
    """Give every live session of a person the roles that the directory says now (AT-20)."""
    await conn.execute("UPDATE sessions SET roles = %s WHERE sub = %s AND ended_at IS NULL", (roles, sub))


async def failures(conn: Conn, keys: dict[Scope, bytes]) -> list[Failures]:
    """Return the counters of these keys."""
    cursor = await conn.execute(
        "SELECT scope, count, last_at FROM sign_in_failures WHERE (scope, key) IN"
        " (SELECT * FROM unnest(%s::text[], %s::bytea[]))",
        ([scope.value for scope in keys], list(keys.values())),
    )
    rows = await cursor.fetchall()
    return [Failures(scope=Scope(row["scope"]), count=row["count"], last_at=row["last_at"]) for row in rows]


async def count_failure(conn: Conn, keys: dict[Scope, bytes], now: datetime, forget_before: datetime) -> None:
    """Add one failure to each counter, starting again where the last one is long past."""
    async with conn.cursor() as cursor:
        await cursor.executemany(
            "INSERT INTO sign_in_failures AS f (scope, key, count, last_at) VALUES (%s, %s, 1, %s)"
            " ON CONFLICT (scope, key) DO UPDATE SET last_at = excluded.last_at,"
            " count = CASE WHEN f.last_at < %s THEN 1 ELSE f.count + 1 END",
            [(scope.value, key, now, forget_before) for scope, key in sorted(keys.items())],
        )


async def forget_failures(conn: Conn, keys: dict[Scope, bytes]) -> None:
    """Clear counters after a success."""
    for scope, key in sorted(keys.items()):
        await conn.execute("DELETE FROM sign_in_failures WHERE scope = %s AND key = %s", (scope.value, key))


async def live_sessions(conn: Conn, sub: str) -> list[Row]:
    """Return a person's live sessions, newest first: signed_in_at and last_seen_at of each."""
    cursor = await conn.execute(
        "SELECT signed_in_at, last_seen_at FROM sessions WHERE sub = %s AND ended_at IS NULL ORDER BY signed_in_at DESC",
        (sub,),
    )
    return await cursor.fetchall()
