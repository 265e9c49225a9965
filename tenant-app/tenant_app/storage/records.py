"""Documents, versions and their sealed contents. Rows go in whole and are never rewritten."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from uuid import UUID

from tenant_app.storage.database import Conn, Row

# Rows that are opened before other requests get their turn.
_BATCH = 200
_LATEST = (
    "SELECT d.id, d.number, d.sealed, d.created_at, d.created_by, d.retention_class, d.retain_until, d.held_at,"
    " d.disposed_at, d.folder_sealed, v.number AS version, v.sha256, v.size, v.sealed_size,"
    " v.media_type, v.sealed AS version_sealed, v.state, v.created_at AS version_at, v.created_by AS version_by,"
    " p.sealed AS author_sealed FROM documents d"
    " JOIN LATERAL (SELECT * FROM versions WHERE document = d.id ORDER BY number DESC LIMIT 1) v ON true"
    " JOIN people p ON p.sub = v.created_by"
)
_VERSION = "SELECT v.*, p.sealed AS author_sealed FROM versions v JOIN people p ON p.sub = v.created_by"

_WORDS = (
    "SELECT 'document' AS what, d.id AS document, d.number, '' AS key, d.sealed, d.folder_sealed, d.changed_at"
    " FROM documents d {documents}"
    " UNION ALL SELECT 'version', v.document, d.number, v.number::text, v.sealed, NULL, NULL FROM versions v"
    " JOIN documents d ON d.id = v.document {versions}"
    " UNION ALL SELECT 'content', t.document, d.number, t.version::text, t.sealed, NULL, NULL FROM version_texts t"
    " JOIN documents d ON d.id = t.document {texts}"
    " UNION ALL SELECT 'annotation', a.document, d.number, a.id::text, a.sealed, NULL, NULL FROM annotations a"
    " JOIN documents d ON d.id = a.document {annotations}"
)


async def insert_document(conn: Conn, row: dict[str, Any]) -> int:
    """Insert a document (id, sealed, folder, at, by, until: how long it is kept at least); return its human number."""
    cursor = await conn.execute(
        "INSERT INTO documents (id, sealed, folder_sealed, created_at, created_by, retain_until)"
        " VALUES (%(id)s, %(sealed)s, %(folder)s, %(at)s, %(by)s, %(until)s) RETURNING number",
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
        "INSERT INTO versions (document, number, sha256, size, sealed_size, sealed_sha256, media_type, sealed, wrapped_key,"
        " created_at, created_by) VALUES (%(document)s, %(number)s, %(sha256)s, %(size)s, %(sealed_size)s, %(sealed_sha256)s,"
        " %(media_type)s, %(sealed)s, %(wrapped_key)s, %(at)s, %(by)s)",
        row,
    )
    await conn.execute(
        "INSERT INTO contents (document, version, sealed) VALUES (%s, %s, %b)",
        (row["document"], row["number"], content),
    )


async def insert_text(conn: Conn, document: UUID, number: int, sealed: bytes) -> None:
    """Insert the sealed words of a version's content."""
    await conn.execute(
        "INSERT INTO version_texts (document, version, sealed) VALUES (%s, %s, %s)", (document, number, sealed)
    )


async def text_of(conn: Conn, document: UUID, number: int) -> bytes | None:
    """Return the sealed words and number of pages of a version's content."""
    cursor = await conn.execute(
        "SELECT sealed FROM version_texts WHERE document = %s AND version = %s", (document, number)
    )
    row = await cursor.fetchone()
    return bytes(row["sealed"]) if row else None


async def describe(conn: Conn, document: UUID, sealed: bytes) -> None:
    """Store a document's new description; the trail keeps the old one."""
    await conn.execute("UPDATE documents SET sealed = %s, changed_at = now() WHERE id = %s", (sealed, document))


async def file_in(conn: Conn, document: UUID, folder: bytes | None) -> None:
    """Store where a document lies now."""
    await conn.execute("UPDATE documents SET folder_sealed = %s, changed_at = now() WHERE id = %s", (folder, document))


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


async def hold(conn: Conn, document: UUID, sub: str, sealed: bytes, now: datetime) -> bool:
    """Place a hold; False when one is on already."""
    cursor = await conn.execute(
        "UPDATE documents SET held_at = %s, held_by = %s, hold_sealed = %s WHERE id = %s AND held_at IS NULL",
        (now, sub, sealed, document),
    )
    return cursor.rowcount == 1


async def release(conn: Conn, document: UUID) -> bool:
    """Release a hold; False when there is none."""
    cursor = await conn.execute(
        "UPDATE documents SET held_at = NULL, held_by = NULL, hold_sealed = NULL WHERE id = %s AND held_at IS NOT NULL",
        (document,),
    )
    return cursor.rowcount == 1


async def by_number(conn: Conn, number: int) -> UUID | None:
    """Return the id of the document with this human number."""
    cursor = await conn.execute("SELECT id FROM documents WHERE number = %s", (number,))
    row = await cursor.fetchone()
    return row["id"] if row else None


async def dispose(conn: Conn, document: UUID) -> int:
    """Destroy a document's contents and keys; the database refuses while retention or a hold is in force."""
    cursor = await conn.execute("SELECT dispose_document(%s) AS gone", (document,))
    row = await cursor.fetchone()
    return int(row["gone"]) if row else 0


async def altered(conn: Conn, after: tuple[UUID, int], limit: int) -> tuple[list[Row], tuple[UUID, int] | None]:
    """Compare stored ciphertext with its recorded digest, `limit` versions after the given place.

    Returns the versions that differ and the place to go on from, None at the end.
    """
    cursor = await conn.execute(
        "SELECT v.document, v.number, v.sha256,"
        " v.sealed_sha256 = '' OR encode(sha256(c.sealed), 'hex') = v.sealed_sha256 AS same"
        " FROM contents c JOIN versions v ON v.document = c.document AND v.number = c.version"
        " WHERE (c.document, c.version) > (%s, %s) ORDER BY c.document, c.version LIMIT %s",
        (*after, limit),
    )
    rows = await cursor.fetchall()
    place = (rows[-1]["document"], rows[-1]["number"]) if len(rows) == limit else None
    return [row for row in rows if not row["same"]], place


async def all_words(conn: Conn) -> AsyncIterator[list[Row]]:
    """Yield, in batches, everything that is searched in.

    A row has what, document, number, key, sealed, folder_sealed, changed_at. `what` is document, version, content or annotation,
    `number` the document's human one, `key` what else the sealed value is bound to; the last two are a document's own.
    """
    async with conn.cursor(name="words") as cursor:
        await cursor.execute(_WORDS.format(documents="", versions="", texts="", annotations=""))
        while rows := await cursor.fetchmany(_BATCH):
            yield rows


async def words_of(conn: Conn, documents: list[UUID]) -> list[Row]:
    """Return everything that is searched in of these documents, as `all_words` does."""
    conditions = {
        "documents": "WHERE d.id = ANY(%(documents)s)",
        "versions": "WHERE v.document = ANY(%(documents)s)",
        "texts": "WHERE t.document = ANY(%(documents)s)",
        "annotations": "WHERE a.document = ANY(%(documents)s)",
    }
    cursor = await conn.execute(_WORDS.format(**conditions), {"documents": documents})
    return await cursor.fetchall()


async def find_many(conn: Conn, numbers: list[int]) -> list[Row]:
    """Return documents by human number with their newest versions, newest first."""
    cursor = await conn.execute(f"{_LATEST} WHERE d.number = ANY(%s) ORDER BY d.number DESC", (numbers,))
    return await cursor.fetchall()
