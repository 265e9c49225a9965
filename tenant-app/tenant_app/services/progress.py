"""Where versions stand: the facts that the guard decides on, and what waits for whom (11.10(f))."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from tenant_app.domain.access import Right
from tenant_app.domain.delegation import Acting
from tenant_app.domain.documents import Document, State
from tenant_app.domain.signing import check_chain, opened
from tenant_app.domain.workflow import Definition, Facts, Signed, Transition, can, possible
from tenant_app.errors import IntegrityViolation, NotFound
from tenant_app.services.caller import Caller
from tenant_app.services.columns import Columns
from tenant_app.services.delegations import Delegations
from tenant_app.services.keyring import Keyring
from tenant_app.services.rows import Rows
from tenant_app.storage import records, workflow
from tenant_app.storage.database import Conn, Database, Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewer:
    """An assigned reviewer and whether their review is signed."""

    sub: str
    name: str
    done: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A signature as shown: everything from its verified payload, nothing from a row that could have been moved."""

    id: UUID
    version: int
    at: datetime
    payload: dict[str, Any]
    envelope: dict[str, Any]
    revoked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A version's place in the workflow as one person sees it."""

    state: State
    reviewers: list[Reviewer]
    signatures: list[Signature]
    possible: list[Transition]
    delegated: list[tuple[Transition, Acting]]
    trail_opened: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Something that waits for a person."""

    document: Document
    words: str


class Progress:
    """Reads the workflow; changes nothing."""

    def __init__(
        self,
        database: Database,
        columns: Columns,
        keyring: Keyring,
        definition: Definition,
        delegations: Delegations,
        *,
        tenant: str,
    ) -> None:
        self._database = database
        self._columns = columns
        self._keyring = keyring
        self._rows = Rows(columns, tenant)
        self._tenant = tenant
        self._delegations = delegations
        self.definition = definition

    async def facts(
        self,
        conn: Conn,
        caller: Caller,
        document: UUID,
        number: int,
        *,
        reason: str = "",
        joining: frozenset[str] = frozenset(),
        acting: Acting | None = None,
    ) -> tuple[Facts, Row]:
        """Return what the guard needs to know, and the version's row. `joining`: reviewers chosen in this very step.

        Raises NotFound.
        """
        row = await records.find_version(conn, document, number)
        latest = await records.find_document(conn, document)
        if row is None or latest is None:
            raise NotFound("There is no such version.")
        signed = await workflow.signatures(conn, document)
        revoked = {each["revokes"] for each in signed if each["revokes"]}
        assigned = await workflow.assignments(conn, document, number)
        return Facts(
            actor=caller.session.sub,
            rights=acting.rights if acting else caller.session.rights,
            state=State(row["state"]),
            sha256=row["sha256"],
            author=row["created_by"],
            latest=latest["version"] == number,
            reviewers=frozenset(each["sub"] for each in assigned) | joining,
            signatures=tuple(
                Signed(
                    sub=each["sub"],
                    meaning=each["meaning"],
                    sha256=each["sha256"],
                    revoked=each["id"] in revoked,
                    on_behalf_of=each["on_behalf_of"],
                )
                for each in signed
                if each["version"] == number
            ),
            trail_opened=await workflow.trail_opened(conn, document, caller.session.sub, row["created_at"]),
            reason=reason,
            on_behalf_of=acting.sub if acting else None,
        ), row

    async def standing(self, caller: Caller, document: UUID, number: int) -> Standing:
        """Return where a version stands. Raises NotFound, and IntegrityViolation when the signatures do not verify."""
        caller.require(Right.VIEW)
        await self._columns.ready()
        keys = await self._keyring.public_keys()
        actings = await self._delegations.actings(caller)
        async with self._database.transaction() as conn:
            facts, _ = await self.facts(conn, caller, document, number)
            assigned = await workflow.assignments(conn, document, number)
            delegated = [
                (transition, acting)
                for transition, acting in actings
                if can(transition, (await self.facts(conn, caller, document, number, acting=acting))[0])
            ]
            found = self.verified(await workflow.signatures(conn, document), keys, document)
        done = facts.principals("review")
        return Standing(
            state=facts.state,
            reviewers=[Reviewer(sub=row["sub"], name=self._name(row), done=row["sub"] in done) for row in assigned],
            signatures=found,
            possible=possible(self.definition, facts),
            delegated=delegated,
            trail_opened=facts.trail_opened,
        )

    def verified(self, rows: list[Row], keys: dict[int, bytes], document: UUID) -> list[Signature]:
        """Return a document's signatures, oldest first, each verified and all of them in one unbroken chain (11.70).

        Raises IntegrityViolation.
        """
        revoked = {row["revokes"] for row in rows if row["revokes"]}
        pairs = []
        found = []
        for row in rows:
            body = self._columns.open(row["sealed"], "signatures", str(row["id"]), str(row["document"]))
            payload = opened(body, keys)
            if payload["sig_id"] != str(row["id"]) or payload["record"]["version"] != row["version"]:
                raise IntegrityViolation("A signature does not belong to its row.")
            behalf = payload.get("on_behalf_of") or {"sub": None}
            if (payload["signer"]["sub"], behalf["sub"]) != (row["sub"], row["on_behalf_of"]):
                raise IntegrityViolation("A signature's row names other people than the signature.")
            pairs.append((body, payload))
            found.append(
                Signature(
                    id=row["id"],
                    version=row["version"],
                    at=row["at"],
                    payload=payload,
                    envelope=body,
                    revoked=row["id"] in revoked,
                )
            )
        check_chain(pairs, tenant=self._tenant, document=str(document))
        return found

    async def tasks(self, caller: Caller) -> list[Task]:
        """Return what waits for this person, newest first, and what they could do on somebody's behalf after it."""
        await self._columns.ready()
        actings = await self._delegations.actings(caller)
        async with self._database.transaction() as conn:
            found = []
            for row, words in await self._waiting(conn, caller, actings):
                document = await records.find_document(conn, row["document"])
                if document:
                    found.append(Task(document=self._rows.document(document), words=words))
            return found

    async def _waiting(
        self, conn: Conn, caller: Caller, actings: list[tuple[Transition, Acting]]
    ) -> list[tuple[Row, str]]:
        own = await workflow.open_work(conn, caller.session.sub)
        found = [(row, words) for row in own if (words := _words(row, caller))]
        mine = {row["document"] for row, _ in found}
        for transition, acting in actings:
            if transition.meaning not in _WAITING_WORDS:
                continue
            for row in own:
                if State(row["state"]) not in transition.sources:
                    continue
                facts, _ = await self.facts(conn, caller, row["document"], row["number"], acting=acting)
                if row["document"] not in mine and can(transition, replace(facts, trail_opened=True)):
                    mine.add(row["document"])
                    found.append((row, f"{_WAITING_WORDS[transition.meaning]} on behalf of {acting.name}"))
        return found

    def _name(self, row: Row) -> str:
        words = self._columns.open(row["sealed"], "assignments", str(row["document"]), str(row["version"]), row["sub"])
        return str(words["name"])


_WAITING_WORDS = {
    "review": "waits for your review",
    "approval": "can be approved",
    "publication": "can be published",
}


def _words(row: Row, caller: Caller) -> str:
    mine, rights = row["created_by"] == caller.session.sub, caller.session.rights
    state = row["state"]
    if state == "in_review" and row["to_review"]:
        return "waits for your review"
    if state == "reviewed" and not mine and not row["reviewer"] and Right.APPROVE in rights:
        return "can be approved"
    if state == "approved" and not mine and Right.PUBLISH in rights:
        return "can be published"
    if mine and state == "rejected":
        return "was rejected: it needs a new version"
    return "is your draft: send it to review" if mine and state == "draft" else ""
