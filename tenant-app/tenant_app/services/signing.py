"""Signing: the state machine of 11.200, the challenge, the sealed record, and the step in the workflow that it makes."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from psycopg.errors import UniqueViolation

from tenant_app.domain.access import Right
from tenant_app.domain.actions import Action
from tenant_app.domain.audit import Change, Entry, ObjectRef, Reason
from tenant_app.domain.delegation import Acting
from tenant_app.domain.documents import State, Version, checked_text
from tenant_app.domain.identity import Person
from tenant_app.domain.ids import new_token, token_hash
from tenant_app.domain.sealing import context
from tenant_app.domain.signing import CHALLENGE_LIFE
from tenant_app.domain.workflow import Facts, Transition, decide
from tenant_app.errors import AppError, Conflict, Forbidden, InvalidInput, SigningRefused
from tenant_app.services.caller import Caller
from tenant_app.services.components import Asked, Components, Typed
from tenant_app.services.parts import Parts
from tenant_app.services.sessions import Client
from tenant_app.services.signing_record import Step, moved_entry, payload_of, row_of, sealed_by_tenant, signed_entry
from tenant_app.storage import records, workflow
from tenant_app.storage.database import Conn, Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """What the dialog shows and sends back: one use, five minutes, for exactly this record, meaning and text."""

    nonce: str
    version: Version
    transition: Transition
    statement: str
    asked: Asked
    acting: Acting | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the person sent from the dialog."""

    document: UUID
    number: int
    transition: str
    nonce: str
    typed: Typed
    reason: str = ""
    reviewers: frozenset[str] = frozenset()
    delegation: UUID | None = None


class Signing:
    """Makes signatures. A session alone never does (AT-33)."""

    def __init__(self, parts: Parts, components: Components) -> None:
        self._parts = parts
        self._components = components

    async def challenge(
        self,
        caller: Caller,
        client: Client,
        document: UUID,
        number: int,
        name: str,
        delegation: UUID | None = None,
    ) -> Challenge:
        """Return a fresh challenge for signing a step that the person may take now, themselves or under a delegation.

        Raises as `decide` does, and NotReadyToSign.
        """
        definition = self._parts.progress.definition
        transition = definition.transition(name)
        await self._parts.columns.ready()
        acting = await self._acting(caller, delegation, transition)
        nonce, now = new_token(), datetime.now(UTC)
        async with self._parts.database.transaction() as conn:
            facts, row = await self._parts.progress.facts(
                conn, caller, document, number, reason="asked for in the dialog",
                joining=frozenset({"to be chosen"}) if name == "submit" else frozenset(), acting=acting,
            )  # fmt: skip
            decide(transition, facts)
            await self._parts.readiness.check(conn, caller)
            bound = self._bound(document, number, row["sha256"], transition, delegation)
            await workflow.keep_challenge(conn, token_hash(nonce), caller.session.id_hash, bound, now + CHALLENGE_LIFE)
        asked = await self._components.asked(caller, client, now)
        return Challenge(
            nonce=nonce,
            version=self._parts.rows.version(row),
            transition=transition,
            statement=definition.statements[transition.meaning],
            asked=asked,
            acting=acting,
        )

    async def sign(self, caller: Caller, client: Client, request: Request) -> State:
        """Sign and take the step; return the version's state after it.

        Raises SigningRefused, Forbidden, Conflict, InvalidInput, IntegrityViolation, AuditAway, VaultAway. Each failed attempt is
        recorded; five of wrong components lock signing, end the session and alert (AT-44).
        """
        transition = self._parts.progress.definition.transition(request.transition)
        try:
            return await self._sign(caller, client, request, transition)
        except (SigningRefused, Forbidden, Conflict, InvalidInput) as error:
            await self._record_failure(caller, request, transition, error)
            raise

    async def _sign(self, caller: Caller, client: Client, request: Request, transition: Transition) -> State:
        now = datetime.now(UTC)
        reason = checked_text(request.reason, field="reason", label="The reason", least=0, most=500)
        acting = await self._acting(caller, request.delegation, transition)
        async with self._parts.database.transaction() as conn:
            await self._parts.recorder.refuse_when_behind(conn)
            facts, row = await self._facts(conn, caller, request, reason, acting)
            decide(transition, facts)
            await self._parts.readiness.check(conn, caller)
            bound = self._bound(request.document, request.number, row["sha256"], transition, request.delegation)
            fresh = await workflow.use_challenge(conn, token_hash(request.nonce), caller.session.id_hash, bound, now)
        if not fresh:
            raise SigningRefused("This signing was open for too long, or was used already. Please start it again.")
        auth = await self._components.prove(caller, client, request.typed, now)
        # Hashed again now: what is signed is what is stored at this moment, not what a row says.
        await self._parts.documents.fetch(request.document, request.number, actor=caller.actor, request=caller.request)
        try:
            return await self._store(
                caller, request, transition, reason, {**auth, "challenge": token_hash(request.nonce).hex()}, acting
            )
        except UniqueViolation as error:
            raise Conflict("Somebody signed this document at the same moment. Look again, then sign.") from error

    async def _store(
        self,
        caller: Caller,
        request: Request,
        transition: Transition,
        reason: str,
        auth: dict[str, Any],
        acting: Acting | None,
    ) -> State:
        parts = self._parts
        chosen = await self._reviewers(request.reviewers) if transition.name == "submit" else []
        async with parts.database.transaction() as conn:
            await records.lock_document(conn, request.document)
            if acting is not None:
                await parts.delegations.hold(conn, caller, acting)
            facts, row = await self._facts(conn, caller, request, reason, acting)
            target = decide(transition, facts)
            step = Step(
                transition=transition, before=facts.state, after=target, reason=reason, auth=auth, acting=acting
            )
            payload = await payload_of(conn, parts, caller, row, step)
            sealed = await sealed_by_tenant(parts, payload)
            await workflow.keep_signature(conn, await row_of(conn, parts, caller, payload, sealed))
            entries = [signed_entry(caller, payload, sealed), *await self._move(conn, caller, row, step)]
            entries.extend([await self._assign(conn, caller, request, person) for person in chosen])
            await parts.recorder.with_change(conn, *entries)
        return target

    async def _move(self, conn: Conn, caller: Caller, row: Row, step: Step) -> list[Entry]:
        if step.after is step.before:
            return []
        document, number = row["document"], row["number"]
        await workflow.move(conn, document, number, step.after.value)
        entries = [moved_entry(caller, row, step.before, step.after, step.reason)]
        if step.after is State.PUBLISHED:
            for other in await workflow.published_before(conn, document, number):
                await workflow.move(conn, document, other, State.SUPERSEDED.value)
                old = await records.find_version(conn, document, other) or row
                why = f"Version {number} was published."
                entries.append(moved_entry(caller, old, State.PUBLISHED, State.SUPERSEDED, why))
        return entries

    async def _acting(self, caller: Caller, delegation: UUID | None, transition: Transition) -> Acting | None:
        if delegation is None:
            return None
        return await self._parts.delegations.acting(caller, delegation, transition)

    async def _reviewers(self, chosen: frozenset[str]) -> list[Person]:
        found = {person.sub: person for person in await self._parts.candidates.who_may(Right.REVIEW)}
        if unknown := chosen - found.keys():
            raise InvalidInput(f"{len(unknown)} of the chosen people cannot review.", field="reviewers")
        return [found[sub] for sub in sorted(chosen)]

    async def _assign(self, conn: Conn, caller: Caller, request: Request, person: Person) -> Entry:
        place = ("assignments", str(request.document), str(request.number), person.sub)
        row = {
            "document": request.document,
            "version": request.number,
            "sub": person.sub,
            "sealed": self._parts.columns.seal({"name": person.name}, *place),
            "by": caller.session.sub,
            "at": datetime.now(UTC),
        }
        await workflow.assign(conn, row)
        return Entry(
            action=Action.REVIEWER_ASSIGNED,
            actor=caller.actor,
            object=ObjectRef(type="Document", id=str(request.document), version=str(request.number)),
            changes=(Change(path="/reviewers", new=person.name),),
            request=caller.request,
        )

    async def _facts(
        self, conn: Conn, caller: Caller, request: Request, reason: str, acting: Acting | None
    ) -> tuple[Facts, Row]:
        return await self._parts.progress.facts(
            conn, caller, request.document, request.number, reason=reason,
            joining=request.reviewers if request.transition == "submit" else frozenset(), acting=acting,
        )  # fmt: skip

    def _bound(
        self, document: UUID, number: int, sha256: str, transition: Transition, delegation: UUID | None
    ) -> bytes:
        statement = self._parts.progress.definition.statements[transition.meaning]
        shown = (str(document), str(number), sha256, transition.name, statement, str(delegation or "oneself"))
        return token_hash(context(self._parts.tenant, *shown).hex())

    async def _record_failure(self, caller: Caller, request: Request, transition: Transition, error: AppError) -> None:
        wrong = isinstance(error, SigningRefused)
        await self._parts.recorder.alone(
            Entry(
                action=Action.SIGNING_FAILED if wrong else Action.WORKFLOW_REFUSED,
                actor=caller.actor,
                object=ObjectRef(type="Document", id=str(request.document), version=str(request.number)),
                changes=(Change(path="/step", new=transition.name),),
                reason=Reason(code=error.code, text=error.detail),
                result="denied",
                request=caller.request,
            )
        )
