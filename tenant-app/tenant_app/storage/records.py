"""Documents, versions and their sealed contents. Rows go in whole and are never rewritten."""

from typing import Any
from uuid import UUID

from tenant_app.storage.database import Conn, Row

_LATEST = (
    "SELECT d.id, d.number, d.sealed, d.created_at, d.created_by, v.number AS version, v.sha256, v.size, v.sealed_size,"
    " v.media_type, v.sealed AS version_sealed, v.state, v.created_at AS version_at, v.created_by AS version_by,"
    " p.sealed AS author_sealed FROM documents d"
    " JOIN LATERAL (SELECT * FROM versions WHERE document = d.id ORDER BY number DESC LIMIT 1) v ON true"
    " JOIN people p ON p.sub = v.created_by"
)
_VERSION = "SELECT v.*, p.sealed AS author_sealed FROM versions v JOIN people p ON p.sub = v.created_by"


async def insert_document(conn: Conn, row: dict[str, Any]) -> int:
    """Insert a document (id, sealed, at, by); return its human number."""
    cursor = await conn.execute(
        "INSERT INTO documents (id, sealed, created_at, created_by) VALUES (%(id)s, %(sealed)s, %(at)s, %(by)s)"
        " RETURNING number",
        row,
    )
    found = await cursor.fetchone()
    return int(found["number"]) if found else 0


async def lock_document(conn: Conn, document: UUID) -> Row | None:
    """Return a document with its newest version, and keep others from adding a version until commit."""
    await conn.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (str(document),))
    return await find_document(conn, document)


async def insert_version(conn: Conn, row: dict[str, Any], content: bytes) -> None:
    """Insert a version and its sealed content."""
    await conn.execute(
        "INSERT INTO versions (document, number, sha256, size, sealed_size, media_type, sealed, wrapped_key, created_at,"
        " created_by) VALUES (%(document)s, %(number)s, %(sha256)s, %(size)s, %(sealed_size)s, %(media_type)s, %(sealed)s,"
        " %(wrapped_key)s, %(at)s, %(by)s)",
        row,
    )
    await conn.execute(
        "INSERT INTO contents (document, version, sealed) VALUES (%s, %s, %b)",
        (row["document"], row["number"], content),
    )


async def find_document(conn: Conn, document: UUID) -> Row | None:
    """Return a document with its newest version."""
    cursor = await conn.execute(f"{_LATEST} WHERE d.id = %s", (document,))
    return await cursor.fetchone()


async def list_documents(conn: Conn, *, limit: int, before: int | None = None) -> list[Row]:
    """Return documents, newest first, below the human number `before` when given."""
    cursor = await conn.execute(
        f"{_LATEST} WHERE %s::bigint IS NULL OR d.number < %s ORDER BY d.number DESC LIMIT %s",
        (before, before, limit),
    )
    return await cursor.fetchall()


async def list_versions(conn: Conn, document: UUID) -> list[Row]:
    """Return a document's versions, newest first, without their contents."""
    cursor = await conn.execute(f"{_VERSION} WHERE v.document = %s ORDER BY v.number DESC", (document,))
    return await cursor.fetchall()


async def find_version(conn: Conn, document: UUID, number: int) -> Row | None:
    """Return one version without its content."""
    cursor = await conn.execute(f"{_VERSION} WHERE v.document = %s AND v.number = %s", (document, number))
    return await cursor.fetchone()


async def content(conn: Conn, document: UUID, number: int) -> bytes | None:
    """Return the sealed content of a version."""
    cursor = await conn.execute(
        "SELECT sealed FROM contents WHERE document = %s AND version = %s", (document, number), binary=True
    )
    row = await cursor.fetchone()
    return row["sealed"] if row else None


async def column_key(conn: Conn) -> str | None:
    """Return the wrapped key of sealed columns, or None before the app's first start."""
    cursor = await conn.execute("SELECT wrapped FROM column_key WHERE id = 1")
    row = await cursor.fetchone()
    return row["wrapped"] if row else None


async def keep_column_key(conn: Conn, wrapped: str) -> None:
    """Store the wrapped key; the first one stays when two starts race."""
    await conn.execute("INSERT INTO column_key (id, wrapped) VALUES (1, %s) ON CONFLICT DO NOTHING", (wrapped,))
