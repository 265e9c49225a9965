"""Enrolment: who verified a person's identity, how and when (11.100(b), AT-31); and the letters of 11.100(c) (AT-32)."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from tenant_app.domain.access import Right
from tenant_app.domain.actions import Action
from tenant_app.domain.audit import Change, Entry, ObjectRef, Reason
from tenant_app.domain.authority import same_person
from tenant_app.domain.documents import checked_text
from tenant_app.domain.ids import uuid7
from tenant_app.domain.policy import checked_past_day
from tenant_app.errors import Forbidden
from tenant_app.services.caller import Caller
from tenant_app.services.columns import Columns
from tenant_app.services.people import People
from tenant_app.services.recorder import Recorder
from tenant_app.storage import sign_off
from tenant_app.storage.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What an administrator enters: how the identity was verified, by whom, on which day, and a personnel number if any."""

    how: str
    verified_by: str
    verified_on: str
    personnel: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """A record of a verified identity."""

    id: UUID
    how: str
    verified_by: str
    verified_on: date
    personnel: str
    recorded_by: str
    recorded_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A certification that was sent to the agency: when, under which reference."""

    id: UUID
    reference: str
    sent_on: date
    recorded_by: str
    recorded_at: datetime


class Enrolments:
    """Records; nothing here is ever changed, a newer record stands before an older one."""

    def __init__(self, database: Database, columns: Columns, recorder: Recorder, people: People) -> None:
        self._database = database
        self._columns = columns
        self._recorder = recorder
        self._people = people

    async def enrol(self, caller: Caller, sub: str, given: Verification) -> UUID:
        """Record that a person's identity was verified. Raises Forbidden for oneself, InvalidInput, NotFound."""
        caller.require(Right.ADMINISTER)
        record, now = uuid7(), datetime.now(UTC)
        words = {
            "how": checked_text(given.how, field="how", label="How it was verified", least=5, most=300),
            "verified_by": checked_text(
                given.verified_by, field="verified_by", label="Who verified it", least=3, most=120
            ),
            "personnel": checked_text(
                given.personnel, field="personnel", label="The personnel number", least=0, most=40
            ),
        }
        day = checked_past_day(given.verified_on, today=now.date(), field="verified_on")
        await self._columns.ready()
        async with self._database.transaction() as conn:
            await self._recorder.refuse_when_behind(conn)
            whose = await self._people.identity(conn, sub)
            if same_person(await self._people.identity(conn, caller.session.sub), whose):
                raise Forbidden("Nobody verifies their own identity. Ask another administrator.")
            row = {
                "id": record,
                "sub": sub,
                "sealed": self._columns.seal(words, "enrolments", str(record), sub),
                "verified_on": day,
                "by": caller.session.sub,
                "at": now,
            }
            await sign_off.insert_enrolment(conn, row)
            changes = (
                Change(path="/enrolment", new=str(record)),
                Change(path="/verifiedBy", new=words["verified_by"]),
                Change(path="/verifiedOn", new=day.isoformat()),
                Change(path="/personnel", old=whose.personnel or None, new=words["personnel"] or None),
            )
            entry = Entry(
                action=Action.PERSON_ENROLLED,
                actor=caller.actor,
                object=ObjectRef(type="Person", id=sub),
                changes=changes,
                reason=Reason(code="identity", text=words["how"]),
                request=caller.request,
            )
            await self._recorder.with_change(conn, entry)
        return record

    async def of(self, caller: Caller, sub: str) -> list[Enrolment]:
        """Return a person's enrolment records, newest first. Anybody may see their own."""
        if sub != caller.session.sub:
            caller.require(Right.ADMINISTER)
        await self._columns.ready()
        async with self._database.transaction() as conn:
            await self._people.identity(conn, sub)
            found = []
            for row in await sign_off.enrolments(conn, sub):
                words: dict[str, Any] = self._columns.open(row["sealed"], "enrolments", str(row["id"]), sub)
                found.append(
                    Enrolment(
                        id=row["id"],
                        **words,
                        verified_on=row["verified_on"],
                        recorded_by=await self._people.name(conn, row["recorded_by"]),
                        recorded_at=row["recorded_at"],
                    )
                )
        return found

    async def record_letter(self, caller: Caller, reference: str, sent_on: str) -> UUID:
        """Record that the certification of 11.100(c) was sent. Raises InvalidInput."""
        caller.require(Right.ADMINISTER)
        record, now = uuid7(), datetime.now(UTC)
        words = {"reference": checked_text(reference, field="reference", label="The reference", least=3, most=200)}
        day = checked_past_day(sent_on, today=now.date(), field="sent_on")
        await self._columns.ready()
        async with self._database.transaction() as conn:
            row = {
                "id": record,
                "sealed": self._columns.seal(words, "certification_letters", str(record)),
                "sent_on": day,
                "by": caller.session.sub,
                "at": now,
            }
            await sign_off.insert_letter(conn, row)
            entry = Entry(
                action=Action.LETTER_RECORDED,
                actor=caller.actor,
                object=ObjectRef(type="Letter", id=str(record)),
                changes=(
                    Change(path="/reference", new=words["reference"]),
                    Change(path="/sentOn", new=day.isoformat()),
                ),
                request=caller.request,
            )
            await self._recorder.with_change(conn, entry)
        return record

    async def letters(self, caller: Caller) -> list[Letter]:
        """Return the records of letters, newest first; an empty list is a warning to administrators (AT-32)."""
        caller.require(Right.ADMINISTER)
        await self._columns.ready()
        async with self._database.transaction() as conn:
            return [
                Letter(
                    id=row["id"],
                    reference=self._columns.open(row["sealed"], "certification_letters", str(row["id"]))["reference"],
                    sent_on=row["sent_on"],
                    recorded_by=await self._people.name(conn, row["recorded_by"]),
                    recorded_at=row["recorded_at"],
                )
                for row in await sign_off.letters(conn)
            ]
