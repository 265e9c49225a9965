"""Setting up a second factor, testing it, and its reset by two administrators (11.300, AT-46).

Nobody sets up, replaces or removes a device on a session's strength alone: name, password and the code of the device there is,
if any, are typed again, and failures count as failed signings do. A reset takes two administrators, neither of them the owner,
who is told at the next sign-in; the security unit is alerted at once. A reset gives nobody access: the owner's password is still
needed.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from tenant_app.domain.access import Right
from tenant_app.domain.actions import Action
from tenant_app.domain.audit import Change, Entry, ObjectRef, Reason
from tenant_app.domain.documents import checked_reason
from tenant_app.domain.identity import SessionEnd
from tenant_app.domain.ids import uuid7
from tenant_app.domain.second_factor import address_of, new_recovery_codes, new_secret, recovery_hash, step_of
from tenant_app.errors import Conflict, Forbidden, InvalidInput, NotFound
from tenant_app.services.alerts import Alerts
from tenant_app.services.caller import Caller
from tenant_app.services.columns import Columns
from tenant_app.services.components import Components, Typed
from tenant_app.services.recorder import Recorder
from tenant_app.services.second_factor import SecondFactor
from tenant_app.services.sessions import Client
from tenant_app.storage import factors, people
from tenant_app.storage.database import Conn, Database

RESET_LIFE = timedelta(days=1)
_OFF = "This tenant does not use a second factor."
_WRONG = "That code is not right, or was used already. Wait for the next one, and check the clock of your phone."


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A device that waits for its first code: its secret and its otpauth address. Shown to its owner, kept nowhere else."""

    secret: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    """A reset that waits for a second administrator, or that took place."""

    id: UUID
    sub: str
    name: str
    reason: str
    asked_by: str
    asked_by_name: str
    at: datetime


class Enrolment:
    """What people do with their second factor, and administrators with that of others."""

    def __init__(
        self, database: Database, columns: Columns, recorder: Recorder, alerts: Alerts, factor: SecondFactor,
        components: Components, *, issuer: str,
    ) -> None:  # fmt: skip
        self._database = database
        self._columns = columns
        self._recorder = recorder
        self._alerts = alerts
        self._factor = factor
        self._components = components
        self._issuer = issuer

    async def begin(self, caller: Caller, client: Client, typed: Typed) -> Offer:
        """Make a new device that waits for its first code. Raises SigningRefused, InvalidInput, DirectoryAway."""
        self._demand_use()
        await self._components.reauthenticate(caller, client, typed)
        secret = new_secret()
        async with self._database.transaction() as conn:
            sealed = self._columns.seal(secret, "second_factors", caller.session.sub)
            await factors.keep_pending(conn, caller.session.sub, sealed, datetime.now(UTC))
            await self._recorder.with_change(conn, _entry(caller, "asked", "A new device waits for its first code."))
        return self._offer(caller, secret)

    async def offered(self, caller: Caller) -> Offer | None:
        """Return the device that waits for its first code, if there is one."""
        async with self._database.transaction() as conn:
            row = await factors.find(conn, caller.session.sub, "pending")
        return self._offer(caller, self._factor.secret(row)) if row else None

    async def confirm(self, caller: Caller, code: str) -> list[str]:
        """Put the waiting device in force by its first code; return the recovery codes, shown once.

        Every session of the person ends: what they may do changes, so they sign in anew with what they have set up.
        Raises InvalidInput for a wrong code, NotFound when nothing waits.
        """
        self._demand_use()
        sub, now = caller.session.sub, datetime.now(UTC)
        codes = new_recovery_codes()
        async with self._database.transaction() as conn:
            row = await factors.find(conn, sub, "pending")
            if row is None:
                raise NotFound("No device waits for its first code. Begin again.")
            step = step_of(self._factor.secret(row), code, now=now, after=row["last_step"])
            if step is None:
                raise InvalidInput(_WRONG, field="code")
            old = 1 if await factors.find(conn, sub) else 0
            if not await factors.activate(conn, sub, step, now):
                raise Conflict("Somebody was faster. Look again.")
            await factors.keep_recovery(conn, sub, [recovery_hash(sub, each) for each in codes])
            await people.end_all(conn, sub, SessionEnd.REVOKED, now)
            entry = _entry(
                caller, "enrolled", "Confirmed by its first code.", (Change(path="/secondFactor", old=old, new=1),)
            )
            await self._recorder.with_change(conn, entry)
        return codes

    async def test(self, caller: Caller, code: str) -> None:
        """Test the device that there is (11.300(e), AT-46). Raises SigningRefused; a failure counts as a signing's."""
        self._demand_use()
        await self._components.test_device(caller, code)
        async with self._database.transaction() as conn:
            await self._recorder.with_change(conn, _entry(caller, "tested", "The device was tested."))

    async def ask_reset(self, caller: Caller, sub: str, reason: str) -> None:
        """Ask for the removal of a device; another administrator confirms it. Raises Forbidden, NotFound, InvalidInput."""
        caller.require(Right.ADMINISTER)
        why = checked_reason(reason)
        if sub == caller.session.sub:
            raise Forbidden("Nobody asks for the reset of their own second factor.")
        reset, now = uuid7(), datetime.now(UTC)
        async with self._database.transaction() as conn:
            if await factors.find(conn, sub) is None:
                raise NotFound("This person has no second factor.")
            words = {"reason": why, "by": caller.session.name}
            row = {
                "id": reset,
                "sub": sub,
                "sealed": self._columns.seal(words, "factor_resets", str(reset), sub),
                "by": caller.session.sub,
                "at": now,
                "until": now + RESET_LIFE,
            }
            await factors.ask_reset(conn, row)
            await self._recorder.with_change(conn, _entry(caller, "reset_asked", why, sub=sub))

    async def confirm_reset(self, caller: Caller, reset: UUID) -> None:
        """Remove the device, its recovery codes and every session of its owner. Raises Forbidden, NotFound."""
        caller.require(Right.ADMINISTER)
        now = datetime.now(UTC)
        async with self._database.transaction() as conn:
            row = await factors.lock_reset(conn, reset, now)
            if row is None:
                raise NotFound("There is no such reset to confirm, or its day is over.")
            if caller.session.sub in {row["asked_by"], row["sub"]}:
                raise Forbidden("Another administrator has to confirm this: not who asked, and not the owner.")
            changes = await self.remove(conn, row["sub"])
            await factors.confirm_reset(conn, reset, caller.session.sub, now)
            words = self._columns.open(row["sealed"], "factor_resets", str(reset), row["sub"])
            entry = _entry(caller, "reset", words["reason"], changes, sub=row["sub"], asked_by=words["by"])
            await self._alerts.raise_in(conn, "second_factor_reset", entry)
            await self._recorder.with_change(conn, entry)

    async def remove(self, conn: Conn, sub: str) -> tuple[Change, ...]:
        """Remove a person's device, recovery codes and sessions within an act that two administrators agreed on."""
        gone = await factors.remove(conn, sub)
        await people.end_all(conn, sub, SessionEnd.REVOKED, datetime.now(UTC))
        return (Change(path="/secondFactor", old=gone, new=0),)

    async def waiting_resets(self, caller: Caller) -> list[Reset]:
        """Return the resets that wait for a second administrator."""
        caller.require(Right.ADMINISTER)
        async with self._database.transaction() as conn:
            rows = await factors.open_resets(conn, datetime.now(UTC))
        found = []
        for row in rows:
            words = self._columns.open(row["sealed"], "factor_resets", str(row["id"]), row["sub"])
            name = self._columns.open(row["person"], "people", row["sub"])["name"]
            found.append(
                Reset(id=row["id"], sub=row["sub"], name=name, reason=words["reason"], asked_by=row["asked_by"],
                      asked_by_name=words["by"], at=row["asked_at"])
            )  # fmt: skip
        return found

    async def owes_notice(self, sub: str) -> bool:
        """Say whether the owner has yet to hear of a reset."""
        async with self._database.transaction() as conn:
            return bool(await factors.unseen_resets(conn, sub))

    async def notices(self, caller: Caller) -> list[Reset]:
        """Return the resets of the person's own device that they have not acknowledged."""
        async with self._database.transaction() as conn:
            return await self._notices(conn, caller)

    async def acknowledge(self, caller: Caller) -> None:
        """Note that the owner has read the notices."""
        async with self._database.transaction() as conn:
            if await factors.acknowledge(conn, caller.session.sub, datetime.now(UTC)):
                entry = _entry(caller, "notice_read", "The owner has read of the reset.")
                await self._recorder.with_change(conn, entry)

    async def _notices(self, conn: Conn, caller: Caller) -> list[Reset]:
        found = []
        for row in await factors.unseen_resets(conn, caller.session.sub):
            words = self._columns.open(row["sealed"], "factor_resets", str(row["id"]), row["sub"])
            found.append(
                Reset(id=row["id"], sub=row["sub"], name=caller.session.name, reason=words["reason"],
                      asked_by=row["asked_by"], asked_by_name=words["by"], at=row["confirmed_at"])
            )  # fmt: skip
        return found

    def _offer(self, caller: Caller, secret: str) -> Offer:
        return Offer(secret=secret, address=address_of(secret, account=caller.session.account, issuer=self._issuer))

    def _demand_use(self) -> None:
        if not self._factor.used:
            raise NotFound(_OFF)


def _entry(
    caller: Caller, code: str, text: str, changes: tuple[Change, ...] = (), *, sub: str = "", asked_by: str = ""
) -> Entry:
    asked = (Change(path="/askedBy", new=asked_by),) if asked_by else ()
    return Entry(
        action=Action.PERSON_CHANGED,
        actor=caller.actor,
        object=ObjectRef(type="Person", id=sub or caller.session.sub),
        changes=(*changes, *asked),
        reason=Reason(code=f"second_factor_{code}", text=text),
        request=caller.request,
    )
