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
from tenant_app.domain.signing import GENESIS, canonical, digest, envelope, pae
from tenant_app.domain.trail_review import MEANING as TRAIL_REVIEW
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a signature says, apart from any step: its meaning, why, how the person was proven, on whose behalf."""

    meaning: str
    reason: str
    auth: dict[str, Any]
    acting: Acting | None = None


async def payload_of(conn: Conn, parts: Parts, caller: Caller, row: Row, step: Step) -> dict[str, Any]:
    """Return what is signed at a step. Everything that the signature must not be moved away from is in it (11.70)."""
    said = Said(meaning=step.transition.meaning, reason=step.reason, auth=step.auth, acting=step.acting)
    return await said_payload(conn, parts, caller, row, said) | {
        "workflow": _workflow(parts, step.transition.name, step.before, step.after)
    }


async def said_payload(conn: Conn, parts: Parts, caller: Caller, row: Row, said: Said) -> dict[str, Any]:
    """Return what is signed when something is said of a version that moves it nowhere: its state stays as it is."""
    statement = parts.progress.definition.statements[said.meaning]
    before = await workflow.signatures(conn, row["document"])
    now, state = datetime.now(UTC), State(row["state"])
    return {
        "v": 1,
        "sig_id": str(uuid7()),
        "tenant": parts.tenant,
        "record": await _record(conn, parts, row),
        "signer": await signer_of(conn, parts, caller),
        "on_behalf_of": said.acting.as_json() if said.acting else None,
        "meaning": {
            "code": said.meaning,
            "statement": statement,
            "lang": "en",
            "statement_sha256": _sha256(statement),
        },
        "decision": "reject" if said.meaning in {"rejection", "withdrawal", "revocation"} else "accept",
        "reason": said.reason,
        "time": {"utc": now.strftime("%Y-%m-%dT%H:%M:%SZ"), "tz": "UTC", "source": "server"},
        "auth": said.auth,
        "workflow": _workflow(parts, None, state, state),
        "prev_sig": before[-1]["digest"] if before else GENESIS,
        "system": parts.system,
    }


async def sealed_by_tenant(parts: Parts, payload: dict[str, Any]) -> dict[str, Any]:
    """Return the payload's envelope, sealed with the tenant's signing key. Raises VaultAway, VaultRefused."""
    raw = canonical(payload)
    seal = await parts.keys.sign(pae(raw))
    # A key version that came with a rotation since we last looked has to be known before anybody verifies.
    await parts.keyring.public_keys(at_least=seal.key_version)
    return envelope(raw, key=seal.key, key_version=seal.key_version, signature=seal.signature)


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
            if (each["sub"], each["version"]) == (caller.session.sub, record["version"])
            and each["meaning"] != TRAIL_REVIEW
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
    trail = payload.get("trail_review")
    covers = (Change(path="/covers", new=f"#{trail['first']} to #{trail['last']}"),) if trail else ()
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
            *covers,
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


def _workflow(parts: Parts, step: str | None, before: State, after: State) -> dict[str, Any]:
    definition = parts.progress.definition
    return {
        "definition": definition.version,
        "def_sha256": definition.digest,
        "step": step,
        "state_from": before.value,
        "state_to": after.value,
    }


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
