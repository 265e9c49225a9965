"""Second factors, recovery codes and resets."""

from datetime import datetime
from typing import Any

from tenant_app.storage.database import Conn, Row


async def find(conn: Conn, sub: str, state: str = "active") -> Row | None:
    """Return a person's device, or None."""
    cursor = await conn.execute("SELECT * FROM second_factors WHERE sub = %s AND state = %s", (sub, state))
    return await cursor.fetchone()


async def keep_pending(conn: Conn, sub: str, sealed: bytes, now: datetime) -> None:
    """Keep a device that waits for its first code, in the place of one that waited before."""
    await conn.execute(
        "INSERT INTO second_factors (sub, state, sealed, created_at, tested_at) VALUES (%s, 'pending', %s, %s, %s)"
        " ON CONFLICT (sub, state) DO UPDATE SET sealed = excluded.sealed, last_step = 0,"
        " created_at = excluded.created_at, tested_at = excluded.tested_at",
        (sub, sealed, now, now),
    )


async def activate(conn: Conn, sub: str, step: int, now: datetime) -> bool:
    """Make the pending device the active one; False when there is none any more."""
    await conn.execute("DELETE FROM second_factors WHERE sub = %s AND state = 'active'", (sub,))
    cursor = await conn.execute(
        "UPDATE second_factors SET state = 'active', last_step = %s, tested_at = %s WHERE sub = %s AND state = 'pending'",
        (step, now, sub),
    )
    return cursor.rowcount == 1


async def use_step(conn: Conn, sub: str, step: int, tested_at: datetime) -> bool:
    """Use up a time step; False when it was used already, however many try at once."""
    cursor = await conn.execute(
        "UPDATE second_factors SET last_step = %s, tested_at = %s WHERE sub = %s AND state = 'active' AND last_step < %s",
        (step, tested_at, sub, step),
    )
    return cursor.rowcount == 1


async def remove(conn: Conn, sub: str) -> int:
    """Remove a person's devices and recovery codes; return how many devices there were."""
    await conn.execute("DELETE FROM recovery_codes WHERE sub = %s", (sub,))
    cursor = await conn.execute("DELETE FROM second_factors WHERE sub = %s", (sub,))
    return cursor.rowcount


async def keep_recovery(conn: Conn, sub: str, hashes: list[bytes]) -> None:
    """Keep new recovery codes in the place of all before."""
    await conn.execute("DELETE FROM recovery_codes WHERE sub = %s", (sub,))
    async with conn.cursor() as cursor:
        await cursor.executemany(
            "INSERT INTO recovery_codes (sub, hash) VALUES (%s, %s)", [(sub, each) for each in hashes]
        )


async def use_recovery(conn: Conn, sub: str, code_hash: bytes) -> bool:
    """Use up a recovery code; False when there is no such one."""
    cursor = await conn.execute("DELETE FROM recovery_codes WHERE sub = %s AND hash = %s", (sub, code_hash))
    return cursor.rowcount == 1


async def recovery_left(conn: Conn, sub: str) -> int:
    """Return how many recovery codes are left."""
    cursor = await conn.execute("SELECT count(*) AS count FROM recovery_codes WHERE sub = %s", (sub,))
    row = await cursor.fetchone()
    return int(row["count"]) if row else 0


async def ask_reset(conn: Conn, row: dict[str, Any]) -> None:
    """Keep a reset that was asked for: id, sub, sealed, by, at, until."""
    await conn.execute(
        "INSERT INTO factor_resets (id, sub, sealed, asked_by, asked_at, expires_at)"
        " VALUES (%(id)s, %(sub)s, %(sealed)s, %(by)s, %(at)s, %(until)s)",
        row,
    )


async def open_resets(conn: Conn, now: datetime) -> list[Row]:
    """Return the resets that wait for a second administrator."""
    cursor = await conn.execute(
        "SELECT r.*, p.sealed AS person FROM factor_resets r JOIN people p USING (sub)"
        " WHERE confirmed_at IS NULL AND expires_at > %s ORDER BY asked_at",
        (now,),
    )
    return await cursor.fetchall()


async def lock_reset(conn: Conn, reset: Any, now: datetime) -> Row | None:  # a UUID
    """Return a waiting reset, held for this transaction."""
    cursor = await conn.execute(
        "SELECT * FROM factor_resets WHERE id = %s AND confirmed_at IS NULL AND expires_at > %s FOR UPDATE",
        (reset, now),
    )
    return await cursor.fetchone()


async def confirm_reset(conn: Conn, reset: Any, by: str, now: datetime) -> None:  # a UUID
    """Note who confirmed a reset."""
    await conn.execute("UPDATE factor_resets SET confirmed_by = %s, confirmed_at = %s WHERE id = %s", (by, now, reset))


async def unseen_resets(conn: Conn, sub: str) -> list[Row]:
    """Return the resets that took place and that the owner has not acknowledged."""
    cursor = await conn.execute(
        "SELECT * FROM factor_resets WHERE sub = %s AND confirmed_at IS NOT NULL AND seen_at IS NULL ORDER BY confirmed_at",
        (sub,),
    )
    return await cursor.fetchall()


async def acknowledge(conn: Conn, sub: str, now: datetime) -> int:
    """Note that the owner has seen them; return how many."""
    cursor = await conn.execute(
        "UPDATE factor_resets SET seen_at = %s WHERE sub = %s AND confirmed_at IS NOT NULL AND seen_at IS NULL",
        (now, sub),
    )
    return cursor.rowcount
