"""Second factors and recovery codes."""

from datetime import datetime

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
