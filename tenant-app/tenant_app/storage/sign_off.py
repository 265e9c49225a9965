"""What a person needs before they sign: policies and their acceptance, enrolment, letters; and reported losses."""

from datetime import datetime
from typing import Any
from uuid import UUID

from tenant_app.storage.database import Conn, Row


async def current_policy(conn: Conn) -> Row | None:
    """Return the newest policy, or None before the first."""
    cursor = await conn.execute("SELECT * FROM policies ORDER BY version DESC LIMIT 1")
    return await cursor.fetchone()


async def policies(conn: Conn) -> list[Row]:
    """Return every policy version with how many people accepted it, newest first."""
    cursor = await conn.execute(
        "SELECT p.*, (SELECT count(*) FROM policy_acceptances a WHERE a.version = p.version) AS accepted"
        " FROM policies p ORDER BY p.version DESC"
    )
    return await cursor.fetchall()


async def insert_policy(conn: Conn, row: dict[str, Any]) -> None:
    """Insert a policy version: version, sealed, sha256, by, at."""
    await conn.execute(
        "INSERT INTO policies (version, sealed, sha256, published_by, published_at)"
        " VALUES (%(version)s, %(sealed)s, %(sha256)s, %(by)s, %(at)s)",
        row,
    )


async def accepted(conn: Conn, version: int, sub: str) -> datetime | None:
    """Return when a person accepted a policy version."""
    cursor = await conn.execute("SELECT at FROM policy_acceptances WHERE version = %s AND sub = %s", (version, sub))
    row = await cursor.fetchone()
    return row["at"] if row else None


async def accept(conn: Conn, version: int, sub: str, sha256: str, at: datetime) -> bool:
    """Store an acceptance; False when there was one."""
    cursor = await conn.execute(
        "INSERT INTO policy_acceptances (version, sub, sha256, at) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (version, sub, sha256, at),
    )
    return cursor.rowcount == 1


async def insert_enrolment(conn: Conn, row: dict[str, Any]) -> None:
    """Insert an enrolment record: id, sub, sealed, verified_on, by, at."""
    await conn.execute(
        "INSERT INTO enrolments (id, sub, sealed, verified_on, recorded_by, recorded_at)"
        " VALUES (%(id)s, %(sub)s, %(sealed)s, %(verified_on)s, %(by)s, %(at)s)",
        row,
    )


async def enrolments(conn: Conn, sub: str | None = None) -> list[Row]:
    """Return the enrolment records of a person, or everybody's, newest first."""
    cursor = await conn.execute(
        "SELECT * FROM enrolments WHERE %(sub)s::text IS NULL OR sub = %(sub)s ORDER BY recorded_at DESC, id",
        {"sub": sub},
    )
    return await cursor.fetchall()


async def insert_letter(conn: Conn, row: dict[str, Any]) -> None:
    """Insert the record of a letter of 11.100(c): id, sealed, sent_on, by, at."""
    await conn.execute(
        "INSERT INTO certification_letters (id, sealed, sent_on, recorded_by, recorded_at)"
        " VALUES (%(id)s, %(sealed)s, %(sent_on)s, %(by)s, %(at)s)",
        row,
    )


async def letters(conn: Conn) -> list[Row]:
    """Return the records of letters, newest first."""
    cursor = await conn.execute("SELECT * FROM certification_letters ORDER BY recorded_at DESC, id")
    return await cursor.fetchall()


async def insert_loss(conn: Conn, row: dict[str, Any]) -> None:
    """Insert a reported loss: id, sub, sealed, by, at."""
    await conn.execute(
        "INSERT INTO losses (id, sub, sealed, reported_by, reported_at)"
        " VALUES (%(id)s, %(sub)s, %(sealed)s, %(by)s, %(at)s)",
        row,
    )


async def close_losses(conn: Conn, sub: str, at: datetime) -> list[UUID]:
    """Mark a person's open losses as restored; return their ids."""
    cursor = await conn.execute(
        "UPDATE losses SET restored_at = %s WHERE sub = %s AND restored_at IS NULL RETURNING id", (at, sub)
    )
    return [row["id"] for row in await cursor.fetchall()]
