"""A person's second factor, as sign-in and signing ask about it. Setting it up and taking it away is `enrolment.py`."""

from dataclasses import dataclass
from datetime import UTC, datetime

from tenant_app.domain.actions import Action
from tenant_app.domain.audit import Actor, Change, Entry, ObjectRef, Reason
from tenant_app.domain.second_factor import (
    FactorRules,
    Policy,
    Proven,
    looks_like_code,
    recovery_hash,
    step_of,
)
from tenant_app.errors import NotReadyToSign, SigningRefused, SignInRefused
from tenant_app.services.columns import Columns
from tenant_app.services.recorder import Recorder
from tenant_app.storage import factors
from tenant_app.storage.database import Conn, Database, Row

_REFUSED = "The code is not right."
_PAGE = "/second-factor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What is known of a person's second factor, without its secret."""

    enrolled: bool
    due: bool = False
    tested_at: datetime | None = None
    recovery_left: int = 0


class SecondFactor:
    """Weighs codes. The secret is sealed under the tenant's column key and never leaves this process but once, at enrolment."""

    def __init__(self, database: Database, columns: Columns, recorder: Recorder, rules: FactorRules) -> None:
        self._database = database
        self._columns = columns
        self._recorder = recorder
        self.rules = rules

    @property
    def used(self) -> bool:
        """Say whether the tenant uses second factors at all."""
        return self.rules.policy is not Policy.OFF

    async def device(self, sub: str) -> Device:
        """Return the state of a person's device."""
        async with self._database.transaction() as conn:
            row = await factors.find(conn, sub)
            left = await factors.recovery_left(conn, sub)
        if row is None:
            return Device(enrolled=False)
        due = self.rules.due(row["tested_at"], datetime.now(UTC))
        return Device(enrolled=True, due=due, tested_at=row["tested_at"], recovery_left=left)

    async def at_sign_in(self, sub: str, name: str, typed: str, request: str) -> Proven:
        """Return the factor that opens a session; none when nothing is enrolled.

        Raises SignInRefused for a wrong or missing code.
        A recovery code opens a session once, so that its owner can set up a new device. It never signs.
        """
        if not self.used:
            return Proven.NONE
        async with self._database.transaction() as conn:
            row = await factors.find(conn, sub)
            if row is None:
                return Proven.NONE
            if looks_like_code(typed):
                proven = Proven.TOTP if await self.use(conn, row, typed) else Proven.NONE
            else:
                proven = Proven.RECOVERY if await self._recover(conn, sub, name, typed, request) else Proven.NONE
        if proven is Proven.NONE:
            raise SignInRefused(_REFUSED)
        return proven

    async def asked_at_signing(self, sub: str) -> bool:
        """Say whether the first signing of a period takes a code.

        Raises NotReadyToSign when the tenant demands one and there is none, or when the device has to be tested first (AT-46).
        """
        if not self.used:
            return False
        device = await self.device(sub)
        if not device.enrolled:
            if self.rules.policy is Policy.REQUIRED:
                raise NotReadyToSign(
                    "Set up your second factor first: this tenant signs with one.", link=_PAGE, label="Set it up"
                )
            return False
        if device.due:
            words = "Your second factor was not used for long. Test it under “Second factor”, then sign."
            raise NotReadyToSign(words, link=_PAGE, label="Test it")
        return True

    async def demand_device(self, sub: str) -> None:
        """Return when there is a device that may sign. Raises SigningRefused, NotReadyToSign."""
        if not self.used:
            raise SigningRefused("This tenant uses no second factor, without which people of its provider cannot sign.")
        if not await self.asked_at_signing(sub):
            raise NotReadyToSign(
                "Set up your second factor first: people of the provider sign with it.", link=_PAGE, label="Set it up"
            )

    async def proves(self, sub: str, typed: str, *, test: bool = False) -> bool:
        """Say whether the code that was typed is the device's, using it up."""
        async with self._database.transaction() as conn:
            row = await factors.find(conn, sub)
            return row is not None and looks_like_code(typed) and await self.use(conn, row, typed, test=test)

    async def use(self, conn: Conn, row: Row, typed: str, *, test: bool = False) -> bool:
        """Use up the step of a code; False when it is wrong or was used before.

        A device that is due stays so until it is tested on purpose: signing in with it is no test (AT-46).
        """
        now = datetime.now(UTC)
        step = step_of(self.secret(row), typed, now=now, after=row["last_step"])
        if step is None:
            return False
        keeps = self.rules.due(row["tested_at"], now) and not test
        return await factors.use_step(conn, row["sub"], step, row["tested_at"] if keeps else now)

    def secret(self, row: Row) -> str:
        """Return the secret of a device's row. Raises IntegrityViolation when it was altered or moved to another person."""
        return str(self._columns.open(row["sealed"], "second_factors", row["sub"]))

    async def _recover(self, conn: Conn, sub: str, name: str, typed: str, request: str) -> bool:
        if not await factors.use_recovery(conn, sub, recovery_hash(sub, typed)):
            return False
        left = await factors.recovery_left(conn, sub)
        entry = Entry(
            action=Action.PERSON_CHANGED,
            actor=Actor(type="user", sub=sub, name=name),
            object=ObjectRef(type="Person", id=sub),
            changes=(Change(path="/recoveryCodes", old=left + 1, new=left),),
            reason=Reason(code="recovery", text="Signed in with a recovery code."),
            request=request,
        )
        await self._recorder.with_change(conn, entry)
        return True
