"""Keeps live sessions true to the directory: disabled or without a group means signed out within a minute (AT-10, AT-20)."""

import asyncio
import logging
from datetime import UTC, datetime

from tenant_app.adapters.ports import Directory
from tenant_app.domain.actions import Action
from tenant_app.domain.audit import SYSTEM, Change, Entry, ObjectRef, Reason
from tenant_app.domain.identity import Person, SessionEnd, SessionRules, is_federated
from tenant_app.errors import AppError
from tenant_app.services.columns import Columns
from tenant_app.services.recorder import Recorder
from tenant_app.storage import people
from tenant_app.storage.database import Database

log = logging.getLogger(__name__)
EVERY_SECONDS = 20.0


class DirectoryWatch:
    """Asks the directory about everyone who is signed in."""

    def __init__(
        self, database: Database, columns: Columns, recorder: Recorder, directory: Directory, rules: SessionRules
    ) -> None:
        self._database = database
        self._columns = columns
        self._recorder = recorder
        self._directory = directory
        self._rules = rules

    async def run(self) -> None:
        """Look at every live person every 20 seconds until cancelled.

        A directory that does not answer ends nobody's session: the absolute timeout does, and readiness says so meanwhile.
        """
        while True:
            try:
                await self.look()
            except AppError as error:
                log.warning("people could not be checked against the directory: %s", error.code)
            await asyncio.sleep(EVERY_SECONDS)

    async def look(self) -> None:
        """Check everyone once, after ending the sessions whose time is over."""
        await self._columns.ready()
        await self._expire()
        async with self._database.transaction() as conn:
            live = await people.live_people(conn)
        for sub, roles in live.items():
            # Whom only the provider knows, the directory cannot tell about: their sessions end by time (docs: OpenID Connect).
            if is_federated(sub):
                continue
            person = await self._directory.look_up(sub)
            if person is None:
                await self._end(sub)
            elif {role.value for role in person.roles} != roles:
                await self._move(person, roles)

    async def _expire(self) -> None:
        now = datetime.now(UTC)
        async with self._database.transaction() as conn:
            over = await people.expire(conn, now - self._rules.idle, now - self._rules.absolute, now)
            entries = [
                Entry(
                    action=Action.SESSION_EXPIRED,
                    actor=SYSTEM,
                    object=ObjectRef(type="Session", id=bytes(row["id_hash"]).hex()[:16]),
                    changes=(Change(path="/person", old=row["sub"]),),
                    reason=Reason(code=row["end_reason"]),
                )
                for row in over
            ]
            await self._recorder.with_change(conn, *entries)

    async def _end(self, sub: str) -> None:
        async with self._database.transaction() as conn:
            count = await people.end_all(conn, sub, SessionEnd.DIRECTORY, datetime.now(UTC))
            entry = Entry(
                action=Action.SESSION_REVOKED,
                actor=SYSTEM,
                object=ObjectRef(type="Person", id=sub),
                changes=(Change(path="/sessions", old=count, new=0),),
                reason=Reason(code="directory", text="The directory no longer knows this person as allowed."),
            )
            await self._recorder.with_change(conn, entry)

    async def _move(self, person: Person, old: frozenset[str]) -> None:
        new = sorted(role.value for role in person.roles)
        async with self._database.transaction() as conn:
            await people.set_roles(conn, person.sub, new)
            entry = Entry(
                action=Action.PERSON_CHANGED,
                actor=SYSTEM,
                object=ObjectRef(type="Person", id=person.sub),
                changes=(Change(path="/roles", old=sorted(old), new=new),),
                reason=Reason(code="directory", text="The directory's groups changed."),
            )
            await self._recorder.with_change(conn, entry)
