"""What a log's copy is made of: the objects' names and contents. Pure.

Under the prefix `<log>/`, every name is written once and never with other content:

- `identity/<year>-<month>.json`: whose log it is, and its value key, sealed by the service's. Written anew each month in which
  something is copied, so that it is never older, and never free to be removed earlier, than the entries it is needed for.
- `tile/<L>/<N>`, `tile/entries/<N>`: full tiles and full entry bundles, as C2SP tlog-tiles names them.
- `values/<N>`: the sealed values beside the 256 entries of that bundle, one JSON object a line; never plaintext.
- `tail/<begin>-<end>` and `tail/<begin>-<end>.values`: entries that no full bundle holds yet, each once. Partial tiles would
  repeat up to 255 entries at every step, and nothing of a locked copy can be tidied away.
- `keys/<number, 4 digits>.json`: a generation of the keys that sign, with the checkpoint by which those before handed over.
- `held/<year>-<month>-<digest>.json`: the service's own keys as Vault sealed them, all there are; written anew when one is added,
  and each month like the identity. Whoever has the copy and Vault needs nothing else to open values and to go on signing.
- `checkpoint/<size, 20 digits>`: the signed note, written last: where it is, all that it covers is there.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

from audit_contract.tiles import WIDTH, Tile
from audit_contract.tiles import name as tile_name
from audit_service.store.held import HeldKey, HeldKind
from audit_service.store.records import Generation, LogRecord, Value

VERSION: Final = 1
CHECKPOINTS: Final = "checkpoint/"
HELD: Final = "held/"
IDENTITIES: Final = "identity/"
KEYS: Final = "keys/"
TAILS: Final = "tail/"
_DIGITS: Final = 20
_CHECKPOINT: Final = re.compile(r"checkpoint/([0-9]{20})")
_TAIL: Final = re.compile(r"tail/([0-9]{20})-([0-9]{20})")


class LayoutError(ValueError):
    """An object of the copy does not hold what its name says."""


@dataclass(frozen=True, slots=True, order=True)
class Tail:
    """The entries `begin` to `end` - 1, all of one bundle that is not full yet."""

    begin: int
    end: int

    @property
    def name(self) -> str:
        """Return the object's name within the log's prefix."""
        return f"{TAILS}{self.begin:0{_DIGITS}}-{self.end:0{_DIGITS}}"


def checkpoint_name(size: int) -> str:
    """Return the name of the checkpoint of `size` entries."""
    return f"{CHECKPOINTS}{size:0{_DIGITS}}"


def checkpoint_size(name: str) -> int | None:
    """Return the size a checkpoint's name says; None for another object's name."""
    match = _CHECKPOINT.fullmatch(name)
    return None if match is None else int(match[1])


def read_tail(name: str) -> Tail | None:
    """Return the tail an object's name says; None for another object's name."""
    match = _TAIL.fullmatch(name)
    return None if match is None else Tail(int(match[1]), int(match[2]))


def entries_name(bundle: int) -> str:
    """Return the name of a full entry bundle."""
    return f"tile/entries/{tile_name(bundle)}"


def values_name(bundle: int) -> str:
    """Return the name of the values beside a full entry bundle."""
    return f"values/{tile_name(bundle)}"


def values_beside(tail: Tail) -> str:
    """Return the name of the values beside a tail's entries."""
    return f"{tail.name}.values"


def tiles_after(bundle: int) -> list[Tile]:
    """Return the tiles that are full once this bundle is: its own, and those above that it is the last of."""
    tiles = []
    level, count = 0, bundle + 1
    while True:
        tiles.append(Tile(level, count - 1, WIDTH))
        if count % WIDTH:
            return tiles
        level, count = level + 1, count // WIDTH


def chain(tails: Iterable[Tail], begin: int, end: int) -> list[Tail] | None:
    """Return the tails that lead from `begin` to `end` without a gap; None when there are none that do.

    A copy that was interrupted may have left a shorter tail beside the longer one that its successor wrote.
    """
    found = sorted(tails, key=lambda tail: (tail.begin, -tail.end))
    chosen: list[Tail] = []
    at = begin
    while at < end:
        following = next((tail for tail in found if tail.begin == at and at < tail.end <= end), None)
        if following is None:
            return None
        chosen.append(following)
        at = following.end
    return chosen


def identity_name(now: datetime) -> str:
    """Return the name of the identity as written in this month."""
    return f"{IDENTITIES}{now:%Y-%m}.json"


def encode_identity(log: LogRecord) -> bytes:
    """Return a log's identity as the copy keeps it."""
    facts = {
        "version": VERSION,
        "log": log.name,
        "origin": log.origin,
        "kind": log.kind,
        "tenant": log.tenant,
        "namespace": log.namespace,
        "region": log.region,
        "retentionDays": log.retention_days,
        "sealedKey": base64.b64encode(log.sealed_key).decode(),
    }
    return _line(facts)


def decode_identity(data: bytes) -> LogRecord:
    """Read an identity; its number is 0, as that is a database's own. Raises LayoutError."""
    try:
        facts = json.loads(data)
        if facts["version"] != VERSION:
            raise LayoutError(f"the copy's identity has version {facts['version']}, this program knows {VERSION}")
        return LogRecord(
            number=0,
            name=str(facts["log"]),
            origin=str(facts["origin"]),
            kind=str(facts["kind"]),
            tenant=str(facts["tenant"]),
            namespace=str(facts["namespace"]),
            region=str(facts["region"]),
            retention_days=int(facts["retentionDays"]),
            sealed_key=base64.b64decode(facts["sealedKey"], validate=True),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise LayoutError(f"not an identity of a log: {type(error).__name__}: {error}") from error


def held_name(now: datetime, data: bytes) -> str:
    """Return the name of the held keys as written in this month."""
    return f"{HELD}{now:%Y-%m}-{sha256(data).hexdigest()[:16]}.json"


def encode_held(keys: Iterable[HeldKey]) -> bytes:
    """Return the held keys as the copy keeps them: ciphertext."""
    return _line(
        {"keys": [{"kind": key.kind.value, "number": key.number, "sealed": key.sealed} for key in sorted(keys)]}
    )


def decode_held(data: bytes) -> list[HeldKey]:
    """Read held keys. Raises LayoutError."""
    try:
        rows = json.loads(data)["keys"]
        return [HeldKey(HeldKind(row["kind"]), int(row["number"]), str(row["sealed"])) for row in rows]
    except (KeyError, TypeError, ValueError) as error:
        raise LayoutError(f"not keys that Vault sealed: {type(error).__name__}: {error}") from error


def generation_name(number: int) -> str:
    """Return the name of a generation of keys."""
    return f"{KEYS}{number:04}.json"


def encode_generation(each: Generation) -> bytes:
    """Return a generation of keys as the copy keeps it."""
    note = None if each.note is None else base64.b64encode(each.note).decode()
    facts = {
        "number": each.number,
        "vkeys": list(each.vkeys),
        "announced": each.announced,
        "size": each.size,
        "note": note,
    }
    return _line(facts)


def decode_generation(data: bytes) -> Generation:
    """Read a generation of keys. Raises LayoutError."""
    try:
        facts = json.loads(data)
        vkeys = tuple(str(vkey) for vkey in facts["vkeys"])
        if facts["note"] is None:
            return Generation(int(facts["number"]), vkeys)
        note = base64.b64decode(facts["note"], validate=True)
        return Generation(int(facts["number"]), vkeys, int(facts["announced"]), int(facts["size"]), note)
    except (KeyError, TypeError, ValueError) as error:
        raise LayoutError(f"not a generation of a log's keys: {type(error).__name__}: {error}") from error


def encode_values(values: Sequence[Value]) -> bytes:
    """Return values as the copy keeps them: sealed as in the database, or by which entry they were erased."""
    return b"".join(_line(_row(value)) for value in values)


def _row(value: Value) -> dict[str, Any]:
    place = {"index": value.index, "field": value.field}
    if value.sealed is None:
        return {**place, "erased": value.erased_by}
    return {**place, "sealed": base64.b64encode(value.sealed).decode()}


def decode_values(data: bytes) -> list[Value]:
    """Read values. Raises LayoutError."""
    try:
        return [_value(json.loads(line)) for line in data.splitlines()]
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise LayoutError(f"not values of a log: {type(error).__name__}: {error}") from error


def _value(row: dict[str, Any]) -> Value:
    if "erased" in row:
        return Value(int(row["index"]), int(row["field"]), None, int(row["erased"]))
    return Value(int(row["index"]), int(row["field"]), base64.b64decode(row["sealed"], validate=True), None)


def _line(facts: dict[str, Any]) -> bytes:
    return json.dumps(facts, sort_keys=True, separators=(",", ":")).encode() + b"\n"
