"""The stamp: what the admission webhook leaves on an object of our kinds, and how to tell that it fits. Pure.

`v1:<entry id>:<generation>:<HMAC-SHA256>` in the annotation `cloister.dev/admission`. The code covers kind, name, generation,
entry and the digest of the spec, under a key that derives from the installation's root seed: who writes past the webhook can
neither make a stamp for another spec nor move one to another object or generation.
"""

import hashlib
import hmac
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from audit_contract.canonical import canonical
from tenant_operator.api.names import ANNOTATION_ADMISSION
from tenant_operator.stack.derive import Deriver
from tenant_operator.stack.part import Manifest

_VERSION: Final = "v1"
_FIELDS: Final = 4


@dataclass(frozen=True)
class Stamp:
    """One stamp as written."""

    entry: str
    generation: int
    code: str

    def __str__(self) -> str:
        return f"{_VERSION}:{self.entry}:{self.generation}:{self.code}"


def key_of(derive: Deriver) -> bytes:
    """Return the installation's stamping key."""
    return derive.bytes_for("admission/stamp")


def time_of(entry: str) -> datetime:
    """Return when an entry's id, a UUIDv7, was made. Raises ValueError when it is none."""
    return datetime.fromtimestamp((uuid.UUID(entry).int >> 80) / 1000, UTC)


def spec_digest(item: Mapping[str, Any]) -> str:
    """Return the SHA-256 (hex) of an object's spec in RFC 8785 form. Raises ValueError when it has no such form."""
    return hashlib.sha256(canonical(item.get("spec") or {})).hexdigest()


def make(key: bytes, item: Manifest, entry: str, generation: int) -> Stamp:
    """Return the stamp of an object that is about to have this generation."""
    return Stamp(entry, generation, _code(key, item, entry, generation, _names(item)[0]))


def read(item: Manifest | None) -> Stamp | None:
    """Return the stamp an object carries; None when it has none, or none of this form."""
    text = (((item or {}).get("metadata") or {}).get("annotations") or {}).get(ANNOTATION_ADMISSION, "")
    parts = str(text).split(":")
    if len(parts) != _FIELDS or parts[0] != _VERSION or not parts[2].isdecimal():
        return None
    return Stamp(parts[1], int(parts[2]), parts[3])


def genuine(key: bytes, item: Manifest) -> Stamp | None:
    """Return the stamp when it was made by the webhook for this object with this spec; of which generation is not asked."""
    found = read(item)
    if found is None:
        return None
    codes = (_code(key, item, found.entry, found.generation, name) for name in _names(item))
    return found if any(hmac.compare_digest(code, found.code) for code in codes) else None


def fault(key: bytes, item: Manifest) -> str:
    """Return why an object is not as it was admitted, in words; nothing when it is."""
    if read(item) is None:
        return "it carries no stamp of the admission webhook"
    stamp = genuine(key, item)
    if stamp is None:
        return "its stamp was made for another specification, or not by the webhook"
    generation = item["metadata"].get("generation")
    # A deletion that waits for somebody's finalizer counts the generation up once, with the spec as it was.
    deleting = bool(item["metadata"].get("deletionTimestamp"))
    if generation != stamp.generation and not (deleting and generation == stamp.generation + 1):
        return f"its stamp is of generation {stamp.generation}, the object is at {generation}"
    return ""


def _names(item: Manifest) -> tuple[str, ...]:
    """Return what an object is called, and before that what its name is made from: the webhook may see only the latter."""
    meta = item.get("metadata") or {}
    return tuple(name for name in (meta.get("name"), meta.get("generateName")) if name) or ("",)


def _code(key: bytes, item: Manifest, entry: str, generation: int, name: str) -> str:
    body = {
        "entry": entry,
        "generation": generation,
        "kind": item.get("kind"),
        "name": name,
        "spec": spec_digest(item),
    }
    return hmac.new(key, canonical(body), hashlib.sha256).hexdigest()
