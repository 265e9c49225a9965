"""What the services need of the outside, as protocols. Tests have fakes of these; production has the modules beside this one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tenant_app.domain.access import Role
from tenant_app.domain.audit import Json
from tenant_app.domain.identity import Person


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


class Directory(Protocol):
    """The customer's directory."""

    async def authenticate(self, account: str, password: str) -> Person:
        """Return the person whose password this is. Raises SignInRefused, DirectoryAway."""

    async def look_up(self, sub: str) -> Person | None:
        """Return the person with this immutable id while they are enabled, else None. Raises DirectoryAway."""

    async def members(self, role: Role) -> list[Person]:
        """Return who has a role, by name. Raises DirectoryAway."""

    async def check(self) -> None:
        """Return when the directory answers. Raises DirectoryAway."""


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
