"""Reviews of access."""

from datetime import datetime
from typing import Any

from tenant_app.storage.database import Conn, Row


async def insert(conn: Conn, row: dict[str, Any]) -> None:
    """Insert a signed review: id, sub, sealed, digest, prev, at. A second one after the same one violates a constraint."""
    await conn.execute(
        "INSERT INTO access_reviews (id, sub, sealed, digest, prev, at)"
        " VALUES (%(id)s, %(sub)s, %(sealed)s, %(digest)s, %(prev)s, %(at)s)",
        row,
    )


async def every(conn: Conn) -> list[Row]:
    """Return all reviews, oldest first."""
    cursor = await conn.execute("SELECT * FROM access_reviews ORDER BY at, id")
    return await cursor.fetchall()


async def last(conn: Conn) -> Row | None:
    """Return the newest review."""
    cursor = await conn.execute("SELECT * FROM access_reviews ORDER BY at DESC, id DESC LIMIT 1")
    return await cursor.fetchone()


async def counted_from(conn: Conn) -> datetime | None:
    """Return from when the first review is counted: the first sign-in of anybody."""
    cursor = await conn.execute("SELECT min(enrolled_at) AS at FROM people")
    row = await cursor.fetchone()
    return row["at"] if row else None


async def tell(conn: Conn, due: datetime, now: datetime) -> bool:
    """Keep that an overdue review was told; False when it was already."""
    cursor = await conn.execute(
        "INSERT INTO access_reviews_overdue (due_at, told_at) VALUES (%s, %s) ON CONFLICT DO NOTHING", (due, now)
    )
    return cursor.rowcount == 1
