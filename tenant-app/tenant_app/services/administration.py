"""Administration: people and their sessions. It gives no right over content (11.10(g)) and every act is recorded."""

from dataclasses import dataclass
from datetime import UTC, datetime

from tenant_app.domain.access import Right
from tenant_app.domain.actions import Action
from tenant_app.domain.audit import Change, Entry, ObjectRef, Reason
from tenant_app.domain.documents import checked_reason
from tenant_app.domain.identity import SessionEnd
from tenant_app.services.caller import Caller
from tenant_app.services.columns import Columns
from tenant_app.services.recorder import Recorder
from tenant_app.storage import people
from tenant_app.storage.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """Somebody who has signed in at least once."""

    sub: str
    name: str
    account: str
    roles: tuple[str, ...]
    enrolled_at: datetime
    live: int


class Administration:
    """What an administrator sees and does."""

    def __init__(self, database: Database, columns: Columns, recorder: Recorder) -> None:
        self._database = database
        self._columns = columns
        self._recorder = recorder

    async def members(self, caller: Caller) -> list[Member]:
        """Return everyone who ever signed in, with their live sessions."""
        caller.require(Right.ADMINISTER)
        await self._columns.ready()
        async with self._database.transaction() as conn:
            rows = await people.all_people(conn)
        found = []
        for row in rows:
            words = self._columns.open(row["sealed"], "people", row["sub"])
            found.append(
                Member(
                    sub=row["sub"],
                    name=words["name"],
                    account=words["account"],
                    roles=tuple(words["roles"]),
                    enrolled_at=row["enrolled_at"],
                    live=row["live"],
                )
            )
        return sorted(found, key=lambda member: member.name.casefold())

    async def end_sessions(self, caller: Caller, sub: str, reason: str) -> int:
        """End every live session of a person, as after the loss of a credential (11.300(c), AT-43); return how many."""
        caller.require(Right.ADMINISTER)
        why = checked_reason(reason)
        async with self._database.transaction() as conn:
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
