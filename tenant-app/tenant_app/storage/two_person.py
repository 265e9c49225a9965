"""Acts that need two administrators."""

from datetime import datetime
from typing import Any
from uuid import UUID

from tenant_app.storage.database import Conn, Row


async def insert(conn: Conn, row: dict[str, Any]) -> None:
    """Insert a request: id, kind, sub, sealed, by, at, not_before. A second open one violates a constraint."""
    await conn.execute(
        "INSERT INTO two_person_requests (id, kind, sub, sealed, requested_by, requested_at, not_before)"
        " VALUES (%(id)s, %(kind)s, %(sub)s, %(sealed)s, %(by)s, %(at)s, %(not_before)s)",
        row,
    )


async def lock(conn: Conn, id_: UUID) -> Row | None:
    """Return an open request and keep everybody else from it until the transaction is over."""
    cursor = await conn.execute(
        "SELECT * FROM two_person_requests WHERE id = %s AND done_at IS NULL AND ended_at IS NULL FOR UPDATE", (id_,)
    )
    return await cursor.fetchone()


async def confirm(conn: Conn, id_: UUID, by: str, now: datetime) -> None:
    """Keep who confirmed."""
    await conn.execute(
        "UPDATE two_person_requests SET confirmed_by = %s, confirmed_at = %s WHERE id = %s", (by, now, id_)
    )


async def end(conn: Conn, id_: UUID, by: str, why: str, now: datetime) -> None:
    """End a request without its act."""
    await conn.execute(
        "UPDATE two_person_requests SET ended_at = %s, ended_by = %s, end_reason = %s WHERE id = %s",
        (now, by, why, id_),
    )


async def done(conn: Conn, id_: UUID, now: datetime) -> None:
    """Keep that the act took effect."""
    await conn.execute("UPDATE two_person_requests SET done_at = %s WHERE id = %s", (now, id_))


async def due(conn: Conn, now: datetime) -> list[UUID]:
    """Return the confirmed requests whose cool-off is over."""
    cursor = await conn.execute(
        "SELECT id FROM two_person_requests WHERE confirmed_at IS NOT NULL AND done_at IS NULL AND ended_at IS NULL"
        " AND not_before <= %s ORDER BY requested_at",
        (now,),
    )
    return [row["id"] for row in await cursor.fetchall()]


async def recent(conn: Conn, since: datetime) -> list[Row]:
    """Return what is open and what was done since, newest first."""
    cursor = await conn.execute(
        "SELECT * FROM two_person_requests WHERE (done_at IS NULL AND ended_at IS NULL) OR done_at >= %s"
        " ORDER BY requested_at DESC, id",
        (since,),
    )
    return await cursor.fetchall()


async def untold(conn: Conn, sub: str) -> list[Row]:
    """Return what is open about a person, and what was done and not yet acknowledged by them, newest first."""
    cursor = await conn.execute(
        "SELECT * FROM two_person_requests WHERE sub = %s AND ended_at IS NULL AND seen_at IS NULL"
        " ORDER BY requested_at DESC, id",
        (sub,),
    )
    return await cursor.fetchall()


async def see(conn: Conn, id_: UUID, sub: str, now: datetime) -> bool:
    """Keep that the person it is about has read what was done; False when there is nothing of the kind."""
    cursor = await conn.execute(
        "UPDATE two_person_requests SET seen_at = %s WHERE id = %s AND sub = %s AND done_at IS NOT NULL AND seen_at IS NULL",
        (now, id_, sub),
    )
    return cursor.rowcount == 1
