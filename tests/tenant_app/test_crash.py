"""kill -9 at random moments under load: no change without its entry, no entry without its change (AT-15)."""

import asyncio
import json
import os
import random
import subprocess
import sys
import time

from tenant_app import factory
from tenant_app.adapters.directory import LdapDirectory
from tenant_app.storage import outbox
from tests.tenant_app.support.fakes import FakeAuditLog, FakeKeys

# The whole campaign is 200; every run of the suite does a few.
KILLS = int(os.environ.get("CLOISTER_APP_KILLS", "4"))


def test_at15_kill_minus_nine_leaves_changes_and_entries_in_step(fresh, tmp_path, server):
    key = os.urandom(32)
    config = tmp_path / "config.json"
    config.write_text(json.dumps(fresh.model_dump(mode="json", by_alias=True)))
    told: set[str] = set()
    command = [sys.executable, "-m", "tests.tenant_app.support.crash", str(config), key.hex()]
    environment = {**os.environ, "PYTHONPATH": "tenant-app:audit-service:."}
    for _ in range(KILLS):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        first = process.stdout.readline()
        assert first, "the process ended by itself"
        time.sleep(random.uniform(0.02, 0.6))  # noqa: S311  # not a secret
        process.kill()
        rest, _ = process.communicate()
        told |= set((first + rest).split("\n")[:-1])
    with server.admin(fresh.database.name) as conn:
        documents = {str(row[0]) for row in conn.execute("SELECT id FROM documents")}
        whole = {str(row[0]) for row in conn.execute("SELECT document FROM contents JOIN versions USING (document)")}
        entries = {
            row[0] for row in conn.execute("SELECT object_id FROM audit_outbox WHERE action = 'app:document:create'")
        }
    assert documents == entries == whole
    assert told <= documents
    asyncio.run(_chain_and_delivery(fresh, key, len(documents)))


async def _chain_and_delivery(fresh, key: bytes, created: int) -> None:
    log = FakeAuditLog()
    app = factory.build(fresh, factory.Ports(keys=FakeKeys(key), directory=LdapDirectory(fresh.ldap), audit=log))
    await app.database.open()
    try:
        await app.relay.deliver_all()
        async with app.database.transaction() as conn:
            previous, count = outbox.GENESIS, 0
            for link in await outbox.since(conn, 0, limit=100_000):
                assert (link.seq, outbox.link_hash(previous, link)) == (count, bytes(link.hash))
                previous, count = bytes(link.hash), count + 1
    finally:
        await app.close()
    assert log.actions().count("app:document:create") == created
    assert len(log.entries) == count
