"""Reviewing access: the list, its signed record, and telling when a review is overdue (11.300(b), AT-42, AT-57)."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg.errors import UniqueViolation

from tenant_app.domain.access import Right, Role
from tenant_app.domain.access_review import OUTCOMES, STATEMENT, TO_CHANGE, Line, Listing, due_at
from tenant_app.domain.actions import Action
from tenant_app.domain.audit import SYSTEM, Change, Entry, ObjectRef, Reason, stamp
from tenant_app.domain.authority import Held, separated
from tenant_app.domain.documents import checked_text
from tenant_app.domain.identity import Person
from tenant_app.domain.ids import new_token, token_hash, uuid7
from tenant_app.domain.sealing import context
from tenant_app.domain.signing import CHALLENGE_LIFE, GENESIS, canonical, digest, opened
from tenant_app.errors import Conflict, IntegrityViolation, InvalidInput, SigningRefused
from tenant_app.services.alerts import Alerts
from tenant_app.services.authority import Authority
from tenant_app.services.caller import Caller
from tenant_app.services.components import Asked, Components, Typed
from tenant_app.services.parts import Parts
from tenant_app.services.people import Known, People, of_directory
from tenant_app.services.sessions import Client
from tenant_app.services.signing_record import sealed_by_tenant, signer_of
from tenant_app.storage import authority, delegations, reviews, workflow
from tenant_app.storage.database import Conn, Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """A signed review, from its verified payload."""

    id: UUID
    at: datetime
    payload: dict[str, Any]
    envelope: dict[str, Any]
    listing: list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the reviewer sends: the challenge, the digest of the list they saw, the outcome, remarks, and what they typed."""

    nonce: str
    sha256: str
    outcome: str
    remarks: str
    typed: Typed


class AccessReview:
    """Lists, signs off, and watches the date."""

    def __init__(
        self,
        parts: Parts,
        components: Components,
        standing: Authority,
        people: People,
        alerts: Alerts,
        every: timedelta,
    ) -> None:
        self._parts = parts
        self._components = components
        self._authority = standing
        self._people = people
        self._alerts = alerts
        self._every = every

    async def listing(self, caller: Caller) -> Listing:
        """Return who has which right through what: everybody the directory gives a role, and everybody who ever signed in."""
        caller.require(Right.ADMINISTER)
        await self._parts.columns.ready()
        found: dict[str, Person] = {}
        for role in Role:
            found |= {person.sub: person for person in await self._parts.directory.members(role)}
        async with self._parts.database.transaction() as conn:
            known = await self._people.every(conn)
            rows = await authority.standings(conn)
            taken = await self._taken(conn)
        for sub in known.keys() - found.keys():
            if not of_directory(sub) and (person := await self._people.now(sub)):
                found[sub] = person
        lines = [
            self._line(sub, found.get(sub), known.get(sub), rows.get(sub), taken.get(sub, []))
            for sub in {*found, *known}
        ]
        return Listing(lines=tuple(sorted(lines, key=lambda line: (line.name.casefold(), line.sub))))

    async def challenge(self, caller: Caller, client: Client, listing: Listing) -> tuple[str, Asked]:
        """Return a fresh challenge for signing off exactly this list, and what has to be typed.

        Raises NotReadyToSign, and SigningRefused when nothing the person has could be good enough.
        """
        nonce, now = new_token(), datetime.now(UTC)
        asked = await self._components.asked(caller, client, now)
        async with self._parts.database.transaction() as conn:
            await self._parts.readiness.check(conn, caller)
            bound = self._bound(listing.sha256)
            expires = now + CHALLENGE_LIFE
            await workflow.keep_challenge(conn, token_hash(nonce), caller.session.id_hash, bound, expires)
        return nonce, asked

    async def sign_off(self, caller: Caller, client: Client, given: Outcome) -> UUID:
        """Sign the review of the list as it was shown; return its id.

        Raises Conflict when anything in the list has changed since, SigningRefused, InvalidInput. A failure is recorded.
        """
        try:
            return await self._sign_off(caller, client, given)
        except (SigningRefused, Conflict, InvalidInput) as error:
            entry = Entry(
                action=Action.SIGNING_FAILED,
                actor=caller.actor,
                object=ObjectRef(type="AccessReview", id=self._parts.tenant),
                reason=Reason(code=error.code, text=error.detail),
                result="denied",
                request=caller.request,
            )
            await self._parts.recorder.alone(entry)
            raise

    async def reviews(self, caller: Caller) -> list[Review]:
        """Return all reviews, newest first, each verified and all in one chain. Raises IntegrityViolation."""
        caller.require(Right.ADMINISTER)
        await self._parts.columns.ready()
        keys = await self._parts.keyring.public_keys()
        async with self._parts.database.transaction() as conn:
            rows = await reviews.every(conn)
        found, before = [], GENESIS
        for row in rows:
            body = self._parts.columns.open(row["sealed"], "access_reviews", str(row["id"]))
            payload = opened(body["envelope"], keys)
            listed = hashlib.sha256(canonical(body["listing"])).hexdigest()
            if (payload["prev_sig"], payload["record"]["content_sha256"]) != (before, listed):
                raise IntegrityViolation("A review of access is missing, or is not of the list beside it.")
            before = digest(body["envelope"])
            found.append(Review(id=row["id"], at=row["at"], payload=payload, **body))
        return found[::-1]

    async def due(self) -> datetime | None:
        """Return when the next review is due."""
        async with self._parts.database.transaction() as conn:
            return await self._due(conn)

    async def tell_overdue(self) -> bool:
        """Record and alert, once, that a review is overdue; say whether it was told now (AT-42)."""
        await self._parts.columns.ready()
        now = datetime.now(UTC)
        async with self._parts.database.transaction() as conn:
            due = await self._due(conn)
            if due is None or due > now or not await reviews.tell(conn, due, now):
                return False
            entry = Entry(
                action=Action.REVIEW_OVERDUE,
                actor=SYSTEM,
                object=ObjectRef(type="AccessReview", id=self._parts.tenant),
                changes=(Change(path="/due", new=stamp(due)),),
                reason=Reason(code="overdue", text="Who has which right has to be reviewed; the day for it is past."),
                result="error",
            )
            await self._alerts.raise_in(conn, "access_review_overdue", entry)
            await self._parts.recorder.with_change(conn, entry)
        return True

    async def _sign_off(self, caller: Caller, client: Client, given: Outcome) -> UUID:
        if given.outcome not in OUTCOMES:
            raise InvalidInput("Choose the outcome.", field="outcome")
        least = 5 if given.outcome == TO_CHANGE else 0
        remarks = checked_text(given.remarks, field="remarks", label="What has to change", least=least, most=2000)
        listing, now = await self.listing(caller), datetime.now(UTC)
        if listing.sha256 != given.sha256:
            raise Conflict("Something in the list has changed since you opened it. Look at it again, then sign.")
        async with self._parts.database.transaction() as conn:
            await self._parts.recorder.refuse_when_behind(conn)
            await self._parts.readiness.check(conn, caller)
            bound = self._bound(given.sha256)
            if not await workflow.use_challenge(conn, token_hash(given.nonce), caller.session.id_hash, bound, now):
                raise SigningRefused("This page was open for too long, or was used already. Please start again.")
        auth = await self._components.prove(caller, client, given.typed, now)
        return await self._store(
            caller, listing, given.outcome, remarks, {**auth, "challenge": token_hash(given.nonce).hex()}
        )

    async def _store(self, caller: Caller, listing: Listing, outcome: str, remarks: str, auth: dict[str, Any]) -> UUID:
        parts, id_, now = self._parts, uuid7(), datetime.now(UTC)
        try:
            async with parts.database.transaction() as conn:
                last = await reviews.last(conn)
                payload = {
                    "v": 1,
                    "sig_id": str(id_),
                    "tenant": parts.tenant,
                    "record": {
                        "type": "access_review",
                        "id": str(id_),
                        "content_sha256": listing.sha256,
                        "people": len(listing.lines),
                    },
                    "signer": await signer_of(conn, parts, caller),
                    "meaning": {
                        "code": "review",
                        "statement": STATEMENT,
                        "lang": "en",
                        "statement_sha256": hashlib.sha256(STATEMENT.encode()).hexdigest(),
                    },
                    "decision": "reject" if outcome == TO_CHANGE else "accept",
                    "reason": remarks,
                    "time": {"utc": now.strftime("%Y-%m-%dT%H:%M:%SZ"), "tz": "UTC", "source": "server"},
                    "auth": auth,
                    "prev_sig": last["digest"] if last else GENESIS,
                    "system": parts.system,
                }
                sealed = await sealed_by_tenant(parts, payload)
                await reviews.insert(conn, self._row(id_, caller, payload, sealed, listing, now))
                await parts.recorder.with_change(
                    conn, self._entry(caller, id_, outcome, remarks, listing, sealed, auth)
                )
        except UniqueViolation as error:
            raise Conflict("Somebody else signed a review at the same moment. Look at it first.") from error
        return id_

    def _row(
        self, id_: UUID, caller: Caller, payload: dict[str, Any], sealed: dict[str, Any], listing: Listing, at: datetime
    ) -> dict[str, Any]:
        body = {"envelope": sealed, "listing": listing.as_json()}
        return {
            "id": id_,
            "sub": caller.session.sub,
            "sealed": self._parts.columns.seal(body, "access_reviews", str(id_)),
            "digest": digest(sealed),
            "prev": payload["prev_sig"],
            "at": at,
        }

    def _entry(
        self,
        caller: Caller,
        id_: UUID,
        outcome: str,
        remarks: str,
        listing: Listing,
        sealed: dict[str, Any],
        auth: dict[str, Any],
    ) -> Entry:
        return Entry(
            action=Action.ACCESS_REVIEWED,
            actor=caller.actor,
            object=ObjectRef(type="AccessReview", id=str(id_), sha256=listing.sha256),
            changes=(
                Change(path="/outcome", new=outcome),
                Change(path="/people", new=len(listing.lines)),
                Change(path="/components", new=", ".join(auth["components"])),
                Change(path="/signature", new=digest(sealed)),
            ),
            reason=Reason(code="review", text=remarks),
            request=caller.request,
        )

    async def _due(self, conn: Conn) -> datetime | None:
        last = await reviews.last(conn)
        return due_at(last["at"] if last else None, await reviews.counted_from(conn), self._every)

    def _bound(self, sha256: str) -> bytes:
        return token_hash(context(self._parts.tenant, "access_review", sha256, STATEMENT).hex())

    def _line(self, sub: str, person: Person | None, known: Known | None, row: Row | None, taken: list[str]) -> Line:
        roles = person.roles if person else frozenset[Role]()
        now = self._authority.judged(row, roles)
        granted = [held for held in (row["grants"] if row else []) if held.until > datetime.now(UTC)]
        through = [f"directory: {role}" for role in sorted(roles)]
        through += [f"grant: {held.name} until {held.until:%Y-%m-%d}" for held in sorted(granted, key=_by_name)]
        through += taken
        remarks = []
        if person is None:
            remarks.append("the directory no longer gives them anything")
        if row is not None and row["suspended_at"] is not None:
            remarks.append("suspended after a loss")
        if separated(now.rights):
            remarks.append("administers and has content")
        remarks += [f"training missing: {name}" for name in sorted(now.withheld)]
        return Line(
            sub=sub,
            name=person.name if person else known.name if known else sub,
            account=person.account if person else known.account if known else "",
            rights=tuple(sorted(now.rights)) if person else (),
            through=tuple(through),
            remarks=tuple(remarks),
        )

    async def _taken(self, conn: Conn) -> dict[str, list[str]]:
        """Return the words of every delegation in force, by the delegate's id."""
        found: dict[str, list[str]] = {}
        now = datetime.now(UTC)
        for row in await delegations.of(conn):
            if delegations.delegation(row).usable(now):
                words = f"delegation: {row['meaning']} for {await self._people.name(conn, row['giver'])}"
                found.setdefault(row["receiver"], []).append(words)
        return found


def _by_name(held: Held) -> str:
    return held.name
