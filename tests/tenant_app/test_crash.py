"""kill -9 at random moments under load: no change without its entry, no entry without its change (AT-15)."""

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from uuid import UUID

import psycopg

from tenant_app import factory
from tenant_app.adapters.directory import LdapDirectory
from tenant_app.domain.signing import check_chain, opened
from tenant_app.storage import outbox
from tests.tenant_app.support import people
from tests.tenant_app.support.fakes import FakeAuditLog, FakeKeys

# The whole campaign is 200; every run of the suite does a few.
KILLS = int(os.environ.get("CLOISTER_APP_KILLS", "4"))


def test_at15_kill_minus_nine_leaves_changes_and_entries_in_step(fresh, tmp_path, server):
    keys = os.urandom(64).hex()
    config = tmp_path / "config.json"
    config.write_text(json.dumps(fresh.model_dump(mode="json", by_alias=True)))
    rosa = asyncio.run(LdapDirectory(fresh.ldap).authenticate("rosa", people.password("rosa"))).sub
    command = [sys.executable, "-m", "tests.tenant_app.support.crash", str(config), keys, rosa]
    told = _campaign(command)
    with server.admin(fresh.database.name) as conn:
        documents = _ids(conn, "SELECT id FROM documents")
        signed = _ids(conn, "SELECT document FROM signatures")
        assert documents == _ids(conn, "SELECT document FROM contents JOIN versions USING (document)")
        assert documents == _entries(conn, "app:document:create")
        # A signature, the move that it makes, the reviewer that it names, and the entry of each, are there together or not at all.
        assert signed == _entries(conn, "app:signature:create") == _entries(conn, "app:workflow:transition")
        assert signed == _ids(conn, "SELECT document FROM versions WHERE state = 'in_review'")
        assert signed == _ids(conn, "SELECT document FROM assignments") == _entries(conn, "app:workflow:assign")
    assert told["stored"] <= documents
    assert told["signed"] <= signed <= documents
    assert signed, "nothing was signed: the campaign did not reach it"
    asyncio.run(_chain_and_delivery(fresh, keys, documents, signed))


def _campaign(command: list[str]) -> dict[str, set[str]]:
    told: dict[str, set[str]] = {"stored": set(), "signed": set()}
    environment = {**os.environ, "PYTHONPATH": "tenant-app:audit-service:."}
    for _ in range(KILLS):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        first = process.stdout.readline()
        assert first, "the process ended by itself"
        time.sleep(random.uniform(0.02, 0.8))  # noqa: S311  # not a secret
        process.kill()
        rest, _ = process.communicate()
        # The last line may be half of one.
        for line in (first + rest).split("\n")[:-1]:
            what, _, document = line.partition(" ")
            told[what].add(document)
    return told


def _ids(conn: psycopg.Connection, query: str) -> set[str]:
    return {str(row[0]) for row in conn.execute(query)}  # type: ignore[arg-type]  # literals of this file


def _entries(conn: psycopg.Connection, action: str) -> set[str]:
    return {str(row[0]) for row in conn.execute("SELECT object_id FROM audit_outbox WHERE action = %s", (action,))}


async def _chain_and_delivery(fresh, keys: str, documents: set[str], signed: set[str]) -> None:
    log = FakeAuditLog()
    app = factory.build(fresh, factory.Ports(keys=FakeKeys.of(keys), directory=LdapDirectory(fresh.ldap), audit=log))
    await app.database.open()
    try:
        await app.relay.deliver_all()
        async with app.database.transaction() as conn:
            previous, count = outbox.GENESIS, 0
            for link in await outbox.since(conn, 0, limit=100_000):
                assert (link.seq, outbox.link_hash(previous, link)) == (count, bytes(link.hash))
                previous, count = bytes(link.hash), count + 1
        for document in signed:
            await _verifies(app, document)
        for document in documents:
            await app.documents.fetch(UUID(document), 1)
    finally:
        await app.close()
    assert log.actions().count("app:document:create") == len(documents)
    assert log.actions().count("app:signature:create") == len(signed)
    assert len(log.entries) == count


async def _verifies(app: factory.App, document: str) -> None:
    public = await app.ports.keys.public_keys()
    async with app.database.transaction() as conn:
        cursor = await conn.execute("SELECT id, sealed FROM signatures WHERE document = %s ORDER BY at", (document,))
        rows = await cursor.fetchall()
    found = [app.columns.open(row["sealed"], "signatures", str(row["id"]), document) for row in rows]
    pairs = [(each, opened(each, public)) for each in found]
    check_chain(pairs, tenant=str(app.settings.tenant.id), document=document)
    assert len(pairs) == 1
