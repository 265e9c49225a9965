"""The app under load in a process that somebody kills: it stores documents, signs them and delivers its trail as fast as it can.

A fork server that has imported the app begins such a process in milliseconds, where a fresh interpreter takes four seconds of a
processor. Each forked process builds its own app, with its own connections and its own sign-in.
"""

import asyncio
import itertools
import os
from collections.abc import Sequence
from multiprocessing.connection import Connection

from tenant_app import factory, settings
from tenant_app.adapters.directory import LdapDirectory
from tenant_app.adapters.ports import Acknowledged, Outgoing
from tenant_app.domain.documents import checked_metadata
from tenant_app.services.caller import Caller
from tenant_app.services.components import Typed
from tenant_app.services.documents import Upload
from tenant_app.services.sessions import Client
from tenant_app.services.signing import Request
from tests.tenant_app.support import people
from tests.tenant_app.support.fakes import FakeAuditLog, FakeKeys

CLIENT = Client(address="127.0.0.1", agent="crash", request="r")


class OutlivingLog(FakeAuditLog):
    """The audit log as the process reaches it: it lives in the one that kills, and so keeps what it took before a kill."""

    def __init__(self, line: Connection) -> None:
        super().__init__()
        self._line = line

    async def deliver(self, chain: str, entries: Sequence[Outgoing]) -> list[Acknowledged]:
        """Send the entries and wait for the answer, in a thread: the load goes on meanwhile."""
        return await asyncio.to_thread(self._asked, chain, list(entries))

    def _asked(self, chain: str, entries: list[Outgoing]) -> list[Acknowledged]:
        self._line.send((chain, entries))
        return self._line.recv()


def run(config: settings.Settings, keys: str, author: str, reviewer: str, told: Connection, line: Connection) -> None:
    """Work as `author` until killed. `keys` are two in hex, for wrapping and for signing, so that all processes have the same.

    Each finished act is told after its commit, as what it was and of which document: the one that kills then knows what must be
    there.
    """
    asyncio.run(_run(config, keys, author, reviewer, told, line))


async def _run(
    config: settings.Settings, keys: str, author: str, reviewer: str, told: Connection, line: Connection
) -> None:
    ports = factory.Ports(keys=FakeKeys.of(keys), directory=LdapDirectory(config.ldap), audit=OutlivingLog(line))
    app = factory.build(config, ports)
    await app.database.open()
    _, session = await app.sessions.sign_in(author, people.password(author), CLIENT)
    caller = Caller(session=session, request="lane")
    # One lane only stores, so that storing, signing and delivery of different documents are under way together.
    await asyncio.gather(app.relay.run(), _lane(app, caller, told), _lane(app, caller, told, reviewer))


async def _lane(app: factory.App, caller: Caller, told: Connection, reviewer: str = "") -> None:
    for number in itertools.count():
        metadata = checked_metadata(title=f"Number {number}", kind="Report")
        upload = Upload(file_name="a.txt", content=os.urandom(8).hex().encode())
        document = await app.documents.create(caller, metadata, upload)
        told.send(("stored", str(document.id)))
        if reviewer:
            await _sign(app, caller, document.id, reviewer)
            told.send(("signed", str(document.id)))


async def _sign(app: factory.App, caller: Caller, document, reviewer: str) -> None:
    challenge = await app.signing.challenge(caller, CLIENT, document, 1, "submit")
    request = Request(
        document=document,
        number=1,
        transition="submit",
        nonce=challenge.nonce,
        typed=Typed(account=caller.session.account, password=people.password(caller.session.account)),
        reviewers=frozenset({reviewer}),
    )
    await app.signing.sign(caller, CLIENT, request)
