"""The trail in the tenant's own database: append by function only, read in order, receipts beside it (11.10(e))."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from tenant_app.domain.actions import Action
from tenant_app.domain.audit import Entry, stamp
from tenant_app.storage.database import Conn, Row

GENESIS = hashlib.sha256(b"").digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One stored entry. `log_index` and `leaf_hash` are there once the audit service acknowledged it."""

    seq: int
    id: UUID
    at: datetime
    actor: str
    action: str
    object_type: str
    object_id: str
    result: str
    sealed: bytes
    hash: bytes
    log_index: int | None = None
    leaf_hash: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What the audit service answered for one entry."""

    seq: int
    log_index: int
    leaf_hash: str


async def append(conn: Conn, entry: Entry, sealed: bytes) -> int:
    """Append one entry and return its sequence number. Last in a transaction: the chain's head stays locked until commit."""
    cursor = await conn.execute(
        "SELECT audit_append(%s, %s, %s, %s, %s, %s, %s, %s) AS seq",
        (
            entry.id,
            entry.at,
            entry.actor.sub,
            entry.action.value,
            entry.object.type,
            entry.object.id,
            entry.result,
            sealed,
        ),
    )
    row = await cursor.fetchone()
    return int(row["seq"]) if row else -1


async def of_object(conn: Conn, object_id: str) -> list[Link]:
    """Return all of an object's entries, newest first."""
    cursor = await conn.execute(
        "SELECT o.*, r.log_index, r.leaf_hash FROM audit_outbox o LEFT JOIN audit_receipts r USING (seq)"
        " WHERE o.object_id = %s ORDER BY o.seq DESC",
        (object_id,),
    )
    return [Link(**row) for row in await cursor.fetchall()]


async def since(conn: Conn, seq: int, *, limit: int) -> list[Link]:
    """Return entries from `seq` on, in order."""
    cursor = await conn.execute(
        "SELECT o.*, r.log_index, r.leaf_hash FROM audit_outbox o LEFT JOIN audit_receipts r USING (seq)"
        " WHERE o.seq >= %s ORDER BY o.seq LIMIT %s",
        (seq, limit),
    )
    return [Link(**row) for row in await cursor.fetchall()]


async def undelivered(conn: Conn, *, limit: int) -> list[Link]:
    """Return the oldest entries without a receipt. Delivery is in order, so they all follow the last receipt."""
    cursor = await conn.execute("SELECT coalesce(max(seq), -1) + 1 AS seq FROM audit_receipts")
    row = await cursor.fetchone()
    return await since(conn, row["seq"] if row else 0, limit=limit)


async def oldest_undelivered(conn: Conn) -> tuple[datetime | None, int]:
    """Return when the first entry that waits was made and how many wait: in no time, however many there are."""
    # Every change asks this. Delivery is in order and the chain has no gaps, so both follow from the last receipt.
    cursor = await conn.execute(
        "SELECT o.at, h.seq - r.next AS waiting FROM chain_head h"
        " CROSS JOIN (SELECT coalesce(max(seq), -1) + 1 AS next FROM audit_receipts) r"
        " LEFT JOIN audit_outbox o ON o.seq = r.next"
    )
    row: Row = await cursor.fetchone() or {}
    return row.get("at"), int(row.get("waiting") or 0)


async def touched(conn: Conn, since: int, leaving_out: Sequence[Action]) -> tuple[int, list[UUID]]:
    """Return how long the chain is and which documents have entries from `since` on, but for those of the given actions.

    The chain's head is locked until a change commits, so that its order is that of commits: what is not seen yet comes later.
    """
    cursor = await conn.execute(
        "SELECT h.seq, ARRAY(SELECT DISTINCT object_id FROM audit_outbox WHERE seq >= %s AND object_type = 'Document'"
        " AND action <> ALL(%s)) AS documents FROM chain_head h",
        (since, [action.value for action in leaving_out]),
    )
    row: Row = await cursor.fetchone() or {"seq": 0, "documents": []}
    return int(row["seq"]), [UUID(document) for document in row["documents"]]


async def chain_id(conn: Conn) -> UUID:
    """Return the id that names this chain to the audit service."""
    cursor = await conn.execute("SELECT chain FROM chain_head")
    row = await cursor.fetchone()
    if row is None:
        raise LookupError("the chain has no head: the schema was never migrated")
    return UUID(str(row["chain"]))


async def head(conn: Conn) -> tuple[UUID, int, bytes]:
    """Return the chain's id, its size and its newest hash, as a signature names the trail it was made on."""
    cursor = await conn.execute("SELECT chain, seq, hash FROM chain_head")
    row = await cursor.fetchone()
    if row is None:
        raise LookupError("the chain has no head: the schema was never migrated")
    return UUID(str(row["chain"])), int(row["seq"]), bytes(row["hash"])


async def keep_receipts(conn: Conn, receipts: Sequence[Receipt]) -> None:
    """Store receipts; one that is there already stays as it is."""
    async with conn.cursor() as cursor:
        await cursor.executemany(
            "INSERT INTO audit_receipts (seq, log_index, leaf_hash) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            [(receipt.seq, receipt.log_index, receipt.leaf_hash) for receipt in receipts],
        )


def link_hash(previous: bytes, link: Link) -> bytes:
    """Return the hash that `link` must have after `previous`: the same sum that the database function computes."""
    words = "\x1f".join([stamp(link.at), link.actor, link.action, link.object_type, link.object_id, link.result])
    head = previous + link.seq.to_bytes(8, "big", signed=True) + link.id.bytes
    return hashlib.sha256(head + words.encode() + hashlib.sha256(link.sealed).digest()).digest()
