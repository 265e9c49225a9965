"""From a draft to its leaf. What does not depend on the entry's place is encoded first; its place is put in when it has one.

A leaf's fields in RFC 8785 order are: action actor change id intent log object phase reason request result | src | system |
t | v. So the place (`src.seq`, `src.prev`, `t.recv`, `t.clock`) goes between two byte strings that are ready before. Pure.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import orjson

from audit_contract.canonical import CanonicalError, canonical
from audit_contract.entry import MAX_VALUE, Plain
from audit_contract.leaf import LEAF_VERSION
from audit_contract.tiles import MAX_ENTRY

_ROOM: Final = 512
"""Bytes kept free for the place: two times, the clock, a number and a hash."""


class Place(NamedTuple):
    """Where and when an entry was put: its source's number and previous leaf hash (hex), and the service's clock.

    `clock` is JSON in canonical bytes, `{"error_us": …, "synchronised": …}`.
    """

    seq: int
    prev: str | None
    received: str
    clock: bytes


class Unplaced(NamedTuple):
    """A leaf without its place. `event` is its event time; `zone` its time zone's field, comma before it, or nothing."""

    before: bytes
    source: bytes
    after: bytes
    event: bytes
    zone: bytes

    def leaf(self, place: Place) -> bytes:
        """Return the leaf's canonical bytes at this place."""
        prev = b"" if place.prev is None else b'"prev":"%s",' % place.prev.encode()
        return b'%s,"src":{%s,%s"seq":%d}%s,"t":{"clock":%s,"event":"%s","recv":"%s"%s},"v":%d}' % (
            self.before,
            self.source,
            prev,
            place.seq,
            self.after,
            place.clock,
            self.event,
            place.received.encode(),
            self.zone,
            LEAF_VERSION,
        )


def unplaced(draft: Plain, origin: str, kind: str, source_id: str, commitments: Mapping[str, str]) -> Unplaced:
    """Encode all of a draft's leaf but its place; `commitments` (hex) by field stand for the values.

    Raises ValueError when the leaf would be larger than a log entry can be.
    """
    before = _encode(_fields(draft, origin, commitments))[:-1]
    after = b',"system":' + _encode(draft["system"]) if "system" in draft else b""
    if len(before) + len(after) + len(source_id) + _ROOM > MAX_ENTRY:
        raise ValueError(f"entry: it would be larger than the {MAX_ENTRY} bytes a log entry can have")
    source = b'"id":"%s","kind":"%s"' % (source_id.encode(), kind.encode())
    zone = b',"tz":"%s"' % draft["tz"].encode() if "tz" in draft else b""
    return Unplaced(before, source, after, draft["event"].encode(), zone)


def values(draft: Plain) -> list[tuple[str, bytes]]:
    """Return (field, canonical bytes) of everything that is committed to instead of shown.

    Raises ValueError naming the field when a value has no canonical form or is larger than MAX_VALUE.
    """
    found: list[tuple[str, bytes]] = []
    if "reason" in draft and "text" in draft["reason"]:
        found.append(("reason.text", _value_bytes("reason.text", draft["reason"]["text"])))
    for number, change in enumerate(draft.get("change", ())):
        for side in ("old", "new"):
            if side in change:
                field = f"change.{number}.{side}"
                found.append((field, _value_bytes(field, change[side])))
    return found


def _value_bytes(field: str, value: object) -> bytes:
    try:
        data = canonical(value)
    except ValueError as error:
        raise ValueError(f"{field}: {error}") from error
    if len(data) > MAX_VALUE:
        raise ValueError(f"{field}: a value has at most {MAX_VALUE} bytes, this one {len(data)}; name its hash instead")
    return data


def _encode(value: object) -> bytes:
    """Return what `encode_plain` would, three times as fast: orjson sorts by code point and escapes as RFC 8785 says."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        raise CanonicalError(f"not a JSON value: {error}") from error


def _fields(draft: Plain, origin: str, commitments: Mapping[str, str]) -> Plain:
    fields = draft.copy()
    for elsewhere in ("event", "src", "system", "tz"):
        fields.pop(elsewhere, None)
    fields["log"] = origin
    if "change" in fields:
        fields["change"] = [_change(number, each, commitments) for number, each in enumerate(fields["change"])]
    if "text" in fields.get("reason", ()):
        fields["reason"] = {**fields["reason"], "text": {"c": commitments["reason.text"]}}
    return fields


def _change(number: int, change: Plain, commitments: Mapping[str, str]) -> Plain:
    sides = {side: commitments.get(f"change.{number}.{side}") for side in ("old", "new")}
    return {"path": change["path"], **{side: {"c": found} for side, found in sides.items() if found is not None}}
