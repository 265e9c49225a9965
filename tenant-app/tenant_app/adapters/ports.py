"""What the services need of the outside, as protocols. Tests have fakes of these; production has the modules beside this one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from tenant_app.domain.access import Role
from tenant_app.domain.audit import Json
from tenant_app.domain.identity import Person
from tenant_app.domain.pdfa import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """A signature by the tenant's signing key: the key's name, its version and 64 raw bytes (Ed25519)."""

    key: str
    key_version: int
    signature: bytes


class Keys(Protocol):
    """The tenant's keys. The app can use them and cannot export them."""

    async def wrap(self, key: bytes, bound_to: bytes) -> str:
        """Return `key` encrypted by the transit key, bound to its place. Raises VaultAway, VaultRefused."""

    async def unwrap(self, wrapped: str, bound_to: bytes) -> bytes:
        """Return the key. Raises VaultAway, VaultRefused."""

    async def sign(self, message: bytes) -> Seal:
        """Return the signing key's signature over `message`. Raises VaultAway, VaultRefused."""

    async def public_keys(self) -> dict[int, bytes]:
        """Return the signing key's raw public keys by version. Raises VaultAway, VaultRefused."""

    async def check(self) -> None:
        """Return when the keys can be used. Raises VaultAway, VaultRefused."""


class PdfaJudge(Protocol):
    """A PDF/A validator."""

    async def judge(self, content: bytes, flavour: str) -> Verdict:
        """Return whether the PDF is of the flavour (`2b`; one of `domain.pdfa.FLAVOURS`). Raises DependencyAway."""


class Directory(Protocol):
    """The customer's directory."""

    async def authenticate(self, account: str, password: str) -> Person:
        """Return the person whose password this is. Raises SignInRefused, DirectoryAway."""

    async def look_up(self, sub: str) -> Person | None:
        """Return the person with this immutable id while they are enabled, else None. Raises DirectoryAway."""

    async def members(self, role: Role) -> list[Person]:
        """Return who has a role, by name. Raises DirectoryAway."""

    async def find(self, account: str) -> Person | None:
        """Return the one enabled person with this account name, else None. Raises DirectoryAway."""

    async def password_changed_at(self, sub: str) -> datetime | None:
        """Return when this person's password was set, None when the directory does not tell. Raises DirectoryAway."""

    async def check(self) -> None:
        """Return when the directory answers. Raises DirectoryAway."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """What ties a way to the provider together: sent along, and demanded of what comes back."""

    state: str
    nonce: str
    verifier: str
    # Set for a step-up: the person has to have typed their credentials again after this moment.
    fresh_since: datetime | None = None


class IdentityProvider(Protocol):
    """An OpenID Connect provider."""

    @property
    def issuer(self) -> str:
        """Return the provider's name, as its tokens tell it."""

    async def address(self, way: Way) -> str:
        """Return where to send the browser. Raises ProviderAway."""

    async def claims(self, query: Mapping[str, str], way: Way) -> dict[str, Any]:
        """Return the verified claims for what the browser brought back. Raises SignInRefused, ProviderAway."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One entry on its way: its place in the chain and its body as `Entry.as_json` made it."""

    seq: int
    body: dict[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged:
    """What the audit service answered for the entry with this id."""

    id: str
    log_index: int
    leaf_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEvidence:
    """One entry of the log with what proves it offline: the entry's bytes, a `.tlog-proof`, and the log's name and keys.

    `values` are the entry's values by field with their salts, since the entry itself holds commitments.
    """

    leaf: bytes
    proof: bytes
    values: dict[str, Json]
    origin: str
    keys: tuple[str, ...]


class AuditLog(Protocol):
    """The audit service, seen from here."""

    async def deliver(self, chain: str, entries: Sequence[Outgoing]) -> list[Acknowledged]:
        """Append the chain's entries durably, once each however often they are sent. Raises AuditAway, AuditRefusal."""

    async def evidence(self, log_index: int) -> LogEvidence:
        """Return the proof of one of our entries. Raises AuditAway, also while the entry is under no checkpoint yet."""

    def verifier(self) -> bytes:
        """Return the program that checks the log's proofs offline, one file for Python."""

    async def check(self) -> None:
        """Return when the service answers. Raises AuditAway."""

    async def close(self) -> None:
        """Let go of connections."""


class Sink(Protocol):
    """Where alerts go."""

    @property
    def name(self) -> str:
        """Return the sink's name, as entries tell it."""

    async def send(self, body: dict[str, Json]) -> None:
        """Return when the alert was taken. Raises SinkAway."""
