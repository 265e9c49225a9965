"""Evidence that is checked without us: one entry of the trail, or one signature with everything that it rests on (AT-32)."""

import asyncio
import base64
import io
import json
import zipfile
from dataclasses import dataclass
from importlib.resources import files
from uuid import UUID

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tenant_app.adapters.ports import AuditLog, LogEvidence
from tenant_app.domain.access import Right
from tenant_app.domain.actions import Action
from tenant_app.domain.documents import Document, Version
from tenant_app.domain.signing import digest
from tenant_app.domain.trail_review import canonical
from tenant_app.errors import AuditAway, NotFound
from tenant_app.services.caller import Caller
from tenant_app.services.document_entries import read_entry
from tenant_app.services.parts import Parts
from tenant_app.services.printing import Printing
from tenant_app.services.progress import Signature
from tenant_app.services.recorder import Recorded
from tenant_app.services.renditions import History
from tenant_app.services.trail_review import covered_by

_SIGNED = frozenset({Action.SIGNED.value, Action.SIGNATURE_REVOKED.value})
_ENTRY_README = """What this proves

entry.json is the entry as it stands in the audit log {origin}; entry.tlog-proof (C2SP tlog-proof) leads from it to a checkpoint
that the log signed. Check it offline:

    python cloister-verify.pyz entry entry.tlog-proof --leaf entry.json --log {origin} --keys log-keys.txt

Exit code 0: the entry is in the log, unchanged. The keys in log-keys.txt came with this file: compare them with keys of this log
that you have from elsewhere, and take cloister-verify from elsewhere too where it matters.
Values stand in the entry as commitments; entry-values.json has the values with the salts that open them.
"""
_SIGNATURE_README = """One electronic signature, and everything that it rests on

  signature.dsse.json   the sealed record (DSSE, Ed25519)      payload.json    what was sealed (RFC 8785 JSON)
  statement.txt         the statement that was signed          content/        the signed bytes
  signing-key-v*.pem    the tenant's public signing keys       before/         the signatures before it on this document
  trail.json            where the signature is of a trail review: the entries that it covers (RFC 8785 JSON)
  check.py              checks all of that: python check.py    (needs Python and the package cryptography)

Compare the public keys with ones that you have from elsewhere: the pack proves that their holder sealed this record.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pack:
    """What a pack of one signature is made of. `log` is None while the audit log has no proof yet."""

    history: History
    signature: Signature
    version: Version
    content: bytes
    log: LogEvidence | None


class Evidence:
    """Makes packs; each is recorded as a copy that left the system."""

    def __init__(self, parts: Parts, printing: Printing, audit: AuditLog) -> None:
        self._parts = parts
        self._printing = printing
        self._audit = audit

    async def of_entry(self, caller: Caller, document: UUID, seq: int) -> tuple[str, bytes]:
        """Return a file name and a zip that proves one entry of a document's trail.

        Raises Forbidden, NotFound, and AuditAway while the entry is not in the log, or the log does not answer.
        """
        caller.require(Right.VIEW)
        history = await self._printing.history(document)
        entry = next((each for each in history.entries if each.link.seq == seq), None)
        if entry is None:
            raise NotFound("There is no such entry in this document's trail.")
        log = await self._proof(entry)
        await self._record(caller, history.document, "proof")
        members = {**_log_members(log), "cloister-verify.pyz": self._audit.verifier()}
        return f"{history.document.label}-entry-{seq}-proof.zip", _zip(members)

    async def of_signature(self, caller: Caller, document: UUID, signature: UUID) -> tuple[str, bytes]:
        """Return a file name and a zip that proves one signature alone. Without a log's proof when there is none yet.

        Raises Forbidden, NotFound, VaultAway, IntegrityViolation.
        """
        caller.require(Right.VIEW)
        history = await self._printing.history(document)
        found = next((each for each in history.signatures if each.id == signature), None)
        if found is None:
            raise NotFound("There is no such signature on this document.")
        content = await self.pack(history, found)
        await self._record(caller, history.document, "evidence")
        return f"{history.document.label}-signature-{str(signature)[-12:]}.zip", content

    async def pack(self, history: History, signature: Signature) -> bytes:
        """Return the zip, for services that record it themselves."""
        document = history.document.id
        version, content = await self._parts.documents.fetch(document, signature.version)
        pack = _Pack(
            history=history,
            signature=signature,
            version=version,
            content=content,
            log=await self._log_of(history, signature),
        )
        keys = await self._parts.keyring.public_keys()
        return await asyncio.to_thread(_signature_zip, pack, keys, self._audit.verifier())

    async def _log_of(self, history: History, signature: Signature) -> LogEvidence | None:
        name = digest(signature.envelope)
        for entry in history.entries:
            named = {change["path"]: change.get("new") for change in entry.body["change"]}
            if entry.body["action"] in _SIGNED and named.get("/signature") == name:
                try:
                    return await self._proof(entry)
                except AuditAway:
                    # The signature verifies without the log; the pack says that the proof is missing.
                    return None
        return None

    async def _proof(self, entry: Recorded) -> LogEvidence:
        if entry.link.log_index is None:
            raise AuditAway("This entry waits for the audit log. Try again in a moment.")
        return await self._audit.evidence(entry.link.log_index)

    async def _record(self, caller: Caller, document: Document, part: str) -> None:
        await self._parts.recorder.alone(read_entry(Action.DOCUMENT_EXPORTED, caller, document.latest, part=part))


def _signature_zip(pack: _Pack, keys: dict[int, bytes], verifier: bytes) -> bytes:
    signature = pack.signature
    members = {
        "signature.dsse.json": _json(signature.envelope),
        "payload.json": base64.b64decode(signature.envelope["payload"]),
        "statement.txt": signature.payload["meaning"]["statement"].encode(),
        f"content/{pack.version.file_name}": pack.content,
        "check.py": files("tenant_app").joinpath("evidence_check.py").read_bytes(),
    }
    members |= {f"signing-key-v{version}.pem": public_pem(raw) for version, raw in keys.items()}
    if "trail_review" in signature.payload:
        lines = [entry.as_line() for entry in reversed(pack.history.entries)]
        members["trail.json"] = canonical(covered_by(signature.payload, lines))
    earlier = pack.history.signatures[: pack.history.signatures.index(signature)]
    members |= {f"before/{place:04d}.json": _json(each.envelope) for place, each in enumerate(earlier)}
    readme = _SIGNATURE_README
    if pack.log is not None:
        members |= {**_log_members(pack.log), "cloister-verify.pyz": verifier}
        readme += "\n" + _ENTRY_README.format(origin=pack.log.origin)
    else:
        readme += "\nThe audit log had no proof of this signature's entry when this pack was made. A pack made later has it.\n"
    if signature.revoked:
        readme += "\nThis signature was revoked by a later one on the same document.\n"
    return _zip({**members, "README.txt": readme.encode()})


def _log_members(log: LogEvidence) -> dict[str, bytes]:
    return {
        "entry.json": log.leaf,
        "entry.tlog-proof": log.proof,
        "entry-values.json": _json(log.values),
        "log-keys.txt": "".join(f"{key}\n" for key in log.keys).encode(),
        "README.txt": _ENTRY_README.format(origin=log.origin).encode(),
    }


def _json(value: object) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode()


def public_pem(raw: bytes) -> bytes:
    """Return a raw Ed25519 public key as PEM."""
    return Ed25519PublicKey.from_public_bytes(raw).public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _zip(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()
