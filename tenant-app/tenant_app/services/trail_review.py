"""Signing for having reviewed a version's audit trail (Annex 11 (2011) s.9, FDA data integrity Q&A 2018, AT-53).

A trail review is a signature like every other: the same dialog, components, seal and chain. It moves no version. Whoever may read
the trail may sign for it, except the document's authors: nobody attests the review of their own acts (11.10(g)).
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from psycopg.errors import UniqueViolation

from tenant_app.domain.access import Right
from tenant_app.domain.actions import Action
from tenant_app.domain.audit import Change, Entry, ObjectRef, Reason
from tenant_app.domain.documents import checked_text
from tenant_app.domain.ids import new_token, token_hash
from tenant_app.domain.sealing import context
from tenant_app.domain.signing import CHALLENGE_LIFE
from tenant_app.domain.trail_review import MEANING, Covered, Line, Since, coverages, seen
from tenant_app.errors import AppError, Conflict, Forbidden, IntegrityViolation, InvalidInput, SigningRefused
from tenant_app.services.caller import Caller
from tenant_app.services.components import Asked, Components, Typed
from tenant_app.services.document_entries import found_row, read_entry
from tenant_app.services.parts import Parts
from tenant_app.services.progress import Signature
from tenant_app.services.recorder import Recorded
from tenant_app.services.sessions import Client
from tenant_app.services.signing_record import Said, row_of, said_payload, sealed_by_tenant, signed_entry
from tenant_app.storage import records, workflow
from tenant_app.storage.database import Conn, Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialog:
    """What the dialog shows and sends back: one use, five minutes, for exactly these entries and this statement."""

    nonce: str
    covered: Covered
    statement: str
    asked: Asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the person sent: the challenge, the last entry that they were shown, what they found, and what they typed."""

    document: UUID
    number: int
    nonce: str
    last: int
    typed: Typed
    remarks: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewed:
    """A verified review: up to which entry it goes, and what has come since."""

    signature: Signature
    covered: Covered
    since: Since


class TrailReview:
    """Makes trail reviews and says what they cover."""

    def __init__(self, parts: Parts, components: Components) -> None:
        self._parts = parts
        self._components = components

    async def challenge(self, caller: Caller, client: Client, document: UUID, number: int) -> Dialog:
        """Return a fresh challenge for signing the review of the trail as it stands now.

        Raises NotFound, Forbidden, NotReadyToSign, and Conflict for an author and for whom the trail as it stands was not shown.
        """
        await self._parts.columns.ready()
        nonce, now = new_token(), datetime.now(UTC)
        async with self._parts.database.transaction() as conn:
            row = await self._allowed(conn, caller, document, number)
            lines = await self._lines(conn, document)
            if not seen(lines, caller.session.sub):
                raise Conflict(
                    "Open the audit trail first: you have not seen it as it stands now. Then sign for having reviewed it."
                )
            await self._parts.readiness.check(conn, caller)
            covered = Covered.of(lines)
            bound, expires = self._bound(row, covered), now + CHALLENGE_LIFE
            await workflow.keep_challenge(conn, token_hash(nonce), caller.session.id_hash, bound, expires)
        asked = await self._components.asked(caller, client, now)
        return Dialog(nonce=nonce, covered=covered, statement=self._statement, asked=asked)

    async def sign(self, caller: Caller, client: Client, request: Request) -> UUID:
        """Sign for the entries that the dialog showed; return the signature's id. What came in between is counted in the record.

        Raises SigningRefused, Forbidden, NotFound, Conflict, InvalidInput, IntegrityViolation, AuditAway, VaultAway. A failure is
        recorded, and counts as one of any other signing.
        """
        try:
            return await self._sign(caller, client, request)
        except (SigningRefused, Forbidden, Conflict, InvalidInput) as error:
            await self._record_failure(caller, request, error)
            raise

    async def shown(self, caller: Caller, document: UUID) -> list[Reviewed]:
        """Return the reviews of a document's trail, newest first. The look is recorded as one at them, not at the trail."""
        caller.require(Right.VIEW)
        await self._parts.columns.ready()
        async with self._parts.database.transaction() as conn:
            latest = self._parts.rows.document(await found_row(conn, document)).latest
        await self._parts.recorder.alone(read_entry(Action.DOCUMENT_READ, caller, latest, part="reviews"))
        async with self._parts.database.transaction() as conn:
            entries = await self._parts.recorder.of_object(conn, str(document))
        return await self.of(caller, document, entries)

    async def of(self, caller: Caller, document: UUID, entries: list[Recorded]) -> list[Reviewed]:
        """Return the reviews, newest first, each verified against the trail's entries (newest first, all of them).

        Raises IntegrityViolation when a signature does not verify or entries that it covers are not those that stand there.
        """
        caller.require(Right.VIEW)
        keys = await self._parts.keyring.public_keys()
        async with self._parts.database.transaction() as conn:
            rows = await workflow.signatures(conn, document)
        found = self._parts.progress.verified(rows, keys, document)
        reviews = [each for each in reversed(found) if each.payload["meaning"]["code"] == MEANING]
        lines = [entry.as_line() for entry in reversed(entries)] if reviews else []
        covered = coverages(lines)
        return [
            Reviewed(
                signature=each,
                covered=_as_signed(each.payload, covered.get(each.payload["trail_review"]["last"])),
                since=Since.of(lines, each.payload["trail_review"]["last"]),
            )
            for each in reviews
        ]

    @property
    def _statement(self) -> str:
        return self._parts.progress.definition.statements[MEANING]

    async def _sign(self, caller: Caller, client: Client, request: Request) -> UUID:
        now = datetime.now(UTC)
        remarks = checked_text(request.remarks, field="remarks", label="What you found", least=0, most=2000)
        await self._parts.columns.ready()
        async with self._parts.database.transaction() as conn:
            await self._parts.recorder.refuse_when_behind(conn)
            row = await self._allowed(conn, caller, request.document, request.number)
            await self._parts.readiness.check(conn, caller)
            lines = [line for line in await self._lines(conn, request.document) if line["seq"] <= request.last]
            covered = Covered.of(lines) if lines else None
            bound = self._bound(row, covered) if covered else b""
            fresh = await workflow.use_challenge(conn, token_hash(request.nonce), caller.session.id_hash, bound, now)
        if covered is None or not fresh:
            raise SigningRefused("This signing was open for too long, or was used already. Please start it again.")
        auth = await self._components.prove(caller, client, request.typed, now)
        await self._parts.documents.fetch(request.document, request.number, actor=caller.actor, request=caller.request)
        said = Said(meaning=MEANING, reason=remarks, auth={**auth, "challenge": token_hash(request.nonce).hex()})
        try:
            return await self._store(caller, request, covered, said)
        except UniqueViolation as error:
            raise Conflict("Somebody signed this document at the same moment. Look again, then sign.") from error

    async def _store(self, caller: Caller, request: Request, covered: Covered, said: Said) -> UUID:
        parts = self._parts
        async with parts.database.transaction() as conn:
            await records.lock_document(conn, request.document)
            row = await self._allowed(conn, caller, request.document, request.number)
            since = Since.of(await self._lines(conn, request.document), covered.last)
            trail = {**covered.as_json(), "since": since.as_json()}
            payload = {**await said_payload(conn, parts, caller, row, said), "trail_review": trail}
            sealed = await sealed_by_tenant(parts, payload)
            await workflow.keep_signature(conn, await row_of(conn, parts, caller, payload, sealed))
            await parts.recorder.with_change(conn, signed_entry(caller, payload, sealed))
        return UUID(payload["sig_id"])

    async def _allowed(self, conn: Conn, caller: Caller, document: UUID, number: int) -> Row:
        """Return the version's row when this person may sign for its trail. Raises NotFound, Forbidden, Conflict."""
        facts, row = await self._parts.progress.facts(conn, caller, document, number)
        caller.require(Right.VIEW)
        wrote = {each["created_by"] for each in await records.list_versions(conn, document)}
        for each in await workflow.signatures(conn, document):
            if each["meaning"] == "authorship":
                wrote |= {each["sub"], each["on_behalf_of"]}
        if facts.actor in wrote:
            raise Conflict("You are an author of this document: somebody else reviews its trail (11.10(g)).")
        return row

    async def _lines(self, conn: Conn, document: UUID) -> list[Line]:
        return [entry.as_line() for entry in reversed(await self._parts.recorder.of_object(conn, str(document)))]

    def _bound(self, row: Row, covered: Covered) -> bytes:
        place = (str(row["document"]), str(row["number"]), row["sha256"])
        return token_hash(context(self._parts.tenant, MEANING, *place, covered.sha256, self._statement).hex())

    async def _record_failure(self, caller: Caller, request: Request, error: AppError) -> None:
        await self._parts.recorder.alone(
            Entry(
                action=Action.SIGNING_FAILED,
                actor=caller.actor,
                object=ObjectRef(type="Document", id=str(request.document), version=str(request.number)),
                changes=(Change(path="/meaning", new=MEANING),),
                reason=Reason(code=error.code, text=error.detail),
                result="denied",
                request=caller.request,
            )
        )


def covered_by(payload: dict[str, Any], lines: list[Line]) -> list[Line]:
    """Return the lines (a document's whole trail, oldest first) that a review covers.

    Raises IntegrityViolation when they are not those that were signed for.
    """
    found = [line for line in lines if line["seq"] <= payload["trail_review"]["last"]]
    _as_signed(payload, Covered.of(found) if found else None)
    return found


def _as_signed(payload: dict[str, Any], covered: Covered | None) -> Covered:
    said = payload["trail_review"]
    if covered is None or not covered.as_json().items() <= said.items():
        raise IntegrityViolation("Entries that a review of this trail covers are missing or altered.")
    return covered
