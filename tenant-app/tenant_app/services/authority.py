"""What a person may do at this very request: roles of the directory, extra grants, training (11.10(g), (i), AT-20, AT-22)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from tenant_app.domain.access import Role
from tenant_app.domain.actions import Action
from tenant_app.domain.audit import SYSTEM, Change, Entry, ObjectRef, Reason, stamp
from tenant_app.domain.authority import Held, InForce, in_force
from tenant_app.domain.identity import Session, SessionEnd
from tenant_app.errors import SUSPENDED, AccessSuspended, NotSignedIn
from tenant_app.services.recorder import Recorder
from tenant_app.storage import authority, people
from tenant_app.storage.database import Conn, Database, Row


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityRules:
    """The tenant's settings: training that is demanded, the longest grant, how enrolment is proven."""

    required: frozenset[str] = frozenset()
    longest: timedelta = timedelta(days=366)
    enrolment: str = "directory"


class Authority:
    """Turns a session as signed in into what it may do now. Asked at every request, so that a change holds at the next one."""

    def __init__(self, database: Database, recorder: Recorder, rules: AuthorityRules) -> None:
        self._database = database
        self._recorder = recorder
        self.rules = rules

    async def applied(self, session: Session, request: str) -> Session:
        """Return the session with the roles and rights in force now; what lapsed is recorded on the way.

        Raises AccessSuspended after ending the session of somebody whose loss of a credential was reported (11.300(c)).
        """
        now = datetime.now(UTC)
        async with self._database.transaction() as conn:
            row = await authority.standing(conn, session.sub)
            if row is None:
                raise NotSignedIn("Please sign in.")
            if row["suspended_at"] is not None:
                await self._end(conn, session, request)
            elif any(held.until <= now for held in (*row["grants"], *row["trainings"])):
                await self.lapse(conn, now, session.sub)
                row = await authority.standing(conn, session.sub) or row
        if row["suspended_at"] is not None:
            raise AccessSuspended(SUSPENDED)
        found = self._in_force(row, session.roles, now)
        return replace(session, roles=found.roles, rights=found.rights, authority=row["authority"])

    async def of(self, conn: Conn, sub: str, directory: Iterable[Role]) -> InForce:
        """Return what a person with these directory roles may do now; nothing while they are suspended."""
        return self.judged(await authority.standing(conn, sub), directory)

    async def of_many(self, conn: Conn, people: Mapping[str, Iterable[Role]]) -> dict[str, InForce]:
        """Return the same for many people at once, by id."""
        rows = await authority.standings(conn)
        return {sub: self.judged(rows.get(sub), roles) for sub, roles in people.items()}

    def judged(self, row: Row | None, directory: Iterable[Role]) -> InForce:
        """Return what a row of `standing`, None for somebody who never signed in, makes of the directory's roles."""
        if row is None:
            return in_force(directory, (), trained=frozenset(), required=self.rules.required)
        if row["suspended_at"] is not None:
            return InForce(roles=frozenset(), rights=frozenset(), withheld=frozenset())
        return self._in_force(row, directory, datetime.now(UTC))

    async def trained(self, conn: Conn, sub: str) -> frozenset[str]:
        """Return what a person has a valid training record for."""
        row = await authority.standing(conn, sub)
        return _valid(row["trainings"], datetime.now(UTC)) if row else frozenset()

    async def lapse(self, conn: Conn, now: datetime, sub: str | None = None) -> int:
        """End grants and training records whose time is over, each with its entry; of one person or of everybody."""
        ended = await authority.lapsed_grants(conn, now, sub)
        over = await authority.lapsed_trainings(conn, now, sub)
        entries = [_lapsed(Action.GRANT_REVOKED, row, "grants") for row in ended]
        entries += [_lapsed(Action.TRAINING_LAPSED, row, "training") for row in over]
        for row in (*ended, *over):
            await authority.bump(conn, row["sub"])
        await self._recorder.with_change(conn, *entries)
        return len(entries)

    async def _end(self, conn: Conn, session: Session, request: str) -> None:
        count = await people.end_all(conn, session.sub, SessionEnd.REVOKED, datetime.now(UTC))
        entry = Entry(
            action=Action.SESSION_REVOKED,
            actor=SYSTEM,
            object=ObjectRef(type="Person", id=session.sub),
            changes=(Change(path="/sessions", old=count, new=0),),
            reason=Reason(
                code="suspended", text="A loss was reported for this person and nobody has restored the access."
            ),
            request=request,
        )
        await self._recorder.with_change(conn, entry)

    def _in_force(self, row: Row, directory: Iterable[Role], now: datetime) -> InForce:
        granted = [held.name for held in row["grants"] if held.until > now]
        return in_force(directory, granted, trained=_valid(row["trainings"], now), required=self.rules.required)


def _valid(trainings: Iterable[Held], now: datetime) -> frozenset[str]:
    return frozenset(held.name for held in trainings if held.until > now)


def _lapsed(action: Action, row: Row, where: str) -> Entry:
    return Entry(
        action=action,
        actor=SYSTEM,
        object=ObjectRef(type="Person", id=row["sub"]),
        changes=(Change(path=f"/{where}/{row['name']}", old=f"until {stamp(row['valid_until'])}"),),
        reason=Reason(code="lapsed", text="Its time was over."),
    )
