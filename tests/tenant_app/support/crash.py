"""A process that stores documents and signs them as fast as it can until it is killed: `python crash.py CONFIG.json KEYS REVIEWER`.

KEYS are two keys in hex, for wrapping and for signing, so that the next process goes on with them. Each finished act is told on
standard output, after its commit; the parent then knows what must be there.
"""

import asyncio
import itertools
import json
import os
import sys
from pathlib import Path

from tenant_app import factory, settings
from tenant_app.adapters.directory import LdapDirectory
from tenant_app.domain.documents import checked_metadata
from tenant_app.services.caller import Caller
from tenant_app.services.components import Typed
from tenant_app.services.documents import Upload
from tenant_app.services.sessions import Client
from tenant_app.services.signing import Request
from tests.tenant_app.support.fakes import FakeAuditLog, FakeKeys

CLIENT = Client(address="127.0.0.1", agent="crash", request="r")


async def main(config: str, keys: str, reviewer: str) -> None:
    found = settings.Settings.model_validate(json.loads(Path(config).read_text()))
    ports = factory.Ports(keys=FakeKeys.of(keys), directory=LdapDirectory(found.ldap), audit=FakeAuditLog())
    app = factory.build(found, ports)
    await app.database.open()
    _, session = await app.sessions.sign_in("alice", "alice-password", CLIENT)
    caller = Caller(session=session, request="lane")
    # Two lanes only store, so that storing and signing of different documents are under way together.
    await asyncio.gather(lane(app, caller), lane(app, caller), lane(app, caller, reviewer))


async def lane(app: factory.App, caller: Caller, reviewer: str = "") -> None:
    for number in itertools.count():
        metadata = checked_metadata(title=f"Number {number}", kind="Report")
        upload = Upload(file_name="a.txt", content=os.urandom(8).hex().encode())
        document = await app.documents.create(caller, metadata, upload)
        tell("stored", document.id)
        if reviewer:
            await sign(app, caller, document.id, reviewer)
            tell("signed", document.id)


async def sign(app: factory.App, caller: Caller, document, reviewer: str) -> None:
    challenge = await app.signing.challenge(caller, CLIENT, document, 1, "submit")
    request = Request(
        document=document,
        number=1,
        transition="submit",
        nonce=challenge.nonce,
        typed=Typed(account="alice", password="alice-password"),
        reviewers=frozenset({reviewer}),
    )
    await app.signing.sign(caller, CLIENT, request)


def tell(what: str, document) -> None:
    sys.stdout.write(f"{what} {document}\n")
    sys.stdout.flush()


asyncio.run(main(*sys.argv[1:]))
