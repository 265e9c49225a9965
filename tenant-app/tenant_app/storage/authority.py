"""Grants, training, and the count of changes of a person's authority."""

from datetime import datetime
from typing import Any
from uuid import UUID

from tenant_app.domain.authority import Held
from tenant_app.storage.database import Conn, Row

_STANDING = (
    "SELECT p.sub, p.authority, p.suspended_at,"
    " (SELECT coalesce(json_agg(json_build_array(g.id, g.name, g.valid_until)), '[]') FROM grants g"
    "  WHERE g.sub = p.sub AND g.ended_at IS NULL) AS grants,"
    " (SELECT coalesce(json_agg(json_build_array(t.id, t.name, t.valid_until)), '[]') FROM trainings t"
    "  WHERE t.sub = p.sub AND t.lapsed_at IS NULL) AS trainings"
    " FROM people p WHERE %(sub)s::text IS NULL OR p.sub = %(sub)s"
)


async def standing(conn: Conn, sub: str) -> Row | None:
    """Return authority, suspended_at, grants and trainings (each a list of Held, lapsed ones included) of a person."""
    cursor = await conn.execute(_STANDING, {"sub": sub})
    row = await cursor.fetchone()
    return _standing(row) if row else None


async def standings(conn: Conn) -> dict[str, Row]:
    """Return the same of everybody, by id: one statement however many there are."""
    cursor = await conn.execute(_STANDING, {"sub": None})
    return {row["sub"]: _standing(row) for row in await cursor.fetchall()}


async def bump(conn: Conn, sub: str) -> None:
    """Count a change of a person's authority: the signing periods that remember the count before are broken by it."""
    await conn.execute("UPDATE people SET authority = authority + 1 WHERE sub = %s", (sub,))


async def suspend(conn: Conn, sub: str, at: datetime | None) -> None:
    """Suspend a person, or end that with None."""
    await conn.execute("UPDATE people SET suspended_at = %s, authority = authority + 1 WHERE sub = %s", (at, sub))


async def insert_grant(conn: Conn, row: dict[str, Any]) -> None:
    """Insert a grant: id, sub, name, sealed, by, at, until. A second live one of the same name violates a constraint."""
    await conn.execute(
        "INSERT INTO grants (id, sub, name, sealed, granted_by, granted_at, valid_until)"
        " VALUES (%(id)s, %(sub)s, %(name)s, %(sealed)s, %(by)s, %(at)s, %(until)s)",
        row,
    )


async def grants(conn: Conn, sub: str | None = None) -> list[Row]:
    """Return the grants of a person, or everybody's, newest first."""
    cursor = await conn.execute(
        "SELECT * FROM grants WHERE %(sub)s::text IS NULL OR sub = %(sub)s ORDER BY granted_at DESC, id", {"sub": sub}
    )
    return await cursor.fetchall()


async def end_grant(conn: Conn, grant: UUID, by: str, why: str, now: datetime) -> Row | None:
    """End a live grant; return its row, or None when there is no such live one."""
    cursor = await conn.execute(
        "UPDATE grants SET ended_at = %s, ended_by = %s, end_reason = %s WHERE id = %s AND ended_at IS NULL RETURNING *",
        (now, by, why, grant),
    )
    return await cursor.fetchone()


async def lapsed_grants(conn: Conn, now: datetime, sub: str | None = None) -> list[Row]:
    """End every live grant whose time is over; return their rows."""
    cursor = await conn.execute(
        "UPDATE grants SET ended_at = %(now)s, end_reason = 'lapsed' WHERE ended_at IS NULL AND valid_until <= %(now)s"
        " AND (%(sub)s::text IS NULL OR sub = %(sub)s) RETURNING *",
        {"now": now, "sub": sub},
    )
    return await cursor.fetchall()


async def insert_training(conn: Conn, row: dict[str, Any]) -> None:
    """Insert a training record: id, sub, name, sealed, by, at, until."""
    await conn.execute(
        "INSERT INTO trainings (id, sub, name, sealed, recorded_by, recorded_at, valid_until)"
        " VALUES (%(id)s, %(sub)s, %(name)s, %(sealed)s, %(by)s, %(at)s, %(until)s)",
        row,
    )


async def trainings(conn: Conn, sub: str | None = None) -> list[Row]:
    """Return the training records of a person, or everybody's, newest first."""
    cursor = await conn.execute(
        "SELECT * FROM trainings WHERE %(sub)s::text IS NULL OR sub = %(sub)s ORDER BY recorded_at DESC, id",
        {"sub": sub},
    )
    return await cursor.fetchall()


async def lapsed_trainings(conn: Conn, now: datetime, sub: str | None = None) -> list[Row]:
    """Mark every training record whose time is over; return their rows."""
    cursor = await conn.execute(
        "UPDATE trainings SET lapsed_at = %(now)s WHERE lapsed_at IS NULL AND valid_until <= %(now)s"
        " AND (%(sub)s::text IS NULL OR sub = %(sub)s) RETURNING *",
        {"now": now, "sub": sub},
    )
    return await cursor.fetchall()


def _standing(row: Row) -> Row:
    return {**row, "grants": _held(row["grants"]), "trainings": _held(row["trainings"])}


def _held(found: list[list[str]]) -> list[Held]:
    return [Held(id=UUID(id_), name=name, until=datetime.fromisoformat(until)) for id_, name, until in found]
