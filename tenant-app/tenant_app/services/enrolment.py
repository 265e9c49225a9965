"""Setting up a second factor, testing it, and taking it away (11.300, AT-46).

Nobody sets up, replaces or removes a device on a session's strength alone: name, password and the code of the device there is,
if any, are typed again, and failures count as failed signings do. A reset takes two administrators (`two_person.py`); a reported
loss voids the device at once (`losses.py`). Neither gives anybody access: the owner's password is still needed.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from tenant_app.domain.actions import Action
from tenant_app.domain.audit import Change, Entry, ObjectRef, Reason
from tenant_app.domain.identity import SessionEnd
from tenant_app.domain.second_factor import address_of, new_recovery_codes, new_secret, recovery_hash, step_of
from tenant_app.errors import Conflict, InvalidInput, NotFound
from tenant_app.services.caller import Caller
from tenant_app.services.columns import Columns
from tenant_app.services.components import Components, Typed
from tenant_app.services.recorder import Recorder
from tenant_app.services.second_factor import SecondFactor
from tenant_app.services.sessions import Client
from tenant_app.storage import factors, people
from tenant_app.storage.database import Conn, Database

# The kind of act that two administrators agree on.
RESET = "reset_second_factor"
_OFF = "This tenant does not use a second factor."
_WRONG = "That code is not right, or was used already. Wait for the next one, and check the clock of your phone."


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A device that waits for its first code: its secret and its otpauth address. Shown to its owner, kept nowhere else."""

    secret: str
    address: str


class Enrolment:
    """What people do with their second factor, and administrators with that of others."""

    def __init__(
        self, database: Database, columns: Columns, recorder: Recorder, factor: SecondFactor, components: Components, *,
        issuer: str,
    ) -> None:  # fmt: skip
        self._database = database
        self._columns = columns
        self._recorder = recorder
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

    async def remove(self, conn: Conn, sub: str) -> tuple[Change, ...]:
        """Remove a person's device, recovery codes and sessions: what two administrators agreed on, or a loss voids."""
        gone = await factors.remove(conn, sub)
        await people.end_all(conn, sub, SessionEnd.REVOKED, datetime.now(UTC))
        return (Change(path="/secondFactor", old=gone, new=0),) if gone else ()

    def _offer(self, caller: Caller, secret: str) -> Offer:
        return Offer(secret=secret, address=address_of(secret, account=caller.session.account, issuer=self._issuer))

    def _demand_use(self) -> None:
        if not self._factor.used:
            raise NotFound(_OFF)


def _entry(caller: Caller, code: str, text: str, changes: tuple[Change, ...] = ()) -> Entry:
    return Entry(
        action=Action.PERSON_CHANGED,
        actor=caller.actor,
        object=ObjectRef(type="Person", id=caller.session.sub),
        changes=changes,
        reason=Reason(code=f"second_factor_{code}", text=text),
        request=caller.request,
    )
