"""The rows the rest of the service speaks about."""

from dataclasses import dataclass
from typing import NamedTuple

from audit_contract.keys import parse_vkey
from audit_contract.note import parse


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A log's identity. `sealed_key` is the key its values are sealed with, itself sealed by the service's key."""

    number: int
    name: str
    origin: str
    kind: str
    tenant: str
    namespace: str
    region: str
    retention_days: int
    sealed_key: bytes

    def identity(self) -> tuple[str, str, str, str, int]:
        """Return what a second creation must agree on."""
        return self.kind, self.tenant, self.namespace, self.region, self.retention_days


class SourceHead(NamedTuple):
    """Where one source stands in one log: its next number and the hash of its last entry (empty at the start)."""

    next: int = 0
    last: bytes = b""


class Stored(NamedTuple):
    """An entry as it lies in the store."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody asks for
    hash: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class Signed:
    """A log's last checkpoint: the note and what it says."""

    size: int
    root: bytes
    note: bytes


@dataclass(frozen=True, slots=True)
class Stamped:
    """A time-stamp (RFC 3161) of a checkpoint: the note, what was asked, what was answered."""

    size: int
    authority: str
    note: bytes
    request: bytes
    reply: bytes


@dataclass(frozen=True, slots=True)
class Generation:
    """Keys that signed a log from some point on.

    All but the first have the entry that announced them, and the checkpoint by which the keys before handed over.
    """

    number: int
    vkeys: tuple[str, ...]
    announced: int | None = None
    size: int | None = None
    note: bytes | None = None

    def has_signed(self, note: bytes) -> bool:
        """Tell whether a checkpoint carries a signature of each of these keys; whether they are right is not looked at."""
        found = {(each.name, each.key_id) for each in parse(note).signatures}
        return all((key.name, key.key_id) in found for key in map(parse_vkey, self.vkeys))


class NewLeaf(NamedTuple):
    """A leaf to be written, and the sealed values (field number, bytes) that lie beside it."""

    log: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody asks for
    id: str
    hash: bytes
    data: bytes
    values: tuple[tuple[int, bytes], ...]

    def as_values(self) -> "list[Value]":
        """Return its values as they will be read back."""
        return [Value(self.index, number, sealed, None) for number, sealed in self.values]


@dataclass(frozen=True, slots=True)
class Value:
    """What an entry commits to: sealed, or erased by the entry with that index."""

    index: int
    field: int
    sealed: bytes | None
    erased_by: int | None
