"""Ways to the OpenID provider and back."""

from datetime import datetime
from typing import Any

from tenant_app.storage.database import Conn, Row


async def keep_flow(conn: Conn, row: dict[str, Any], now: datetime) -> None:
    """Keep a way that was set out on: state, browser, session, sealed, until. Those whose time is over go."""
    await conn.execute("DELETE FROM oidc_flows WHERE expires_at <= %s", (now,))
    await conn.execute(
        "INSERT INTO oidc_flows (state_hash, browser_hash, session, sealed, expires_at)"
        " VALUES (%(state)s, %(browser)s, %(session)s, %(sealed)s, %(until)s)",
        row,
    )


async def take_flow(conn: Conn, state: bytes, browser: bytes, now: datetime) -> Row | None:
    """Use up a way, which only the browser that set out can; None when there is none."""
    cursor = await conn.execute(
        "DELETE FROM oidc_flows WHERE state_hash = %s AND browser_hash = %s AND expires_at > %s RETURNING *",
        (state, browser, now),
    )
    return await cursor.fetchone()


async def note_proof(conn: Conn, session: bytes, at: datetime | None) -> None:
    """Note that a session's person proved themself at the provider again; None when that was used."""
    await conn.execute("UPDATE sessions SET proved_at = %s WHERE id_hash = %s AND ended_at IS NULL", (at, session))


async def take_proof(conn: Conn, session: bytes, after: datetime) -> bool:
    """Use up a session's proof; False when there is none that is new enough."""
    cursor = await conn.execute(
        "UPDATE sessions SET proved_at = NULL WHERE id_hash = %s AND ended_at IS NULL AND proved_at > %s",
        (session, after),
    )
    return cursor.rowcount == 1
