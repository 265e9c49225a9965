"""Signing in, staying in, signing out (11.10(d), 11.300, AT-10, AT-47 to AT-49)."""

import hashlib
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tenant_app.adapters.ports import Directory
from tenant_app.domain import identity, lockout
from tenant_app.domain.access import Role, rights_of
from tenant_app.domain.audit import Change, Entry
from tenant_app.domain.identity import Person, Session, SessionEnd, SessionRules
from tenant_app.domain.ids import new_token, token_hash
from tenant_app.domain.lockout import LockoutRules
from tenant_app.domain.second_factor import Policy, Proven
from tenant_app.errors import SUSPENDED, AccessSuspended, AccountAmbiguous, NotSignedIn, SignInDelayed, SignInRefused
from tenant_app.services.alerts import Alerts
from tenant_app.services.columns import Columns
from tenant_app.services.gates import Gates
from tenant_app.services.recorder import Recorder
from tenant_app.services.second_factor import SecondFactor
from tenant_app.services.session_entries import ended, person_changed, refusal, signed_in, slowed, stepped_up
from tenant_app.storage import oidc, people
from tenant_app.storage.database import Conn, Database

# The idle clock is moved at most this often: a page view does not need a write of its own.
TOUCH_EVERY = timedelta(seconds=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Where a request comes from: the peer's address and what kind of browser it is."""

    address: str
    agent: str
    request: str

    @property
    def fingerprint(self) -> bytes:
        """Return what a session is bound to. The address may change with the network; the browser does not."""
        return hashlib.sha256(self.agent.encode()).digest()


class Sessions:
    """The sessions of all people of this tenant."""

    def __init__(
        self,
        database: Database,
        columns: Columns,
        recorder: Recorder,
        directory: Directory,
        factor: SecondFactor,
        alerts: Alerts,
        rules: SessionRules,
        lockout_rules: LockoutRules,
    ) -> None:
        self._database = database
        self._columns = columns
        self._recorder = recorder
        self._directory = directory
        self._factor = factor
        self._alerts = alerts
        self._gates = Gates()
        self.rules = rules
        self._lockout = lockout_rules

    async def sign_in(self, typed: str, password: str, client: Client, code: str = "") -> tuple[str, Session]:
        """Return a new session and the token for its cookie.

        Raises SignInRefused (one message for every cause), SignInDelayed, AccessSuspended, DirectoryAway, DependencyAway.
        """
        await self._columns.ready()
        account = identity.normalise_account(typed)
        keys = _failure_keys(account, client)
        # One try at a time for an account from a source: guesses sent at once would all be weighed before any was counted.
        async with self._gates.of(keys[lockout.Scope.ACCOUNT_AT_SOURCE]):
            person, factor = await self._authenticate(account, (password, code), client, keys)
        return await self._open(person, client, keys, factor)

    async def _authenticate(
        self, account: str, typed: tuple[str, str], client: Client, keys: dict[lockout.Scope, bytes]
    ) -> tuple[Person, Proven]:
        async with self._database.transaction() as conn:
            counters = await people.failures(conn, keys)
        wait = self._lockout.remaining(counters, now=datetime.now(UTC))
        if wait > timedelta(0):
            await self.record_refusal(account, client, "delayed")
            raise SignInDelayed(max(1, round(wait.total_seconds())))
        try:
            person = await self._directory.authenticate(account, typed[0])
            # The code is weighed after the password and refused in the same words: neither tells about the other.
            return person, await self._factor.at_sign_in(person.sub, person.name, typed[1], client.request)
        except SignInRefused as error:
            await self._count_failure(account, client, keys, ambiguous=isinstance(error, AccountAmbiguous))
            what = "The name, the password or the code" if self._factor.used else "The name or the password"
            raise SignInRefused(f"{what} is not right, or the account may not use this system.") from error

    async def resume(self, token: str, client: Client) -> Session:
        """Return the live session of a cookie and move its idle clock.

        Raises NotSignedIn when there is none, or when it has just ended; the end is recorded.
        """
        await self._columns.ready()
        id_hash, now = token_hash(token), datetime.now(UTC)
        async with self._database.transaction() as conn:
            row = await people.live_session(conn, id_hash)
            if row is None:
                raise NotSignedIn("Please sign in.")
            session = self._session(row)
            over = identity.expiry(session, now=now, client_hash=client.fingerprint, rules=self.rules)
            if over is None:
                if now - session.last_seen_at > TOUCH_EVERY:
                    await people.touch(conn, id_hash, now)
                return session
            await self._end(conn, session, over, client.request)
        raise NotSignedIn(_words(over))

    async def sign_out(self, session: Session, request: str) -> None:
        """End a session because its person asked to."""
        async with self._database.transaction() as conn:
            await self._end(conn, session, SessionEnd.SIGNED_OUT, request)

    async def open_vouched(self, person: Person, client: Client) -> tuple[str, Session]:
        """Open a session for somebody whom the tenant's provider has vouched for, with whatever factors it asks for.

        The tenant's own device takes part in signatures; where one is demanded and not set up yet, that comes first.
        """
        enrolled = self._factor.rules.policy is not Policy.REQUIRED or (await self._factor.device(person.sub)).enrolled
        return await self._open(person, client, {}, Proven.PROVIDER if enrolled else Proven.NONE, method="oidc")

    async def note_proof(self, session: Session, request: str) -> None:
        """Note that a session's person has just typed their credentials at the provider again."""
        async with self._database.transaction() as conn:
            await oidc.note_proof(conn, session.id_hash, datetime.now(UTC))
            await self._recorder.with_change(conn, stepped_up(session, request))

    async def _open(
        self,
        person: Person,
        client: Client,
        keys: dict[lockout.Scope, bytes],
        factor: Proven,
        *,
        method: str = "ldap-simple-bind",
    ) -> tuple[str, Session]:
        await self._refuse_suspended(person, client)
        token, csrf, now = new_token(), new_token(), datetime.now(UTC)
        session = Session(
            id_hash=token_hash(token),
            sub=person.sub,
            name=person.name,
            account=person.account,
            roles=person.roles,
            rights=rights_of(person.roles),
            csrf=csrf,
            client_hash=client.fingerprint,
            signed_in_at=now,
            last_seen_at=now,
            method=method,
            factor=factor.value,
            must_enrol=self._must_enrol(factor.value),
        )
        async with self._database.transaction() as conn:
            entries = await self._keep_person(conn, person, client)
            await people.lock_person(conn, person.sub)
            await people.forget_failures(conn, keys)
            await people.open_session(
                conn,
                {
                    "id_hash": session.id_hash,
                    "sub": session.sub,
                    "roles": sorted(session.roles),
                    "csrf": csrf,
                    "client_hash": session.client_hash,
                    "at": now,
                    "factor": session.factor,
                    "method": session.method,
                },
            )
            displaced = await people.displace(conn, person.sub, self.rules.max_concurrent, now)
            changes = (*self._factor_change(session), *_displaced(displaced))
            entries.append(signed_in(session, changes, address=client.address, request=client.request))
            await self._recorder.with_change(conn, *entries)
        return token, session

    async def _refuse_suspended(self, person: Person, client: Client) -> None:
        """Refuse somebody whose loss of a credential was reported, before there is a session (11.300(c))."""
        async with self._database.transaction() as conn:
            suspended = await people.is_suspended(conn, person.sub)
        if suspended:
            await self.record_refusal(person.account, client, "suspended")
            raise AccessSuspended(SUSPENDED)

    async def _keep_person(self, conn: Conn, person: Person, client: Client) -> list[Entry]:
        known = await people.find_person(conn, person.sub)
        new = {**asdict(person), "roles": sorted(person.roles)}
        old: dict[str, Any] = self._columns.open(known, "people", person.sub) if known else {}
        if old == new:
            return []
        await people.keep_person(conn, person.sub, self._columns.seal(new, "people", person.sub))
        return [person_changed(person, old, new, client.request)]

    async def _end(self, conn: Conn, session: Session, why: SessionEnd, request: str) -> None:
        if await people.end_session(conn, session.id_hash, why, datetime.now(UTC)):
            await self._recorder.with_change(conn, ended(session, why, request))

    async def _count_failure(
        self, account: str, client: Client, keys: dict[lockout.Scope, bytes], *, ambiguous: bool
    ) -> None:
        now = datetime.now(UTC)
        async with self._database.transaction() as conn:
            await people.count_failure(conn, keys, now, self._lockout.forget_before(keys, now))
            counters = await people.failures(conn, keys)
            if ambiguous:
                entry = refusal(account, "ambiguous", address=client.address, request=client.request)
                await self._alerts.raise_in(conn, "ambiguous_account", entry)
                await self._recorder.with_change(conn, entry)
            for counter in counters:
                if lockout.ALERT_AT.get(counter.scope) == counter.count:
                    entry = slowed(account, counter, address=client.address, request=client.request)
                    await self._alerts.raise_in(conn, "sign_in_failures", entry)
                    await self._recorder.with_change(conn, entry)
        if not ambiguous:
            await self.record_refusal(account, client, "credentials")

    async def record_refusal(self, account: str, client: Client, code: str) -> None:
        """Record a sign-in that was refused."""
        await self._recorder.alone(refusal(account, code, address=client.address, request=client.request))

    def _must_enrol(self, factor: str) -> bool:
        return factor == Proven.NONE.value and self._factor.rules.policy is Policy.REQUIRED

    def _factor_change(self, session: Session) -> tuple[Change, ...]:
        return (Change(path="/secondFactor", new=session.factor),) if self._factor.used else ()

    def _session(self, row: dict[str, Any]) -> Session:
        person = self._columns.open(row["sealed"], "people", row["sub"])
        roles = frozenset(Role(role) for role in row["roles"])
        return Session(
            id_hash=bytes(row["id_hash"]),
            sub=row["sub"],
            name=person["name"],
            account=person["account"],
            roles=roles,
            rights=rights_of(roles),
            csrf=row["csrf"],
            client_hash=bytes(row["client_hash"]),
            signed_in_at=row["signed_in_at"],
            last_seen_at=row["last_seen_at"],
            method=row["method"],
            factor=row["factor"],
            must_enrol=self._must_enrol(row["factor"]),
            proved_at=row["proved_at"],
        )


def _displaced(count: int) -> tuple[Change, ...]:
    return (Change(path="/sessions/displaced", new=count),) if count else ()


def _failure_keys(account: str, client: Client) -> dict[lockout.Scope, bytes]:
    # Hashed: a list of who failed to sign in from where is nobody's business at rest.
    return {
        lockout.Scope.ACCOUNT_AT_SOURCE: token_hash(f"{account}\x00{client.address}"),
        lockout.Scope.ACCOUNT: token_hash(account),
        lockout.Scope.SOURCE: token_hash(client.address),
    }


def _words(over: SessionEnd) -> str:
    return {
        SessionEnd.IDLE: "You were signed out because nothing happened for a while.",
        SessionEnd.ABSOLUTE: "You were signed out because the longest time for one sign-in is over.",
    }.get(over, "Please sign in again.")
