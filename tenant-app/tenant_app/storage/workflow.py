"""Assignments, signatures, challenges and annotations."""

from datetime import datetime
from typing import Any
from uuid import UUID

from tenant_app.storage.database import Conn, Row


async def move(conn: Conn, document: UUID, number: int, state: str) -> None:
    """Set a version's state; the guard has decided."""
    await conn.execute("UPDATE versions SET state = %s WHERE document = %s AND number = %s", (state, document, number))


async def published_before(conn: Conn, document: UUID, number: int) -> list[int]:
    """Return other versions of the document that are published."""
    cursor = await conn.execute(
        "SELECT number FROM versions WHERE document = %s AND number <> %s AND state = 'published'", (document, number)
    )
    return [row["number"] for row in await cursor.fetchall()]


async def assign(conn: Conn, row: dict[str, Any]) -> None:
    """Insert an assignment: document, version, sub, sealed, by, at."""
    await conn.execute(
        "INSERT INTO assignments (document, version, sub, sealed, assigned_by, assigned_at)"
        " VALUES (%(document)s, %(version)s, %(sub)s, %(sealed)s, %(by)s, %(at)s)",
        row,
    )


async def assignments(conn: Conn, document: UUID, number: int) -> list[Row]:
    """Return a version's assigned reviewers."""
    cursor = await conn.execute(
        "SELECT * FROM assignments WHERE document = %s AND version = %s ORDER BY assigned_at, sub", (document, number)
    )
    return await cursor.fetchall()


async def signatures(conn: Conn, document: UUID) -> list[Row]:
    """Return a document's signatures, oldest first."""
    cursor = await conn.execute("SELECT * FROM signatures WHERE document = %s ORDER BY at, id", (document,))
    return await cursor.fetchall()


async def keep_signature(conn: Conn, row: dict[str, Any]) -> None:
    """Insert a signature. A second one that names the same one before it violates a unique constraint."""
    await conn.execute(
        "INSERT INTO signatures (id, document, version, sha256, sub, meaning, revokes, sealed, digest, prev, at,"
        " on_behalf_of, delegation) VALUES"
        " (%(id)s, %(document)s, %(version)s, %(sha256)s, %(sub)s, %(meaning)s, %(revokes)s, %(sealed)s, %(digest)s,"
        " %(prev)s, %(at)s, %(on_behalf_of)s, %(delegation)s)",
        row,
    )


async def trail_opened(conn: Conn, document: UUID, sub: str, since: datetime) -> bool:
    """Say whether this person opened the document's trail since the version was stored."""
    cursor = await conn.execute(
        "SELECT 1 FROM audit_outbox WHERE object_id = %s AND actor = %s AND action = 'app:trail:view' AND at >= %s LIMIT 1",
        (str(document), sub, since),
    )
    return await cursor.fetchone() is not None


async def keep_challenge(conn: Conn, nonce: bytes, session: bytes, bound_to: bytes, expires: datetime) -> None:
    """Store a challenge and clear away what expired long ago."""
    await conn.execute("DELETE FROM challenges WHERE expires_at < now() - interval '1 day'")
    await conn.execute(
        "INSERT INTO challenges (nonce_hash, session, bound_to, expires_at) VALUES (%s, %s, %s, %s)",
        (nonce, session, bound_to, expires),
    )


async def use_challenge(conn: Conn, nonce: bytes, session: bytes, bound_to: bytes, now: datetime) -> bool:
    """Use up a challenge; False when it is unknown, used, expired, or bound to something else."""
    cursor = await conn.execute(
        "UPDATE challenges SET used_at = %s WHERE nonce_hash = %s AND session = %s AND bound_to = %s AND used_at IS NULL"
        " AND expires_at > %s",
        (now, nonce, session, bound_to, now),
    )
    return cursor.rowcount == 1


async def keep_annotation(conn: Conn, row: dict[str, Any]) -> None:
    """Insert an annotation: id, document, version, author, sealed, at."""
    await conn.execute(
        "INSERT INTO annotations (id, document, version, author, sealed, created_at)"
        " VALUES (%(id)s, %(document)s, %(version)s, %(author)s, %(sealed)s, %(at)s)",
        row,
    )


async def annotations(conn: Conn, document: UUID) -> list[Row]:
    """Return a document's annotations, oldest first."""
    cursor = await conn.execute("SELECT * FROM annotations WHERE document = %s ORDER BY created_at, id", (document,))
    return await cursor.fetchall()


async def resolve_annotation(conn: Conn, document: UUID, annotation: UUID, sub: str, now: datetime) -> Row | None:
    """Mark an open annotation as settled; None when there is none such."""
    cursor = await conn.execute(
        "UPDATE annotations SET resolved_at = %s, resolved_by = %s WHERE id = %s AND document = %s AND resolved_at IS NULL"
        " RETURNING *",
        (now, sub, annotation, document),
    )
    return await cursor.fetchone()


_OPEN = (
    "SELECT v.document, v.number, v.state, v.created_by, v.created_at,"
    " EXISTS (SELECT 1 FROM assignments a WHERE a.document = v.document AND a.version = v.number AND a.sub = %(sub)s"
    " AND NOT EXISTS (SELECT 1 FROM signatures s WHERE s.document = v.document AND s.version = v.number"
    " AND coalesce(s.on_behalf_of, s.sub) = %(sub)s AND s.meaning = 'review')) AS to_review,"
    " EXISTS (SELECT 1 FROM assignments a WHERE a.document = v.document AND a.version = v.number AND a.sub = %(sub)s)"
    " AS reviewer"
    " FROM versions v WHERE v.state IN ('draft', 'in_review', 'reviewed', 'approved', 'rejected')"
    " AND NOT EXISTS (SELECT 1 FROM versions n WHERE n.document = v.document AND n.number > v.number)"
    " ORDER BY v.created_at DESC LIMIT 500"
)


async def open_work(conn: Conn, sub: str) -> list[Row]:
    """Return the newest versions that are on their way, with what this person has to do with them."""
    cursor = await conn.execute(_OPEN, {"sub": sub})
    return await cursor.fetchall()
