"""The keys that seal PDF renditions, wrapped."""

from typing import Any

from tenant_app.storage.database import Conn, Row


async def newest(conn: Conn) -> Row | None:
    """Return the newest key: id, wrapped, certificate, issuer, expires_at."""
    cursor = await conn.execute("SELECT * FROM seal_keys ORDER BY created_at DESC, id DESC LIMIT 1")
    return await cursor.fetchone()


async def keep(conn: Conn, row: dict[str, Any]) -> None:
    """Insert a key; two replicas may each make one, and both are good."""
    await conn.execute(
        "INSERT INTO seal_keys (id, wrapped, certificate, issuer, expires_at) VALUES"
        " (%(id)s, %(wrapped)s, %(certificate)s, %(issuer)s, %(expires_at)s)",
        row,
    )
