"""Administration: people and their sessions. It gives no right over content (11.10(g)) and every act is recorded."""

from dataclasses import dataclass
from datetime import UTC, datetime

from tenant_app.domain.access import Right, Role
from tenant_app.domain.actions import Action
from tenant_app.domain.audit import Change, Entry, ObjectRef, Reason
from tenant_app.domain.authority import InForce, separated
from tenant_app.domain.documents import checked_reason
from tenant_app.domain.identity import SessionEnd
from tenant_app.errors import DirectoryAway, NotFound
from tenant_app.services.authority import Authority
from tenant_app.services.caller import Caller
from tenant_app.services.columns import Columns
from tenant_app.services.people import Known, People
from tenant_app.services.recorder import Recorded, Recorder
from tenant_app.storage import people
from tenant_app.storage.database import Database, Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A person with what they may do now. `directory`: their groups' roles, None when it no longer knows them as allowed."""

    known: Known
    now: InForce
    directory: frozenset[Role] | None
    sessions: tuple[Row, ...] = ()

    @property
    def joined(self) -> bool:
        """Say whether the directory gives them administration and content together, which a grant never would."""
        return separated(self.now.rights)


class Administration:
    """What an administrator sees and does."""

    def __init__(
        self,
        database: Database,
        columns: Columns,
        recorder: Recorder,
        authority: Authority,
        known: People,
    ) -> None:
        self._database = database
        self._columns = columns
        self._recorder = recorder
        self._authority = authority
        self._people = known

    async def members(self, caller: Caller) -> list[Standing]:
        """Return everyone who ever signed in, with the roles of their last sign-in and what is in force on top of them."""
        caller.require(Right.ADMINISTER)
        async with self._database.transaction() as conn:
            found = await self._people.every(conn)
            now = await self._authority.of_many(conn, {sub: each.roles for sub, each in found.items()})
        return [Standing(known=each, now=now[each.sub], directory=each.roles) for each in found.values()]

    async def person(self, caller: Caller, sub: str) -> Standing:
        """Return one person, as the directory has them now, with their live sessions. Raises NotFound."""
        caller.require(Right.ADMINISTER)
        async with self._database.transaction() as conn:
            known = (await self._people.every(conn)).get(sub)
        if known is None:
            raise NotFound("There is no such person here.")
        try:
            found = await self._people.now(sub)
            roles = found.roles if found else None
        except DirectoryAway:
            roles = known.roles
        async with self._database.transaction() as conn:
            sessions = tuple(await people.live_sessions(conn, sub))
            now = await self._authority.of(conn, sub, roles or ())
        return Standing(known=known, now=now, directory=roles, sessions=sessions)

    async def end_sessions(self, caller: Caller, sub: str, reason: str) -> int:
        """End every live session of a person, as after the loss of a credential (11.300(c), AT-43); return how many."""
        caller.require(Right.ADMINISTER)
        why = checked_reason(reason)
        async with self._database.transaction() as conn:
            await self._people.identity(conn, sub)
            count = await people.end_all(conn, sub, SessionEnd.REVOKED, datetime.now(UTC))
            entry = Entry(
                action=Action.SESSION_REVOKED,
                actor=caller.actor,
                object=ObjectRef(type="Person", id=sub),
                changes=(Change(path="/sessions", old=count, new=0),),
                reason=Reason(code="administrator", text=why),
                request=caller.request,
            )
            await self._recorder.with_change(conn, entry)
        return count

    async def history(self, caller: Caller, sub: str) -> list[Recorded]:
        """Return what was done to a person's authority and sessions, newest first; the look is an entry too (AT-59)."""
        caller.require(Right.ADMINISTER)
        await self._columns.ready()
        async with self._database.transaction() as conn:
            await self._people.identity(conn, sub)
        entry = Entry(
            action=Action.TRAIL_VIEWED,
            actor=caller.actor,
            object=ObjectRef(type="Person", id=sub),
            request=caller.request,
        )
        await self._recorder.alone(entry)
        async with self._database.transaction() as conn:
            return await self._recorder.of_object(conn, sub)
