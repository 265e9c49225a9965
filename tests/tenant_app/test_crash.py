"""kill -9 at random moments under load: no change without its entry, no entry without its change (AT-15)."""

import asyncio
import os
import time
from typing import NamedTuple
from uuid import UUID

import psycopg
import pytest

from tenant_app import factory
from tenant_app.adapters.directory import LdapDirectory
from tenant_app.domain.signing import check_chain, opened
from tenant_app.storage import outbox
from tests.tenant_app.support import people
from tests.tenant_app.support.fakes import FakeAuditLog, FakeKeys
from tests.tenant_app.support.kills import Campaign

# The whole campaign is 200; every run of the suite does a few.
FEW = 4
KILLS = int(os.environ.get("CLOISTER_APP_KILLS", FEW))
TOLD_EVERY = 10
PAGE = 5000
# One statement, so one snapshot: every pair is equal at any moment, also while the server still finishes a dead process's commit.
IN_STEP = """
    SELECT (SELECT count(*) FROM documents),
           (SELECT count(*) FROM audit_outbox WHERE action = 'app:document:create'),
           (SELECT count(*) FROM signatures),
           (SELECT count(*) FROM audit_outbox WHERE action = 'app:signature:create'),
           (SELECT count(*) FROM sessions),
           (SELECT count(*) FROM audit_outbox WHERE action = 'app:session:login'),
           (SELECT seq FROM chain_head),
           (SELECT count(*) FROM audit_outbox)
"""


class Counted(NamedTuple):
    """A row of IN_STEP."""

    documents: int
    documents_told: int
    signatures: int
    signatures_told: int
    sessions: int
    sessions_told: int
    head: int
    chain: int

    @property
    def changes(self) -> tuple[int, ...]:
        return self[::2]

    @property
    def entries(self) -> tuple[int, ...]:
        return self[1::2]

    def __str__(self) -> str:
        return (
            f"{self.documents} documents, {self.signatures} signatures, {self.sessions} sessions; {self.chain} entries"
        )


@pytest.mark.timeout(300 + 12 * KILLS)
def test_at15_kill_minus_nine_leaves_changes_and_entries_in_step(fresh, server, capsys):
    keys = os.urandom(64).hex()
    rosa = asyncio.run(LdapDirectory(fresh.ldap).authenticate("rosa", people.password("rosa"))).sub
    campaign = Campaign(config=fresh, keys=keys, reviewer=rosa)
    began = time.monotonic()
    with server.admin(fresh.database.name) as conn:
        for killed in campaign.run(KILLS):
            counted = Counted(*conn.execute(IN_STEP).fetchone())
            assert counted.changes == counted.entries
            if KILLS > FEW and (killed % TOLD_EVERY == 0 or killed == KILLS):
                with capsys.disabled():
                    print(
                        f"\nkill {killed} of {KILLS} after {time.monotonic() - began:.0f} s: {counted},"
                        f" {len(campaign.log.entries)} of them delivered",
                        end="", flush=True,
                    )  # fmt: skip
        documents, signed = _ids(conn, "SELECT id FROM documents"), _ids(conn, "SELECT document FROM signatures")
        _both_ways(conn, documents, signed)
    assert campaign.stored <= documents
    assert campaign.signed <= signed <= documents
    assert len(campaign.stored) >= KILLS, "some process was killed before it did anything"
    assert signed, "nothing was signed: the campaign did not reach it"
    asyncio.run(_chain_and_delivery(fresh, keys, campaign.log, documents, signed))


def _both_ways(conn: psycopg.Connection, documents: set[str], signed: set[str]) -> None:
    assert documents == _ids(conn, "SELECT document FROM contents JOIN versions USING (document)")
    assert documents == _entries(conn, "app:document:create")
    # A signature, the move that it makes, the reviewer that it names, and the entry of each, are there together or not at all.
    assert signed == _entries(conn, "app:signature:create") == _entries(conn, "app:workflow:transition")
    assert signed == _ids(conn, "SELECT document FROM versions WHERE state = 'in_review'")
    assert signed == _ids(conn, "SELECT document FROM assignments") == _entries(conn, "app:workflow:assign")
    assert _ids(conn, "SELECT left(encode(id_hash, 'hex'), 16) FROM sessions") == _entries(conn, "app:session:login")


def _ids(conn: psycopg.Connection, query: str) -> set[str]:
    return {str(row[0]) for row in conn.execute(query)}  # type: ignore[arg-type]  # literals of this file


def _entries(conn: psycopg.Connection, action: str) -> set[str]:
    found = [str(row[0]) for row in conn.execute("SELECT object_id FROM audit_outbox WHERE action = %s", (action,))]
    assert len(found) == len(set(found)), f"more than one {action} for one change"
    return set(found)


async def _chain_and_delivery(fresh, keys: str, log: FakeAuditLog, documents: set[str], signed: set[str]) -> None:
    app = factory.build(fresh, factory.Ports(keys=FakeKeys.of(keys), directory=LdapDirectory(fresh.ldap), audit=log))
    await app.database.open()
    try:
        await app.relay.deliver_all()
        chain: list[str] = []
        async with app.database.transaction() as conn:
            previous = outbox.GENESIS
            while links := await outbox.since(conn, len(chain), limit=PAGE):
                for link in links:
                    assert (link.seq, outbox.link_hash(previous, link)) == (len(chain), bytes(link.hash))
                    previous = bytes(link.hash)
                    chain.append(str(link.id))
        for document in signed:
            await _verifies(app, document)
        for document in documents:
            await app.documents.fetch(UUID(document), 1)
    finally:
        await app.close()
    assert log.actions().count("app:document:create") == len(documents)
    assert log.actions().count("app:signature:create") == len(signed)
    # Every entry once and in order, whichever process was killed while it delivered.
    assert [entry["id"] for entry in log.entries] == chain


async def _verifies(app: factory.App, document: str) -> None:
    public = await app.ports.keys.public_keys()
    async with app.database.transaction() as conn:
        cursor = await conn.execute("SELECT id, sealed FROM signatures WHERE document = %s ORDER BY at", (document,))
        rows = await cursor.fetchall()
    found = [app.columns.open(row["sealed"], "signatures", str(row["id"]), document) for row in rows]
    pairs = [(each, opened(each, public)) for each in found]
    check_chain(pairs, tenant=str(app.settings.tenant.id), document=document)
    assert len(pairs) == 1
