"""Extra grants and training records, made by administrators for others (11.10(g), 11.10(i), AT-18, AT-20, AT-22)."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from psycopg.errors import UniqueViolation

from tenant_app.domain.access import Right
from tenant_app.domain.actions import Action
from tenant_app.domain.audit import Change, Entry, ObjectRef, Reason, stamp
from tenant_app.domain.authority import NAMES, check_grant, checked_until, given_by, same_person
from tenant_app.domain.documents import checked_reason, checked_text
from tenant_app.domain.ids import uuid7
from tenant_app.errors import AppError, Conflict, Forbidden, InvalidInput, NotFound
from tenant_app.services.authority import Authority
from tenant_app.services.caller import Caller
from tenant_app.services.columns import Columns
from tenant_app.services.people import People
from tenant_app.services.recorder import Recorder
from tenant_app.storage import authority
from tenant_app.storage.database import Conn, Database, Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A grant or a training record as shown: about what, why, by whom, from when until when, and whether and how it ended."""

    id: UUID
    sub: str
    name: str
    words: str
    by: str
    at: datetime
    until: datetime
    ended_at: datetime | None
    end_reason: str

    @property
    def live(self) -> bool:
        """Say whether it holds now."""
        return self.ended_at is None and self.until > datetime.now(UTC)


class Grants:
    """Gives and takes. Nobody gives to themselves; everything is recorded with old and new."""

    def __init__(
        self,
        database: Database,
        columns: Columns,
        recorder: Recorder,
        standing: Authority,
        people: People,
    ) -> None:
        self._database = database
        self._columns = columns
        self._recorder = recorder
        self._authority = standing
        self._people = people

    async def grant(self, caller: Caller, sub: str, name: str, reason: str, until: datetime) -> UUID:
        """Give a role or right until a day; return the grant's id.

        Raises Forbidden for a grant to oneself, Conflict when it would join administration with content or a training record is
        missing, InvalidInput, NotFound. A refusal is recorded.
        """
        caller.require(Right.ADMINISTER)
        try:
            return await self._grant(caller, sub, name, reason, until)
        except (Forbidden, Conflict) as error:
            await self._refused(caller, sub, name, error)
            raise

    async def _grant(self, caller: Caller, sub: str, name: str, reason: str, until: datetime) -> UUID:
        now, grant = datetime.now(UTC), uuid7()
        given_by(name)
        why = checked_reason(reason)
        checked_until(until, now=now, longest=self._authority.rules.longest)
        await self._columns.ready()
        async with self._database.transaction() as conn:
            await self._recorder.refuse_when_behind(conn)
            receiver = await self._people.identity(conn, sub)
        person = await self._people.now(sub)
        try:
            async with self._database.transaction() as conn:
                if person is None:
                    raise Conflict(
                        "The directory no longer knows this person as allowed, so nothing can be given to them."
                    )
                before = await self._authority.of(conn, sub, person.roles)
                check_grant(
                    giver=await self._people.identity(conn, caller.session.sub),
                    receiver=receiver,
                    name=name,
                    has=before,
                    trained=await self._authority.trained(conn, sub),
                    required=self._authority.rules.required,
                )
                await self._insert(conn, "grants", grant, sub, name, why, caller, now, until)
                after = await self._authority.of(conn, sub, person.roles)
                changes = (
                    Change(path=f"/grants/{name}", new=f"until {stamp(until)}"),
                    Change(path="/rights", old=sorted(before.rights), new=sorted(after.rights)),
                )
                await self._recorder.with_change(conn, _entry(Action.GRANT_CREATED, caller, sub, changes, why))
        except UniqueViolation as error:
            raise Conflict("They have this grant already. End it first to give it with another end.") from error
        return grant

    async def revoke(self, caller: Caller, grant: UUID, reason: str) -> None:
        """Take a grant back at once. Raises NotFound, InvalidInput."""
        caller.require(Right.ADMINISTER)
        why = checked_reason(reason)
        async with self._database.transaction() as conn:
            row = await authority.end_grant(conn, grant, caller.session.sub, "revoked", datetime.now(UTC))
            if row is None:
                raise NotFound("There is no such grant in force.")
            await authority.bump(conn, row["sub"])
            changes = (Change(path=f"/grants/{row['name']}", old=f"until {stamp(row['valid_until'])}"),)
            await self._recorder.with_change(conn, _entry(Action.GRANT_REVOKED, caller, row["sub"], changes, why))

    async def record_training(self, caller: Caller, sub: str, name: str, what: str, until: datetime) -> UUID:
        """Record that a person was trained for a role or right, and until when that holds; return the record's id.

        Raises Forbidden for one's own training, InvalidInput, NotFound. A refusal is recorded.
        """
        caller.require(Right.ADMINISTER)
        now, record = datetime.now(UTC), uuid7()
        if name not in NAMES:
            raise InvalidInput("Choose a role or a right from the list.", field="name")
        words = checked_text(what, field="what", label="What the training was", least=5, most=300)
        checked_until(until, now=now, longest=self._authority.rules.longest * 5)
        await self._columns.ready()
        async with self._database.transaction() as conn:
            await self._recorder.refuse_when_behind(conn)
            mine = await self._people.identity(conn, caller.session.sub)
            own = same_person(mine, await self._people.identity(conn, sub))
            if not own:
                known = [row for row in await authority.trainings(conn, sub) if row["name"] == name]
                old = f"until {stamp(known[0]['valid_until'])}" if known else None
                await self._insert(conn, "trainings", record, sub, name, words, caller, now, until)
                change = Change(path=f"/training/{name}", old=old, new=f"until {stamp(until)}")
                await self._recorder.with_change(conn, _entry(Action.TRAINING_RECORDED, caller, sub, (change,), words))
        if own:
            error = Forbidden("Nobody records their own training. Ask another administrator.")
            await self._refused(caller, sub, name, error)
            raise error
        return record

    async def grants(self, caller: Caller, sub: str) -> list[Record]:
        """Return a person's grants, newest first, those that ended included. Anybody may see their own."""
        return await self._records(caller, sub, "grants")

    async def trainings(self, caller: Caller, sub: str) -> list[Record]:
        """Return a person's training records, newest first. Anybody may see their own."""
        return await self._records(caller, sub, "trainings")

    async def _records(self, caller: Caller, sub: str, table: str) -> list[Record]:
        if sub != caller.session.sub:
            caller.require(Right.ADMINISTER)
        await self._columns.ready()
        async with self._database.transaction() as conn:
            await self._people.identity(conn, sub)
            rows = await (authority.grants(conn, sub) if table == "grants" else authority.trainings(conn, sub))
            return [await self._record(conn, table, row) for row in rows]

    async def _record(self, conn: Conn, table: str, row: Row) -> Record:
        grant = table == "grants"
        by = row["granted_by"] if grant else row["recorded_by"]
        return Record(
            id=row["id"],
            sub=row["sub"],
            name=row["name"],
            words=self._columns.open(row["sealed"], table, str(row["id"]), row["sub"])["words"],
            by=await self._people.name(conn, by),
            at=row["granted_at"] if grant else row["recorded_at"],
            until=row["valid_until"],
            ended_at=row["ended_at"] if grant else row["lapsed_at"],
            end_reason=(row["end_reason"] or "") if grant else "lapsed",
        )

    async def _insert(
        self,
        conn: Conn,
        table: str,
        id_: UUID,
        sub: str,
        name: str,
        words: str,
        caller: Caller,
        at: datetime,
        until: datetime,
    ) -> None:
        row = {
            "id": id_,
            "sub": sub,
            "name": name,
            "sealed": self._columns.seal({"words": words}, table, str(id_), sub),
            "by": caller.session.sub,
            "at": at,
            "until": until,
        }
        await (authority.insert_grant(conn, row) if table == "grants" else authority.insert_training(conn, row))
        await authority.bump(conn, sub)

    async def _refused(self, caller: Caller, sub: str, name: str, error: AppError) -> None:
        entry = Entry(
            action=Action.ACCESS_DENIED,
            actor=caller.actor,
            object=ObjectRef(type="Person", id=sub[:64]),
            changes=(Change(path="/grants", new=name),),
            reason=Reason(code="grant", text=error.detail),
            result="denied",
            request=caller.request,
        )
        await self._recorder.alone(entry)


def _entry(action: Action, caller: Caller, sub: str, changes: tuple[Change, ...], why: str) -> Entry:
    return Entry(
        action=action,
        actor=caller.actor,
        object=ObjectRef(type="Person", id=sub),
        changes=changes,
        reason=Reason(code="administrator", text=why),
        request=caller.request,
    )
