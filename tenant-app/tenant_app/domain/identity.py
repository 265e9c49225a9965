"""People and sessions. A person is the directory's immutable id, never the name they type (11.100(a))."""

import hashlib
import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from tenant_app.domain.access import Right, Role

MAX_ACCOUNT = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A person as the directory describes them.

    `sub` is entryUUID or objectGUID, `account` what they typed, normalised, `name` the printed name of 11.50(a)(1).
    """

    sub: str
    account: str
    dn: str
    name: str
    mail: str = ""
    title: str = ""
    roles: frozenset[Role] = frozenset()


# People whom only an OpenID provider knows: the directory is not asked about them.
FEDERATED = "oidc:"


def federated_sub(issuer: str, subject: str) -> str:
    """Return the immutable id of a person of a provider: issuer and sub, as one name of fixed length."""
    return FEDERATED + hashlib.sha256(f"{issuer}\x00{subject}".encode()).hexdigest()[:40]


def is_federated(sub: str) -> bool:
    """Say whether a person is known to a provider only."""
    return sub.startswith(FEDERATED)


class SessionEnd(StrEnum):
    """Why a session stopped being live."""

    SIGNED_OUT = "signed_out"
    IDLE = "idle"
    ABSOLUTE = "absolute"
    DISPLACED = "displaced"
    CLIENT_CHANGED = "client_changed"
    DIRECTORY = "directory"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRules:
    """The tenant's limits; people cannot change or extend them (AT-47)."""

    idle: timedelta
    absolute: timedelta
    max_concurrent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A server-side session. `id_hash` is what is stored; the token itself is only in the cookie."""

    id_hash: bytes
    sub: str
    name: str
    account: str
    roles: frozenset[Role]
    rights: frozenset[Right]
    csrf: str
    client_hash: bytes
    signed_in_at: datetime
    last_seen_at: datetime
    # How often what this person may do had changed when the request came; a signing period is bound to it.
    authority: int = 0
    # How it was opened, and whether its person has yet to set up the second factor that the tenant demands.
    method: str = "ldap-simple-bind"
    factor: str = "none"
    must_enrol: bool = False
    proved_at: datetime | None = None


def normalise_account(typed: str) -> str:
    """Return the one form in which an account name is compared and counted (11.300(a)): NFKC, case-folded, trimmed.

    An empty string means that nothing usable was typed.
    """
    account = unicodedata.normalize("NFKC", typed).strip().casefold()
    if len(account) > MAX_ACCOUNT or any(unicodedata.category(char).startswith("C") for char in account):
        return ""
    return account


def expiry(session: Session, *, now: datetime, client_hash: bytes, rules: SessionRules) -> SessionEnd | None:
    """Return why the session is over at `now`, or None while it is live."""
    if session.client_hash != client_hash:
        return SessionEnd.CLIENT_CHANGED
    if now - session.signed_in_at >= rules.absolute:
        return SessionEnd.ABSOLUTE
    if now - session.last_seen_at >= rules.idle:
        return SessionEnd.IDLE
    return None
