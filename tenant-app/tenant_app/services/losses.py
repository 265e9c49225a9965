"""A lost or stolen credential: the person's access is dead at once, in every replica, until two people restore it (11.300(c))."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from tenant_app.domain.access import Right
from tenant_app.domain.actions import Action
from tenant_app.domain.audit import SYSTEM, Change, Entry, ObjectRef, Reason, stamp
from tenant_app.domain.documents import checked_text
from tenant_app.domain.identity import SessionEnd
from tenant_app.domain.ids import uuid7
from tenant_app.errors import NotFound
from tenant_app.services.alerts import Alerts
from tenant_app.services.caller import Caller
from tenant_app.services.columns import Columns
from tenant_app.services.people import People
from tenant_app.services.recorder import Recorder
from tenant_app.services.two_person import TwoPerson
from tenant_app.storage import authority, people, sign_off
from tenant_app.storage.database import Conn, Database

RESTORE = "restore_access"
# Voids one of the person's components, such as a second factor, in the report's own transaction; returns what changed.
Voider = Callable[[Conn, str], Awaitable[tuple[Change, ...]]]


class Losses:
    """Takes reports of loss."""

    def __init__(
        self,
        database: Database,
        columns: Columns,
        recorder: Recorder,
        alerts: Alerts,
        known: People,
        two_person: TwoPerson,
    ) -> None:
        self._database = database
        self._columns = columns
        self._recorder = recorder
        self._alerts = alerts
        self._people = known
        self._voiders: list[Voider] = []
        two_person.register(RESTORE, "Restore the access after a loss", self._restore)

    def register(self, voider: Voider) -> None:
        """Let every report of loss void this component too."""
        self._voiders.append(voider)

    async def report(self, caller: Caller, sub: str, what: str) -> int:
        """Report a loss, one's own or as an administrator: sessions and signing periods die with this transaction (AT-43).

        Return how many sessions ended. Raises Forbidden, InvalidInput, NotFound.
        """
        if sub != caller.session.sub:
            caller.require(Right.ADMINISTER)
        words = checked_text(what, field="what", label="What was lost", least=5, most=500)
        loss, now = uuid7(), datetime.now(UTC)
        await self._columns.ready()
        async with self._database.transaction() as conn:
            await self._people.identity(conn, sub)
            row = {
                "id": loss,
                "sub": sub,
                "sealed": self._columns.seal({"what": words}, "losses", str(loss), sub),
                "by": caller.session.sub,
                "at": now,
            }
            await sign_off.insert_loss(conn, row)
            await authority.suspend(conn, sub, now)
            count = await people.end_all(conn, sub, SessionEnd.REVOKED, now)
            voided = [change for voider in self._voiders for change in await voider(conn, sub)]
            entry = Entry(
                action=Action.LOSS_REPORTED,
                actor=caller.actor,
                object=ObjectRef(type="Person", id=sub),
                changes=(
                    Change(path="/suspended", new=stamp(now)),
                    Change(path="/sessions", old=count, new=0),
                    *voided,
                ),
                reason=Reason(code="loss", text=words),
                request=caller.request,
            )
            await self._alerts.raise_in(conn, "loss_reported", entry)
            await self._recorder.with_change(conn, entry)
        return count

    async def _restore(self, conn: Conn, sub: str) -> tuple[Change, ...]:
        closed = await sign_off.close_losses(conn, sub, datetime.now(UTC))
        if not closed:
            raise NotFound("No loss is open for this person.")
        await authority.suspend(conn, sub, None)
        entry = Entry(
            action=Action.ACCESS_RESTORED,
            actor=SYSTEM,
            object=ObjectRef(type="Person", id=sub),
            changes=(Change(path="/suspended", old=f"{len(closed)} reported", new=None),),
            reason=Reason(code="loss", text="Two administrators restored the access."),
        )
        await self._recorder.with_change(conn, entry)
        return (Change(path="/losses", old=len(closed), new=0),)
