"""A process that stores documents as fast as it can until it is killed: `python crash.py CONFIG.json KEY_HEX`.

Each finished one is told on standard output, after its commit; the parent then knows what must be there.
"""

import asyncio
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from tenant_app import factory, settings
from tenant_app.adapters.directory import LdapDirectory
from tenant_app.domain.documents import checked_metadata
from tenant_app.domain.identity import Session
from tenant_app.services.caller import Caller
from tenant_app.services.documents import Upload
from tenant_app.services.sessions import Client
from tests.tenant_app.support.fakes import FakeAuditLog, FakeKeys


async def main(config: str, key: str) -> None:
    found = settings.Settings.model_validate(json.loads(Path(config).read_text()))
    ports = factory.Ports(keys=FakeKeys(bytes.fromhex(key)), directory=LdapDirectory(found.ldap), audit=FakeAuditLog())
    app = factory.build(found, ports)
    await app.database.open()
    client = Client(address="127.0.0.1", agent="crash", request="r")
    _, session = await app.sessions.sign_in("alice", "alice-password", client)
    await asyncio.gather(*(store(app, session, number) for number in range(3)))


async def store(app: factory.App, session: Session, lane: int) -> None:
    caller = Caller(session=session, request=f"lane-{lane}")
    while True:
        metadata = checked_metadata(title=f"Made at {datetime.now(UTC)}", kind="Report")
        document = await app.documents.create(
            caller, metadata, Upload(file_name="a.txt", content=os.urandom(8).hex().encode())
        )
        sys.stdout.write(f"{document.id}\n")
        sys.stdout.flush()


asyncio.run(main(*sys.argv[1:]))
