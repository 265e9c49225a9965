"""What one administrator alone never does: two people, a cool-off, and the owner told (11.200(a)(3), AT-38).

A kind of act registers what it does: `register("reset_second_factor", "Reset the second factor", act)`. The act runs in the
transaction that marks the request as done, so that it happens once or not at all.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from psycopg.errors import UniqueViolation

from tenant_app.domain.access import Right
from tenant_app.domain.actions import Action
from tenant_app.domain.audit import SYSTEM, Change, stamp
from tenant_app.domain.authority import same_person
from tenant_app.domain.documents import checked_reason
from tenant_app.domain.ids import uuid7
from tenant_app.errors import AppError, Conflict, Forbidden, InvalidInput, NotFound
from tenant_app.services.alerts import Alerts
from tenant_app.services.caller import Caller
from tenant_app.services.columns import Columns
from tenant_app.services.people import People
from tenant_app.services.recorder import Recorder
from tenant_app.services.two_person_entries import denied, entry_of
from tenant_app.storage import authority, two_person
from tenant_app.storage.database import Conn, Database, Row

log = logging.getLogger(__name__)
Act = Callable[[Conn, str], Awaitable[tuple[Change, ...]]]
TOLD_FOR = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request as shown."""

    id: UUID
    kind: str
    words: str
    sub: str
    name: str
    reason: str
    by: str
    by_sub: str
    at: datetime
    not_before: datetime
    confirmed_by: str
    done_at: datetime | None


class TwoPerson:
    """Requests, confirmations, objections; and the acts once both people and the cool-off agree."""

    def __init__(
        self,
        database: Database,
        columns: Columns,
        recorder: Recorder,
        alerts: Alerts,
        people: People,
        *,
        cool_off: timedelta,
    ) -> None:
        self._database = database
        self._columns = columns
        self._recorder = recorder
        self._alerts = alerts
        self._people = people
        self._cool_off = cool_off
        self._acts: dict[str, tuple[str, Act]] = {}

    def register(self, kind: str, words: str, act: Act) -> None:
        """Let `kind` be asked for; `act` does it for a person's id and returns what changed. ValueError for a taken kind."""
        if kind in self._acts:
            raise ValueError(f"{kind} is registered already")
        self._acts[kind] = (words, act)

    @property
    def kinds(self) -> dict[str, str]:
        """Return what can be asked for, with its words."""
        return {kind: words for kind, (words, _) in self._acts.items()}

    async def ask(self, caller: Caller, kind: str, sub: str, reason: str) -> UUID:
        """Ask for an act on another person; return the request's id. The owner and the security unit are told at once.

        Raises Forbidden for one's own account, Conflict when it is asked for already, InvalidInput, NotFound.
        """
        caller.require(Right.ADMINISTER)
        if kind not in self._acts:
            raise InvalidInput("Choose what is to be done.", field="kind")
        why, id_, now = checked_reason(reason), uuid7(), datetime.now(UTC)
        await self._columns.ready()
        try:
            async with self._database.transaction() as conn:
                await self._recorder.refuse_when_behind(conn)
                whose = await self._people.identity(conn, sub)
                if same_person(await self._people.identity(conn, caller.session.sub), whose):
                    raise Forbidden("Nobody asks for this on their own account. Ask another administrator.")
                row = {
                    "id": id_,
                    "kind": kind,
                    "sub": sub,
                    "sealed": self._columns.seal({"reason": why}, "two_person_requests", str(id_), sub),
                    "by": caller.session.sub,
                    "at": now,
                    "not_before": now + self._cool_off,
                }
                await two_person.insert(conn, row)
                changes = (
                    Change(path="/asked", new=kind),
                    Change(path="/notBefore", new=stamp(now + self._cool_off)),
                )
                entry = entry_of(Action.TWO_PERSON_ASKED, caller.actor, id_, sub, changes, why, caller.request)
                await self._alerts.raise_in(conn, "two_person_asked", entry)
                await self._recorder.with_change(conn, entry)
        except UniqueViolation as error:
            raise Conflict("This is asked for already.") from error
        return id_

    async def confirm(self, caller: Caller, id_: UUID) -> None:
        """Confirm what another administrator asked for.

        Raises Forbidden for who asked and for whom it is about, whichever of their accounts they use; NotFound, Conflict. A
        refusal is recorded.
        """
        caller.require(Right.ADMINISTER)
        await self._columns.ready()
        refused = ""
        async with self._database.transaction() as conn:
            await self._recorder.refuse_when_behind(conn)
            row = await self._open(conn, id_)
            me = await self._people.identity(conn, caller.session.sub)
            if row["confirmed_at"] is not None:
                raise Conflict("This is confirmed already.")
            if same_person(me, await self._people.identity(conn, row["requested_by"])):
                refused = "Who asked cannot confirm: another administrator has to."
            elif same_person(me, await self._people.identity(conn, row["sub"])):
                refused = "Nobody confirms an act on their own account."
            else:
                await two_person.confirm(conn, id_, caller.session.sub, datetime.now(UTC))
                change = (Change(path="/confirmed", new=row["kind"]),)
                entry = entry_of(Action.TWO_PERSON_CONFIRMED, caller.actor, id_, row["sub"], change, "", caller.request)
                await self._recorder.with_change(conn, entry)
        if refused:
            change = (Change(path="/confirmed", new=row["kind"]),)
            entry = entry_of(Action.TWO_PERSON_REFUSED, caller.actor, id_, row["sub"], change, refused, caller.request)
            await self._recorder.alone(denied(entry))
            raise Forbidden(refused)

    async def refuse(self, caller: Caller, id_: UUID, reason: str) -> None:
        """End a request before it took effect: an administrator, or the person it is about, who objects and so raises an alert.

        Raises NotFound, InvalidInput.
        """
        why = checked_reason(reason)
        async with self._database.transaction() as conn:
            row = await self._open(conn, id_)
            owner = row["sub"] == caller.session.sub
            if not owner and Right.ADMINISTER not in caller.session.rights:
                raise NotFound("There is no such open request.")
            await two_person.end(conn, id_, caller.session.sub, "objected" if owner else "refused", datetime.now(UTC))
            change = (Change(path="/asked", old=row["kind"]),)
            entry = entry_of(Action.TWO_PERSON_REFUSED, caller.actor, id_, row["sub"], change, why, caller.request)
            if owner:
                await self._alerts.raise_in(conn, "two_person_objected", entry)
            await self._recorder.with_change(conn, entry)

    async def recent(self, caller: Caller) -> list[Asked]:
        """Return what is open and what took effect in the last week."""
        caller.require(Right.ADMINISTER)
        await self._columns.ready()
        async with self._database.transaction() as conn:
            return await self._asked(conn, await two_person.recent(conn, datetime.now(UTC) - TOLD_FOR))

    async def about(self, caller: Caller) -> list[Asked]:
        """Return what is open about the caller, and what was done and not acknowledged: their notice after signing in."""
        await self._columns.ready()
        async with self._database.transaction() as conn:
            return await self._asked(conn, await two_person.untold(conn, caller.session.sub))

    async def owes_notice(self, sub: str) -> bool:
        """Say whether a person has yet to hear of something that is asked for or was done on their account."""
        async with self._database.transaction() as conn:
            return bool(await two_person.untold(conn, sub))

    async def acknowledge(self, caller: Caller, id_: UUID) -> None:
        """Note that the person it is about has read what was done. Raises NotFound."""
        async with self._database.transaction() as conn:
            if not await two_person.see(conn, id_, caller.session.sub, datetime.now(UTC)):
                raise NotFound("There is no such notice.")
            text = "The owner has read of it."
            entry = entry_of(Action.TWO_PERSON_SEEN, caller.actor, id_, caller.session.sub, (), text, caller.request)
            await self._recorder.with_change(conn, entry)

    async def do_due(self) -> int:
        """Let every confirmed request whose cool-off is over take effect; return how many did."""
        await self._columns.ready()
        async with self._database.transaction() as conn:
            due = await two_person.due(conn, datetime.now(UTC))
        count = 0
        for id_ in due:
            try:
                count += await self._do(id_)
            except AppError as error:
                log.warning("a confirmed request waits: %s", error.code)
        return count

    async def _do(self, id_: UUID) -> int:
        async with self._database.transaction() as conn:
            row = await two_person.lock(conn, id_)
            if row is None or row["kind"] not in self._acts:
                return 0
            changes = await self._acts[row["kind"]][1](conn, row["sub"])
            await two_person.done(conn, id_, datetime.now(UTC))
            await authority.bump(conn, row["sub"])
            first = await self._people.name(conn, row["requested_by"])
            second = await self._people.name(conn, row["confirmed_by"])
            both = (
                Change(path="/done", new=row["kind"]),
                Change(path="/askedBy", new=first),
                Change(path="/confirmedBy", new=second),
            )
            text = f"Asked for by {first}, confirmed by {second}; the cool-off is over."
            entry = entry_of(Action.TWO_PERSON_DONE, SYSTEM, id_, row["sub"], (*both, *changes), text, "")
            await self._alerts.raise_in(conn, "two_person_done", entry)
            await self._recorder.with_change(conn, entry)
        return 1

    async def _open(self, conn: Conn, id_: UUID) -> Row:
        row = await two_person.lock(conn, id_)
        if row is None:
            raise NotFound("There is no such open request.")
        return row

    async def _asked(self, conn: Conn, rows: list[Row]) -> list[Asked]:
        return [
            Asked(
                id=row["id"],
                kind=row["kind"],
                words=self.kinds.get(row["kind"]) or str(row["kind"]),
                sub=row["sub"],
                name=await self._people.name(conn, row["sub"]),
                reason=self._columns.open(row["sealed"], "two_person_requests", str(row["id"]), row["sub"])["reason"],
                by=await self._people.name(conn, row["requested_by"]),
                by_sub=row["requested_by"],
                at=row["requested_at"],
                not_before=row["not_before"],
                confirmed_by=await self._people.name(conn, row["confirmed_by"]) if row["confirmed_by"] else "",
                done_at=row["done_at"],
            )
            for row in rows
        ]
