"""A review of a record's audit trail: what it covers, exactly, and what counts as a change since (Annex 11 (2011) s.9, AT-53).

The trail of a version is its document's: the description, the folder, the holds and the versions before it belong to it.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import rfc8785

from tenant_app.domain.actions import Action

# A code of the closed list of meanings; no step of the workflow has it, so that a trail review never moves a version.
MEANING = "trail-review"
READS = frozenset(
    action.value
    for action in (
        Action.DOCUMENT_READ,
        Action.DOCUMENT_EXPORTED,
        Action.DOCUMENT_PRINTED,
        Action.DOCUMENT_LISTED,
        Action.TRAIL_VIEWED,
    )
)
Line = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    """The entries that a review covers: all of the document's from `first` to `last`, which are numbers in the tenant's chain.

    `hash` is the chain's at `last`, in hex, and so of everything before it; `sha256` is of the lines, as RFC 8785 JSON.
    """

    first: int
    last: int
    entries: int
    hash: str
    sha256: str

    @classmethod
    def of(cls, lines: Sequence[Line]) -> Self:
        """Return what a review of these lines covers: an entry each (`seq`, `chainHash`, `entry`), oldest first, at least one."""
        return cls(
            first=lines[0]["seq"],
            last=lines[-1]["seq"],
            entries=len(lines),
            hash=lines[-1]["chainHash"],
            sha256=hashlib.sha256(canonical(lines)).hexdigest(),
        )

    def as_json(self) -> dict[str, Any]:
        """Return what the signed payload says."""
        return {
            "first": self.first,
            "last": self.last,
            "entries": self.entries,
            "hash": self.hash,
            "sha256": self.sha256,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Since:
    """What came after the last entry that a review covers: how many entries, and how many of them are changes."""

    entries: int
    changes: int

    @classmethod
    def of(cls, lines: Sequence[Line], last: int) -> Self:
        """Return what came after entry `last`."""
        after = [line["entry"] for line in lines if line["seq"] > last]
        return cls(entries=len(after), changes=sum(map(is_change, after)))

    def as_json(self) -> dict[str, int]:
        """Return the counts as JSON values."""
        return {"entries": self.entries, "changes": self.changes}


def canonical(lines: Sequence[Line]) -> bytes:
    """Return the RFC 8785 bytes that `Covered.sha256` is of."""
    return rfc8785.dumps(list(lines))


def coverages(lines: Sequence[Line]) -> dict[int, Covered]:
    """Return, by each entry's number, what a review up to it covers: `Covered.of` of every beginning, in one go."""
    found: dict[int, Covered] = {}
    digest = hashlib.sha256(b"[")
    for count, line in enumerate(lines, 1):
        digest.update((b"," if found else b"") + rfc8785.dumps(line))
        whole = digest.copy()
        whole.update(b"]")
        found[line["seq"]] = Covered(
            first=lines[0]["seq"], last=line["seq"], entries=count, hash=line["chainHash"], sha256=whole.hexdigest()
        )
    return found


def is_change(entry: dict[str, Any]) -> bool:
    """Say whether an entry's body tells of a change: no read, nothing that was refused, and no other review of the trail."""
    if entry["action"] in READS or entry["result"] == "denied":
        return False
    return {"path": "/meaning", "new": MEANING} not in entry["change"]


def seen(lines: Sequence[Line], sub: str) -> bool:
    """Say whether this person opened the trail after the last change in it: nobody signs for what they were not shown."""
    views = [line["seq"] for line in lines if _is_view(line["entry"], sub)]
    changes = [line["seq"] for line in lines if is_change(line["entry"])]
    return bool(views) and views[-1] > max(changes, default=-1)


def _is_view(entry: dict[str, Any], sub: str) -> bool:
    return bool(entry["action"] == Action.TRAIL_VIEWED and entry["actor"]["sub"] == sub)
