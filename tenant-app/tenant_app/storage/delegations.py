"""Delegations."""

from datetime import datetime
from typing import Any
from uuid import UUID

from tenant_app.domain.delegation import Delegation
from tenant_app.storage.database import Conn, Row


def delegation(row: Row) -> Delegation:
    """Return a row's delegation."""
    return Delegation(
        id=row["id"],
        giver=row["giver"],
        receiver=row["receiver"],
        meaning=row["meaning"],
        offered_at=row["offered_at"],
        until=row["valid_until"],
        accepted_at=row["accepted_at"],
        ended_at=row["ended_at"],
    )


async def insert(conn: Conn, row: dict[str, Any]) -> None:
    """Insert an offer: id, giver, receiver, meaning, sealed, at, until. A second live one violates a constraint."""
    await conn.execute(
        "INSERT INTO delegations (id, giver, receiver, meaning, sealed, offered_at, valid_until)"
        " VALUES (%(id)s, %(giver)s, %(receiver)s, %(meaning)s, %(sealed)s, %(at)s, %(until)s)",
        row,
    )


async def find(conn: Conn, id_: UUID, *, hold: bool = False) -> Row | None:
    """Return one; with `hold` nobody can end it before this transaction is over."""
    if hold:
        await conn.execute("SELECT 1 FROM delegations WHERE id = %s FOR SHARE", (id_,))
    cursor = await conn.execute("SELECT * FROM delegations WHERE id = %s", (id_,))
    return await cursor.fetchone()


async def of(conn: Conn, sub: str | None = None) -> list[Row]:
    """Return the delegations by or to a person, or everybody's, newest first."""
    cursor = await conn.execute(
        "SELECT * FROM delegations WHERE %(sub)s::text IS NULL OR giver = %(sub)s OR receiver = %(sub)s"
        " ORDER BY offered_at DESC, id",
        {"sub": sub},
    )
    return await cursor.fetchall()


async def in_force_to(conn: Conn, sub: str, now: datetime) -> list[Row]:
    """Return what a person may sign under now."""
    cursor = await conn.execute(
        "SELECT * FROM delegations WHERE receiver = %s AND ended_at IS NULL AND accepted_at IS NOT NULL"
        " AND valid_until > %s ORDER BY offered_at, id",
        (sub, now),
    )
    return await cursor.fetchall()


async def accept(conn: Conn, id_: UUID, receiver: str, now: datetime) -> Row | None:
    """Accept an open offer; None when there is none such to this person."""
    cursor = await conn.execute(
        "UPDATE delegations SET accepted_at = %(now)s WHERE id = %(id)s AND receiver = %(sub)s AND accepted_at IS NULL"
        " AND ended_at IS NULL AND valid_until > %(now)s RETURNING *",
        {"now": now, "id": id_, "sub": receiver},
    )
    return await cursor.fetchone()


async def end(conn: Conn, id_: UUID, by: str, why: str, now: datetime) -> Row | None:
    """End a live delegation; None when there is none such."""
    cursor = await conn.execute(
        "UPDATE delegations SET ended_at = %s, ended_by = %s, end_reason = %s WHERE id = %s AND ended_at IS NULL RETURNING *",
        (now, by, why, id_),
    )
    return await cursor.fetchone()


async def lapsed(conn: Conn, now: datetime) -> list[Row]:
    """End every live delegation whose time is over; return their rows."""
    cursor = await conn.execute(
        "UPDATE delegations SET ended_at = %(now)s, end_reason = 'lapsed' WHERE ended_at IS NULL AND valid_until <= %(now)s"
        " RETURNING *",
        {"now": now},
    )
    return await cursor.fetchall()
