"""The leaf: one audit entry as the log keeps it, in RFC 8785 bytes. Read here without pydantic, for the offline verifier.

```json
{"v": 1, "id": "<uuid7>", "log": "<origin>",
 "src": {"kind": "app", "id": "app/<pod uid>", "seq": 417, "prev": "<leaf hash of that source's seq 416, hex>"},
 "t": {"event": "2026-11-23T12:41:54.123456Z", "tz": "Europe/Paris", "recv": "…", "clock": {"synchronised": true, "error_us": 9}},
 "actor": {…}, "action": "app:document:create", "phase": "single", "object": {…},
 "change": [{"path": "/title", "old": {"c": "<hex>"}, "new": {"c": "<hex>"}}],
 "reason": {"code": "…", "text": {"c": "<hex>"}}, "result": "ok", "request": "…", "system": {…}}
```
Fields that are absent are left out. `prev` is absent in a source's first entry. Source: research/part11.md section 6.3.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from audit_contract.canonical import CanonicalError, encode_plain, read_canonical
from audit_contract.tiles import MAX_ENTRY

LEAF_VERSION: Final = 1
REQUIRED: Final = frozenset({"v", "id", "log", "src", "t", "actor", "action", "phase", "object"})
OPTIONAL: Final = frozenset({"intent", "change", "reason", "result", "request", "system"})


class LeafError(ValueError):
    """The bytes are not a leaf of version 1 in canonical form."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A leaf that was read: its JSON object, and the few facts every reader asks for."""

    data: dict[str, Any]

    @property
    def id(self) -> str:
        """Return the entry's id."""
        return str(self.data["id"])

    @property
    def log(self) -> str:
        """Return the origin of the log it was written for."""
        return str(self.data["log"])

    @property
    def source(self) -> tuple[str, str]:
        """Return the source's kind and id."""
        return self.data["src"]["kind"], self.data["src"]["id"]

    @property
    def seq(self) -> int:
        """Return the entry's number among its source's."""
        return int(self.data["src"]["seq"])

    @property
    def prev(self) -> str | None:
        """Return the leaf hash, in hex, of its source's entry before, None for the first."""
        found: str | None = self.data["src"].get("prev")
        return found

    @property
    def received(self) -> str:
        """Return when the service took it in; such times of one log never go back."""
        return str(self.data["t"]["recv"])

    @property
    def clock(self) -> bytes:
        """Return what the service's kernel said of its clock, as canonical bytes."""
        return encode_plain(self.data["t"]["clock"])

    @property
    def action(self) -> str:
        """Return what was done."""
        return str(self.data["action"])

    def commitments(self) -> Iterator[tuple[str, str]]:
        """Yield (field, commitment in hex), in the order of their fields' numbers."""
        text = self.data.get("reason", {}).get("text")
        if text is not None:
            yield "reason.text", text["c"]
        for number, change in enumerate(self.data.get("change", ())):
            for side in ("old", "new"):
                if side in change:
                    yield f"change.{number}.{side}", change[side]["c"]


def field_number(field: str) -> int:
    """Return a committed field's number within its entry: 0 for the reason's text, 2n+1 and 2n+2 for change n."""
    if field == "reason.text":
        return 0
    _, number, side = field.split(".")
    return 2 * int(number) + (1 if side == "old" else 2)


def field_name(number: int) -> str:
    """Return the field with this number."""
    if number == 0:
        return "reason.text"
    change, side = divmod(number - 1, 2)
    return f"change.{change}.{('old', 'new')[side]}"


def read_leaf(data: bytes) -> Leaf:
    """Read a leaf's bytes. Raises LeafError when they are not canonical, too long, or lack or add a field."""
    if len(data) > MAX_ENTRY:
        raise LeafError(f"a leaf has at most {MAX_ENTRY} bytes, this one has {len(data)}")
    try:
        value = read_canonical(data)
    except CanonicalError as error:
        raise LeafError(str(error)) from error
    if not isinstance(value, dict) or not value.keys() >= REQUIRED or not value.keys() <= REQUIRED | OPTIONAL:
        raise LeafError("a leaf's fields are those of version 1")
    if value["v"] != LEAF_VERSION or isinstance(value["v"], bool):
        raise LeafError(f"a leaf of version {value['v']!r}; this reader knows {LEAF_VERSION}")
    leaf = Leaf(value)
    try:
        _check_shape(leaf)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise LeafError(f"a leaf's field has another shape than version 1 says: {error}") from error
    return leaf


def _check_shape(leaf: Leaf) -> None:
    """Touch every field a verifier relies on, so that what is read later is there and of its type."""
    texts = [leaf.data["id"], leaf.data["log"], *leaf.source, leaf.data["t"]["event"], leaf.data["t"]["recv"]]
    texts += [leaf.data["action"], leaf.data["phase"], leaf.data["actor"]["sub"], leaf.data["object"]["type"]]
    texts += [leaf.data["object"]["id"]]
    texts += [value for _, value in leaf.commitments()]
    if leaf.prev is not None:
        texts.append(leaf.prev)
    seq = leaf.data["src"]["seq"]
    if not all(isinstance(text, str) for text in texts) or type(seq) is not int or seq < 0:
        raise TypeError("text and numbers must be where version 1 has them")
    if leaf.data["t"]["clock"].keys() != {"error_us", "synchronised"}:
        raise ValueError("t.clock")
