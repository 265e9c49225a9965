"""The record of a signature (part11.md §7): its payload, its row, its entries."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from tenant_app.domain.actions import Action
from tenant_app.domain.audit import Change, Entry, ObjectRef, Reason
from tenant_app.domain.delegation import Acting
from tenant_app.domain.documents import State
from tenant_app.domain.ids import uuid7
from tenant_app.domain.signing import GENESIS, canonical, digest
from tenant_app.domain.workflow import Transition
from tenant_app.errors import NotFound
from tenant_app.services.caller import Caller
from tenant_app.services.parts import Parts
from tenant_app.storage import outbox, people, records, workflow
from tenant_app.storage.database import Conn, Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step that was decided: the arrow, the states around it, why, and how the person was proven."""

    transition: Transition
    before: State
    after: State
    reason: str
    auth: dict[str, Any]
    acting: Acting | None = None


async def payload_of(conn: Conn, parts: Parts, caller: Caller, row: Row, step: Step) -> dict[str, Any]:
    """Return what is signed. Everything that the signature must not be moved away from is in it (11.70)."""
    definition = parts.progress.definition
    statement = definition.statements[step.transition.meaning]
    before = await workflow.signatures(conn, row["document"])
    now = datetime.now(UTC)
    return {
        "v": 1,
        "sig_id": str(uuid7()),
        "tenant": parts.tenant,
        "record": await _record(conn, parts, row),
        "signer": await signer_of(conn, parts, caller),
        "on_behalf_of": step.acting.as_json() if step.acting else None,
        "meaning": {
            "code": step.transition.meaning,
            "statement": statement,
            "lang": "en",
            "statement_sha256": _sha256(statement),
        },
        "decision": "reject" if step.transition.meaning in {"rejection", "withdrawal", "revocation"} else "accept",
        "reason": step.reason,
        "time": {"utc": now.strftime("%Y-%m-%dT%H:%M:%SZ"), "tz": "UTC", "source": "server"},
        "auth": step.auth,
        "workflow": {
            "definition": definition.version,
            "def_sha256": definition.digest,
            "step": step.transition.name,
            "state_from": step.before.value,
            "state_to": step.after.value,
        },
        "prev_sig": before[-1]["digest"] if before else GENESIS,
        "system": parts.system,
    }


async def row_of(
    conn: Conn, parts: Parts, caller: Caller, payload: dict[str, Any], sealed: dict[str, Any]
) -> dict[str, Any]:
    """Return the row that keeps a signature; a revocation names the person's own newest signature on the version."""
    record, behalf = payload["record"], payload["on_behalf_of"]
    revokes = None
    if payload["meaning"]["code"] == "revocation":
        mine = [
            each["id"]
            for each in await workflow.signatures(conn, UUID(record["id"]))
            if each["sub"] == caller.session.sub and each["version"] == record["version"]
        ]
        revokes = mine[-1] if mine else None
    return {
        "id": UUID(payload["sig_id"]),
        "document": UUID(record["id"]),
        "version": record["version"],
        "sha256": record["content_sha256"],
        "sub": caller.session.sub,
        "meaning": payload["meaning"]["code"],
        "revokes": revokes,
        "sealed": parts.columns.seal(sealed, "signatures", payload["sig_id"], record["id"]),
        "digest": digest(sealed),
        "prev": payload["prev_sig"],
        "at": datetime.now(UTC),
        "on_behalf_of": behalf["sub"] if behalf else None,
        "delegation": UUID(behalf["delegation"]["id"]) if behalf else None,
    }


def signed_entry(caller: Caller, payload: dict[str, Any], sealed: dict[str, Any]) -> Entry:
    """Return the entry of a signature: who, what meaning, which components, and the envelope's digest."""
    record, auth = payload["record"], payload["auth"]
    revocation = payload["meaning"]["code"] == "revocation"
    found = payload["on_behalf_of"]
    behalf = (Change(path="/onBehalfOf", new=found["printed_name"]),) if found else ()
    return Entry(
        action=Action.SIGNATURE_REVOKED if revocation else Action.SIGNED,
        actor=caller.actor,
        object=ObjectRef(
            type="Document", id=record["id"], version=str(record["version"]), sha256=record["content_sha256"]
        ),
        changes=(
            Change(path="/meaning", new=payload["meaning"]["code"]),
            Change(path="/components", new=", ".join(auth["components"])),
            Change(path="/signature", new=digest(sealed)),
            *behalf,
        ),
        reason=Reason(code="signing", text=payload["reason"]),
        request=caller.request,
    )


def moved_entry(caller: Caller, row: Row, before: State, after: State, why: str) -> Entry:
    """Return the entry of a change of state."""
    ref = ObjectRef(type="Document", id=str(row["document"]), version=str(row["number"]), sha256=row["sha256"])
    return Entry(
        action=Action.WORKFLOW_MOVED,
        actor=caller.actor,
        object=ref,
        changes=(Change(path="/state", old=before.value, new=after.value),),
        reason=Reason(code="workflow", text=why),
        request=caller.request,
    )


async def _record(conn: Conn, parts: Parts, row: Row) -> dict[str, Any]:
    document = await records.find_document(conn, row["document"])
    if document is None:
        raise NotFound("There is no such document.")
    words = parts.columns.open(document["sealed"], "documents", str(row["document"]))
    chain, size, link = await outbox.head(conn)
    return {
        "type": "document",
        "id": str(row["document"]),
        "version": row["number"],
        "content_sha256": row["sha256"],
        "media_type": row["media_type"],
        "size": row["size"],
        "metadata_sha256": hashlib.sha256(canonical(words)).hexdigest(),
        "trail": {"chain": str(chain), "size": size, "hash": link.hex()},
    }


async def signer_of(conn: Conn, parts: Parts, caller: Caller) -> dict[str, Any]:
    """Return who signs, as the payload says it: printed name, how they were enrolled, the policy they accepted."""
    sealed = await people.find_person(conn, caller.session.sub)
    person = parts.columns.open(sealed or b"", "people", caller.session.sub)
    ready = await parts.readiness.check(conn, caller)
    return {
        "sub": caller.session.sub,
        "dn": person["dn"],
        "printed_name": person["name"],
        "title": person["title"],
        "roles": sorted(caller.session.roles),
        "enrolment": ready.enrolment,
        "policy_sha256": ready.policy_sha256,
    }


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
