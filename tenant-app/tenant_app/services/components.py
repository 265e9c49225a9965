"""Proving the person at a signing: the components of 11.200(a)(1), the continuous period, the lock after failures."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NoReturn

from tenant_app.adapters.ports import Directory
from tenant_app.domain.actions import Action
from tenant_app.domain.audit import Entry, ObjectRef, Reason
from tenant_app.domain.identity import Person, SessionEnd, is_federated, normalise_account
from tenant_app.domain.ids import token_hash
from tenant_app.domain.lockout import LockoutRules, Scope
from tenant_app.domain.signing import CHALLENGE_LIFE, Period, PeriodRules, components_suffice, continues
from tenant_app.errors import SigningRefused, SignInRefused
from tenant_app.services.alerts import Alerts
from tenant_app.services.caller import Caller
from tenant_app.services.gates import Gates
from tenant_app.services.recorder import Recorder
from tenant_app.services.second_factor import SecondFactor
from tenant_app.services.sessions import Client
from tenant_app.storage import oidc, people
from tenant_app.storage.database import Database

# How long a proof at the provider is good for: as long as the dialog that it is for.
PROOF_LIFE = CHALLENGE_LIFE
_WRONG = "The name, the password or the code is not right. Nothing was done."


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """What was typed into the dialog; never kept."""

    account: str
    password: str
    code: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the next signing takes. `step_up`: a proof at the provider has to come before it."""

    first: bool
    password: bool
    code: bool
    step_up: bool


class Components:
    """Holds the open periods. In memory on purpose: a restart is a break, and a break asks for all components (AT-36)."""

    def __init__(
        self,
        database: Database,
        recorder: Recorder,
        directory: Directory,
        alerts: Alerts,
        factor: SecondFactor,
        rules: PeriodRules,
        lockout: LockoutRules,
    ) -> None:
        self._database = database
        self._recorder = recorder
        self._directory = directory
        self._alerts = alerts
        self._factor = factor
        self._rules = rules
        self._lockout = lockout
        self._gates = Gates()
        self._periods: dict[str, Period] = {}

    def is_first(self, caller: Caller, client: Client, now: datetime) -> bool:
        """Say whether the next signing is the first in a period, and so needs all components."""
        period = self._periods.get(caller.session.sub)
        return not continues(period, now=now, like=_like(caller, client, now), rules=self._rules)

    async def asked(self, caller: Caller, client: Client, now: datetime) -> Asked:
        """Return what the next signing takes. Raises SigningRefused when nothing could be good enough."""
        first = self.is_first(caller, client, now)
        if is_federated(caller.session.sub):
            await self._factor.demand_device(caller.session.sub)
            return Asked(first=first, password=False, code=True, step_up=first and not proof_holds(caller, now))
        code = first and await self._factor.asked_at_signing(caller.session.sub)
        return Asked(first=first, password=True, code=code, step_up=False)

    async def prove(self, caller: Caller, client: Client, typed: Typed, now: datetime) -> dict[str, Any]:
        """Return how the person was proven, for the record. Raises SigningRefused, DirectoryAway."""
        # One try of a person at a time: guesses sent at once would all be weighed before any was counted.
        async with self._gates.of(token_hash(caller.session.sub)):
            return await self._prove(caller, client, typed, now)

    async def _prove(self, caller: Caller, client: Client, typed: Typed, now: datetime) -> dict[str, Any]:
        await self._refuse_locked(caller, now)
        asked = await self.asked(caller, client, now)
        if not asked.password:
            return await self._prove_federated(caller, client, typed, asked, now)
        first, coded = asked.first, asked.code
        account = normalise_account(typed.account)
        typed_enough = components_suffice(first=first, identification=bool(account), password=bool(typed.password))
        if not typed_enough or (coded and not typed.code):
            parts = "your name and your password" if first else "your password"
            more = ", and the code of your second factor" if coded else ""
            raise SigningRefused(f"Please type {parts}{more}: a session alone never signs.")
        await self._know(caller, typed, now)
        await self._refuse_aged(caller, now)
        if coded and not await self._factor.proves(caller.session.sub, typed.code):
            await self._failed(caller, now)
        async with self._database.transaction() as conn:
            await people.forget_failures(conn, _keys(caller))
        used = [*(["id"] if account else []), "password", *(["totp"] if coded else [])]
        return self._proven(caller, client, now, first=first, method="ldap-simple-bind", used=used)

    async def _prove_federated(
        self, caller: Caller, client: Client, typed: Typed, asked: Asked, now: datetime
    ) -> dict[str, Any]:
        """Prove somebody whose password only the provider knows: their credentials there, typed anew, and their device's code."""
        if asked.step_up:
            raise SigningRefused("Confirm yourself at your sign-in provider first, then sign.")
        if not typed.code:
            raise SigningRefused("Please type the code of your second factor: a session alone never signs.")
        if not await self._factor.proves(caller.session.sub, typed.code):
            await self._failed(caller, now)
        async with self._database.transaction() as conn:
            if asked.first and not await oidc.take_proof(conn, caller.session.id_hash, now - PROOF_LIFE):
                raise SigningRefused("Confirm yourself at your sign-in provider first, then sign.")
            await people.forget_failures(conn, _keys(caller))
        used = ["provider", "totp"] if asked.first else ["totp"]
        return self._proven(caller, client, now, first=asked.first, method="oidc-step-up", used=used)

    async def reauthenticate(self, caller: Caller, client: Client, typed: Typed) -> None:
        """Return when name, password and, where there is a device, its code or a recovery code are right.

        For acts on the means of proof themselves. Raises SigningRefused; failures count and lock as those of signings do.
        """
        now = datetime.now(UTC)
        async with self._gates.of(token_hash(caller.session.sub)):
            await self._refuse_locked(caller, now)
            await self._know_again(caller, typed, now)
            try:
                await self._factor.at_sign_in(caller.session.sub, caller.session.name, typed.code, client.request)
            except SignInRefused:
                await self._failed(caller, now)
            async with self._database.transaction() as conn:
                await people.forget_failures(conn, _keys(caller))

    async def test_device(self, caller: Caller, code: str) -> None:
        """Return when the code is the device's, which counts as a test of it. Raises SigningRefused; failures count."""
        now = datetime.now(UTC)
        async with self._gates.of(token_hash(caller.session.sub)):
            await self._refuse_locked(caller, now)
            if not await self._factor.proves(caller.session.sub, code, test=True):
                await self._failed(caller, now)

    async def _know_again(self, caller: Caller, typed: Typed, now: datetime) -> None:
        if is_federated(caller.session.sub):
            async with self._database.transaction() as conn:
                if not await oidc.take_proof(conn, caller.session.id_hash, now - PROOF_LIFE):
                    raise SigningRefused("Confirm yourself at your sign-in provider first.")
            return
        if not normalise_account(typed.account) or not typed.password:
            raise SigningRefused("Please type your name and your password.")
        await self._know(caller, typed, now)

    async def _know(self, caller: Caller, typed: Typed, now: datetime) -> None:
        account = normalise_account(typed.account)
        if account and account != caller.session.account:
            await self._failed(caller, now)
        try:
            person: Person | None = await self._directory.authenticate(caller.session.account, typed.password)
        except SignInRefused:
            person = None
        if person is None or person.sub != caller.session.sub:
            await self._failed(caller, now)

    def _proven(
        self, caller: Caller, client: Client, now: datetime, *, first: bool, method: str, used: list[str]
    ) -> dict[str, Any]:
        like = _like(caller, client, now)
        known = self._periods.get(caller.session.sub)
        started = now if first or known is None else known.started_at
        self._periods[caller.session.sub] = Period(
            session=like.session,
            client=like.client,
            address=like.address,
            rights=like.rights,
            authority=like.authority,
            started_at=started,
            last_at=now,
        )
        return {
            "method": method,
            "components": used,
            "first_in_period": first,
            "period_started": started.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "login_session": caller.session.id_hash.hex()[:16],
            "client": client.fingerprint.hex()[:16],
            "mfa": "totp" if "totp" in used else None,
        }

    async def _refuse_aged(self, caller: Caller, now: datetime) -> None:
        """Refuse a password older than the tenant allows, whatever the directory itself tolerates (11.300(b), AT-41)."""
        longest = self._rules.password_age
        if longest is None:
            return
        changed = await self._directory.password_changed_at(caller.session.sub)
        if changed is None:
            raise SigningRefused("The directory does not tell when your password was set, so it cannot sign here.")
        if now - changed > longest:
            raise SigningRefused(
                f"Your password is older than {longest.days} days. Change it in your directory, then sign."
            )

    async def _refuse_locked(self, caller: Caller, now: datetime) -> None:
        async with self._database.transaction() as conn:
            counters = await people.failures(conn, _keys(caller))
        if self._lockout.remaining(counters, now=now).total_seconds() > 0:
            raise SigningRefused("Signing is locked for you after failed attempts. Your security unit was told.")

    async def _failed(self, caller: Caller, now: datetime) -> NoReturn:
        """Count a failure; one too many locks signing, ends every session of the person, and alerts. Always raises."""
        self._periods.pop(caller.session.sub, None)
        keys = _keys(caller)
        async with self._database.transaction() as conn:
            await people.count_failure(conn, keys, now, self._lockout.forget_before(keys, now))
            counters = await people.failures(conn, keys)
            if self._lockout.locks(counters[0]):
                entry = Entry(
                    action=Action.ACCOUNT_LOCKED,
                    actor=caller.actor,
                    object=ObjectRef(type="Person", id=caller.session.sub),
                    reason=Reason(code="signing", text=f"{counters[0].count} failed signing attempts."),
                    result="denied",
                    request=caller.request,
                )
                await people.end_all(conn, caller.session.sub, SessionEnd.REVOKED, datetime.now(UTC))
                await self._alerts.raise_in(conn, "signing_locked", entry)
                await self._recorder.with_change(conn, entry)
        raise SigningRefused(_WRONG)


def proof_holds(caller: Caller, now: datetime) -> bool:
    """Say whether the person's proof at the provider is new enough, and not used yet."""
    proved = caller.session.proved_at
    return proved is not None and now - proved < PROOF_LIFE


def _like(caller: Caller, client: Client, now: datetime) -> Period:
    return Period(
        session=caller.session.id_hash,
        client=client.fingerprint,
        address=client.address,
        rights=frozenset(caller.session.rights),
        authority=caller.session.authority,
        started_at=now,
        last_at=now,
    )


def _keys(caller: Caller) -> dict[Scope, bytes]:
    return {Scope.SIGNING: token_hash(caller.session.sub)}
