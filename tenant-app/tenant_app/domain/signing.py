"""Electronic signatures: what is signed, how it is enveloped, and the period rule of 11.200(a)(1).

The payload is RFC 8785 JSON in a DSSE envelope, sealed by the tenant's signing key. The person is proven by the components they
type, not by a key that we hold for them.
"""

import base64
import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tenant_app.errors import IntegrityViolation

PAYLOAD_TYPE = "application/vnd.cloister.esign.v1+json"
GENESIS = "none"
CHALLENGE_LIFE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """One continuous period of controlled access, opened by a signing with all components.

    Bound to the login session, the client and its address, and to what the person may do: a change of any of them is a break
    (11.200(a)(1)(ii)).
    """

    session: bytes
    client: bytes
    address: str
    rights: frozenset[str]
    authority: int
    started_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodRules:
    """How long a period lasts without a signing, and in all; how old a password may be to sign, if the tenant limits it."""

    idle: timedelta = timedelta(minutes=10)
    longest: timedelta = timedelta(hours=2)
    password_age: timedelta | None = None


def continues(period: Period | None, *, now: datetime, like: Period, rules: PeriodRules) -> bool:
    """Say whether a signing now is a subsequent one of `period`, seen from the session, client and rights in `like`."""
    return (
        period is not None
        and period.session == like.session
        and period.client == like.client
        and period.address == like.address
        and period.rights == like.rights
        and period.authority == like.authority
        and now - period.last_at < rules.idle
        and now - period.started_at < rules.longest
    )


def components_suffice(*, first: bool, identification: bool, password: bool) -> bool:
    """Say whether what was typed may sign: all components first, later at least the one only the person can use (AT-34)."""
    return password and (identification or not first)


def pae(payload: bytes) -> bytes:
    """Return DSSE's pre-authentication encoding, which is what the key signs."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def canonical(payload: dict[str, Any]) -> bytes:
    """Return the payload's RFC 8785 bytes."""
    return rfc8785.dumps(payload)


def envelope(payload: bytes, *, key: str, key_version: int, signature: bytes) -> dict[str, Any]:
    """Return the DSSE envelope as JSON values."""
    return {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"keyid": f"{key}:v{key_version}", "sig": base64.b64encode(signature).decode()}],
    }


def digest(found: dict[str, Any]) -> str:
    """Return an envelope's digest, which the next signature on the document names."""
    return hashlib.sha256(rfc8785.dumps(found)).hexdigest()


def opened(found: dict[str, Any], keys: dict[int, bytes]) -> dict[str, Any]:
    """Return a verified envelope's payload. Raises IntegrityViolation when it does not verify."""
    try:
        payload = base64.b64decode(found["payload"], validate=True)
        sealed = found["signatures"][0]
        version = int(sealed["keyid"].rpartition(":v")[2])
        signature = base64.b64decode(sealed["sig"], validate=True)
        Ed25519PublicKey.from_public_bytes(keys[version]).verify(signature, pae(payload))
    except (KeyError, IndexError, ValueError, InvalidSignature) as error:
        raise IntegrityViolation("A signature does not verify.") from error
    if found.get("payloadType") != PAYLOAD_TYPE or canonical(body := json.loads(payload)) != payload:
        raise IntegrityViolation("A signature's payload is not in its canonical form.")
    result: dict[str, Any] = body
    return result


def check_chain(payloads: list[tuple[dict[str, Any], dict[str, Any]]], *, tenant: str, document: str) -> None:
    """Check (envelope, payload) pairs, oldest first: all of this document, none missing, none moved (11.70, AT-29).

    Raises IntegrityViolation.
    """
    before = GENESIS
    for found, payload in payloads:
        if payload["tenant"] != tenant or payload["record"]["id"] != document or payload["prev_sig"] != before:
            raise IntegrityViolation("A signature is missing, or belongs to another record.")
        before = digest(found)
