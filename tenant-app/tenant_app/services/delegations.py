"""Delegating the authority to sign: offered by its holder, accepted by the delegate, ended by either or by an administrator."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from psycopg.errors import UniqueViolation

from tenant_app.domain.access import Right
from tenant_app.domain.actions import Action
from tenant_app.domain.audit import SYSTEM, Actor, Change, Entry, ObjectRef, Reason, stamp
from tenant_app.domain.authority import checked_until, needed_training, same_person
from tenant_app.domain.delegation import NEVER_DELEGATED, Acting, Delegation, check_use
from tenant_app.domain.documents import checked_reason
from tenant_app.domain.ids import uuid7
from tenant_app.domain.workflow import Definition, Transition
from tenant_app.errors import Conflict, InvalidInput, NotFound
from tenant_app.services.authority import Authority
from tenant_app.services.caller import Caller
from tenant_app.services.columns import Columns
from tenant_app.services.people import Known, People
from tenant_app.services.recorder import Recorder
from tenant_app.storage import authority, delegations
from tenant_app.storage.database import Conn, Database, Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A delegation as shown, with the names of both."""

    delegation: Delegation
    giver: str
    receiver: str
    reason: str
    end_reason: str

    @property
    def state(self) -> str:
        """Return offered, in force, ended, or over."""
        found, now = self.delegation, datetime.now(UTC)
        if found.ended_at is not None:
            return "ended"
        if found.until <= now:
            return "over"
        return "in force" if found.accepted_at else "offered"


class Delegations:
    """Everything about delegations but the signing itself, which asks here whether it may."""

    def __init__(
        self,
        database: Database,
        columns: Columns,
        recorder: Recorder,
        standing: Authority,
        people: People,
        definition: Definition,
    ) -> None:
        self._database = database
        self._columns = columns
        self._recorder = recorder
        self._authority = standing
        self._people = people
        self._definition = definition

    def meanings(self, caller: Caller) -> list[str]:
        """Return what the caller could hand on: the meanings they can sign with themselves."""
        rights = caller.session.rights
        found = {each.meaning for each in self._definition.transitions.values() if each.right in rights}
        return sorted(found - NEVER_DELEGATED)

    async def offer(self, caller: Caller, receiver: str, meaning: str, reason: str, until: datetime) -> UUID:
        """Offer somebody to sign one meaning on the caller's behalf until a day; return its id.

        Raises Conflict for what the caller may not do themselves or to another account of theirs, InvalidInput, NotFound.
        """
        why, now, id_ = checked_reason(reason), datetime.now(UTC), uuid7()
        checked_until(until, now=now, longest=self._authority.rules.longest)
        if meaning not in self._definition.statements or meaning in NEVER_DELEGATED:
            raise InvalidInput("Choose a meaning from the list.", field="meaning")
        if meaning not in self.meanings(caller):
            raise Conflict("You can only hand on what you may sign yourself.")
        await self._columns.ready()
        try:
            async with self._database.transaction() as conn:
                await self._recorder.refuse_when_behind(conn)
                whom = await self._people.identity(conn, receiver)
                if same_person(await self._people.identity(conn, caller.session.sub), whom):
                    raise Conflict("A delegation is to somebody else.")
                row = {
                    "id": id_,
                    "giver": caller.session.sub,
                    "receiver": receiver,
                    "meaning": meaning,
                    "sealed": self._columns.seal(
                        {"reason": why}, "delegations", str(id_), caller.session.sub, receiver
                    ),
                    "at": now,
                    "until": until,
                }
                await delegations.insert(conn, row)
                found = await delegations.find(conn, id_)
                entry = await self._entry(
                    conn, Action.DELEGATION_OFFERED, caller.actor, found or row, why, caller.request
                )
                await self._recorder.with_change(conn, entry)
        except UniqueViolation as error:
            raise Conflict("You have offered this already. End it first to offer it with another end.") from error
        return id_

    async def accept(self, caller: Caller, id_: UUID) -> None:
        """Accept an offer to the caller. Raises NotFound."""
        async with self._database.transaction() as conn:
            row = await delegations.accept(conn, id_, caller.session.sub, datetime.now(UTC))
            if row is None:
                raise NotFound("There is no such offer to you.")
            await authority.bump(conn, row["receiver"])
            entry = await self._entry(conn, Action.DELEGATION_ACCEPTED, caller.actor, row, "", caller.request)
            await self._recorder.with_change(conn, entry)

    async def end(self, caller: Caller, id_: UUID, reason: str) -> None:
        """End a delegation at once: its giver, its delegate or an administrator. Raises NotFound, InvalidInput."""
        why = checked_reason(reason)
        async with self._database.transaction() as conn:
            row = await delegations.find(conn, id_)
            involved = row is not None and caller.session.sub in {row["giver"], row["receiver"]}
            if row is None or not (involved or Right.ADMINISTER in caller.session.rights):
                raise NotFound("There is no such delegation.")
            ended = await delegations.end(conn, id_, caller.session.sub, "ended", datetime.now(UTC))
            if ended is None:
                raise NotFound("There is no such delegation in force.")
            await authority.bump(conn, ended["receiver"])
            entry = await self._entry(conn, Action.DELEGATION_REVOKED, caller.actor, ended, why, caller.request)
            await self._recorder.with_change(conn, entry)

    async def lapse(self, conn: Conn, now: datetime) -> None:
        """End what is over, each with its entry."""
        for row in await delegations.lapsed(conn, now):
            await authority.bump(conn, row["receiver"])
            entry = await self._entry(conn, Action.DELEGATION_REVOKED, SYSTEM, row, "Its time was over.", "")
            await self._recorder.with_change(conn, entry)

    async def shown(self, caller: Caller, *, everybody: bool = False) -> list[Shown]:
        """Return the caller's delegations, given and taken, newest first; an administrator may ask for everybody's."""
        if everybody:
            caller.require(Right.ADMINISTER)
        await self._columns.ready()
        async with self._database.transaction() as conn:
            rows = await delegations.of(conn, None if everybody else caller.session.sub)
            return [
                Shown(
                    delegation=delegations.delegation(row),
                    giver=await self._people.name(conn, row["giver"]),
                    receiver=await self._people.name(conn, row["receiver"]),
                    reason=self._words(row),
                    end_reason=row["end_reason"] or "",
                )
                for row in rows
            ]

    async def colleagues(self, caller: Caller) -> list[Known]:
        """Return who could be a delegate: everybody else who has signed in, is not suspended, and may read."""
        async with self._database.transaction() as conn:
            found = await self._people.every(conn)
            now = await self._authority.of_many(conn, {sub: each.roles for sub, each in found.items()})
        return [
            each for each in found.values() if each.sub != caller.session.sub and Right.VIEW in now[each.sub].rights
        ]

    async def acting(self, caller: Caller, id_: UUID, transition: Transition) -> Acting:
        """Return the caller acting under a delegation for one step, with the giver's right as it is at this moment.

        Raises NotFound, Conflict when it is not in force, does not cover the step, its giver has lost the right, or the delegate
        lacks the training for it.
        """
        now = datetime.now(UTC)
        async with self._database.transaction() as conn:
            row = await delegations.find(conn, id_)
        found = check_use(
            delegations.delegation(row) if row else None,
            receiver=caller.session.sub,
            meaning=transition.meaning,
            now=now,
        )
        return await self._acting(caller, found, transition)

    async def actings(self, caller: Caller) -> list[tuple[Transition, Acting]]:
        """Return every step that the caller could take on somebody's behalf, whatever the document."""
        async with self._database.transaction() as conn:
            rows = await delegations.in_force_to(conn, caller.session.sub, datetime.now(UTC))
        found = []
        for row in rows:
            for transition in self._definition.transitions.values():
                if transition.meaning == row["meaning"]:
                    try:
                        acting = await self._acting(caller, delegations.delegation(row), transition)
                    except Conflict:
                        continue
                    found.append((transition, acting))
        return found

    async def hold(self, conn: Conn, caller: Caller, acting: Acting) -> None:
        """Make sure, inside the signing's transaction, that the delegation still is in force and stays so until the end of it."""
        row = await delegations.find(conn, acting.delegation.id, hold=True)
        check_use(
            delegations.delegation(row) if row else None,
            receiver=caller.session.sub,
            meaning=acting.delegation.meaning,
            now=datetime.now(UTC),
        )

    async def _acting(self, caller: Caller, found: Delegation, transition: Transition) -> Acting:
        person = await self._people.now(found.giver)
        if person is None:
            raise Conflict("The directory no longer knows the person who delegated this as allowed.")
        async with self._database.transaction() as conn:
            giver = await self._authority.of(conn, found.giver, person.roles)
            trained = await self._authority.trained(conn, caller.session.sub)
        if transition.right not in giver.rights:
            raise Conflict(
                f"{person.name} no longer has the right to {transition.right.value}, so nobody has it from them."
            )
        if needed_training(transition.right.value, self._authority.rules.required) - trained:
            raise Conflict(f"You need a valid training record for: {transition.right.value}.")
        return Acting(delegation=found, name=person.name, title=person.title, rights=frozenset({transition.right}))

    def _words(self, row: Row) -> str:
        place = ("delegations", str(row["id"]), row["giver"], row["receiver"])
        return str(self._columns.open(row["sealed"], *place)["reason"])

    async def _entry(self, conn: Conn, action: Action, actor: Actor, row: Row, why: str, request: str) -> Entry:
        await self._columns.ready()
        until = stamp(row["valid_until"])
        state = {
            Action.DELEGATION_OFFERED: (None, "offered"),
            Action.DELEGATION_ACCEPTED: ("offered", "in force"),
        }.get(action, ("in force" if row["accepted_at"] else "offered", "ended"))
        return Entry(
            action=action,
            actor=actor,
            object=ObjectRef(type="Delegation", id=str(row["id"])),
            changes=(
                Change(path="/state", old=state[0], new=state[1]),
                Change(path="/meaning", new=row["meaning"]),
                Change(path="/by", new=await self._people.name(conn, row["giver"])),
                Change(path="/to", new=await self._people.name(conn, row["receiver"])),
                Change(path="/until", new=until),
            ),
            reason=Reason(code="delegation", text=why),
            request=request,
        )
