"""The certificate of destruction: what it says, how it is signed, and how anyone checks it with no cluster. Pure.

The file is the RFC 8785 form of `{"payload": …, "signature": base64}`. The signature is Ed25519 over DSSE's encoding of the
payload's RFC 8785 bytes. The key's name, version and public half are in the payload, so nothing of the file is unsigned: any
changed byte is another payload, another signature or another form. Without a pinned public key the check shows that the
certificate is whole, not who signed it; it says so.
"""

import base64
import binascii
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import rfc8785
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from audit_contract.checkpoint import from_text
from audit_contract.merkle import ProofError, verify_inclusion
from audit_contract.note import NoteError
from audit_contract.note import parse as parse_note
from audit_contract.proof import parse as parse_proof
from tenant_operator.api.common import delta
from tenant_operator.offboarding.approvals import person
from tenant_operator.offboarding.state import when
from tenant_operator.offboarding.words import APPROVALS_NEEDED

PAYLOAD_TYPE = "application/vnd.cloister.certificate-of-destruction.v1+json"
_RAW_KEY = 32


@dataclass(frozen=True)
class Finding:
    """One thing the check has to say. An error means that the certificate does not hold."""

    level: Literal["error", "note"]
    text: str


def holds(findings: Sequence[Finding]) -> bool:
    """Tell whether a certificate holds: no finding is an error."""
    return all(finding.level != "error" for finding in findings)


def pae(payload: Mapping[str, Any]) -> bytes:
    """Return what is signed: DSSE's pre-authentication encoding of the payload's canonical bytes."""
    body, kind = rfc8785.dumps(dict(payload)), PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(body), body)


def seal(payload: Mapping[str, Any], signature: bytes) -> dict[str, Any]:
    """Return the certificate as an object."""
    return {"payload": dict(payload), "signature": base64.b64encode(signature).decode()}


def encode(certificate: Mapping[str, Any]) -> bytes:
    """Return the certificate as the bytes that are kept and handed over."""
    return rfc8785.dumps(dict(certificate))


def pem(raw: bytes) -> str:
    """Return a raw Ed25519 public key as PEM."""
    key = Ed25519PublicKey.from_public_bytes(raw)
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def verify(certificate: bytes, *, public_key: bytes | str | None = None) -> list[Finding]:
    """Check a certificate; `public_key` (raw or PEM) is the pinned key of the platform. Never raises for a bad certificate."""
    try:
        read = json.loads(certificate)
        payload, signature = _parts(certificate, read)
        return list(_check(payload, signature, public_key))
    except _BadCertificateError as error:
        return [Finding("error", str(error))]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, UnsupportedAlgorithm) as error:
        return [Finding("error", f"not a certificate of destruction: {type(error).__name__}: {error}")]


class _BadCertificateError(Exception):
    pass


def _parts(raw: bytes, read: Any) -> tuple[dict[str, Any], bytes]:
    if not isinstance(read, dict) or set(read) != {"payload", "signature"} or rfc8785.dumps(read) != raw:
        raise _BadCertificateError("not the RFC 8785 form of a payload and its signature")
    try:
        signature = base64.b64decode(read["signature"], validate=True)
    except (binascii.Error, TypeError) as error:
        raise _BadCertificateError("the signature is not base64") from error
    if base64.b64encode(signature).decode() != read["signature"]:
        raise _BadCertificateError("the signature's base64 is not in its one form")
    return read["payload"], signature


def _raw(key: bytes | str) -> bytes:
    """Return a public key's 32 bytes, from these or from PEM."""
    text = key.encode() if isinstance(key, str) else key
    if len(text) == _RAW_KEY:
        return text
    loaded = serialization.load_pem_public_key(text)
    if not isinstance(loaded, Ed25519PublicKey):
        raise _BadCertificateError("the pinned key is not an Ed25519 key")
    return loaded.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def _check(payload: dict[str, Any], signature: bytes, pinned: bytes | str | None) -> Iterator[Finding]:
    if payload["type"] != PAYLOAD_TYPE:
        yield Finding("error", f"of type {payload['type']}, not {PAYLOAD_TYPE}")
    stated = _raw(payload["issuer"]["publicKey"])
    if pinned is None:
        yield Finding("note", "no key was pinned: the certificate is whole, but who signed it is only its own word")
    elif _raw(pinned) != stated:
        yield Finding("error", "signed with another key than the pinned one")
    try:
        Ed25519PublicKey.from_public_bytes(stated).verify(signature, pae(payload))
    except InvalidSignature:
        yield Finding("error", "the signature does not belong to the payload")
        return
    yield from _approvals(payload)
    yield from _times(payload)
    for item in payload["evidence"]:
        if item["state"] != "Absent":
            yield Finding("error", f"{item['name']} is not said to be absent but {item['state']}")
    if not payload["evidence"]:
        yield Finding("error", "it shows no evidence")
    for entry in payload["audit"]:
        yield from _audit(entry)
    wanted = {f"tenant-{payload['tenant']['id']}", "platform"}
    if not wanted <= {entry["log"] for entry in payload["audit"]}:
        yield Finding("error", f"no proof from both logs, {' and '.join(sorted(wanted))}")


def _approvals(payload: Mapping[str, Any]) -> Iterator[Finding]:
    people = {person(approval["approver"]) for approval in payload["approvals"]}
    if len(people) < APPROVALS_NEEDED:
        yield Finding("error", f"approved by {len(people)} different people, not {APPROVALS_NEEDED}")


def _times(payload: Mapping[str, Any]) -> Iterator[Finding]:
    verified = when(payload["export"]["verifiedAt"])
    began, issued = when(payload["destructionBegan"]), when(payload["issuedAt"])
    if began < verified + delta(payload["gracePeriod"]):
        yield Finding("error", "the destruction began before the grace period after the verified export had ended")
    if issued < began:
        yield Finding("error", "issued before the destruction began")


def _audit(entry: Mapping[str, Any]) -> Iterator[Finding]:
    """Check that the entry is in the log whose signed checkpoint its proof carries.

    The checkpoint's signatures are for `cloister-verify`, which knows the log's keys and witnesses.
    """
    name = f"the proof of entry {entry['index']} of log {entry['log']}"
    try:
        proof = parse_proof(entry["proof"].encode())
        point = from_text(parse_note(proof.checkpoint).text)
        if proof.index != entry["index"]:
            yield Finding("error", f"{name} is of entry {proof.index}")
        if not point.origin.endswith(entry["log"]):
            yield Finding("error", f"{name} is from the log {point.origin}")
        verify_inclusion(bytes.fromhex(entry["leafHash"]), proof.index, point.size, proof.path, point.root)
    except (NoteError, ProofError, ValueError) as error:
        yield Finding("error", f"{name} does not hold: {error}")
