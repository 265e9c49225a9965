"""Search rows: of entries that are integrated together, which have which value, and when each happened. Pure.

Found by lists and not by rows, because an index entry for each value of each entry costs more than the entry itself.
"""

from collections import defaultdict
from collections.abc import Sequence
from enum import IntEnum
from functools import lru_cache
from hashlib import sha256
from typing import Final, NamedTuple

import orjson

from audit_service.store.records import Stored

SPAN: Final = 2048
"""Entries a span has at most."""
_DIGEST: Final = 16
_NUMBERS: Final = tuple(map(str, range(SPAN)))


class Facet(IntEnum):
    """What can be asked for, as `posting.facet` has it. A question is answered along the first of them that it names."""

    OBJECT = 2
    ACTOR = 1
    ACTION = 4
    TYPE = 3


class SearchRows(NamedTuple):
    """One row of `span` without the log (start, earliest, latest, events), and its rows of `posting` without log and start.

    Arrays and times are PostgreSQL's text for them.
    """

    span: tuple[int, str, str, str]
    postings: list[tuple[int, bytes, str]]


@lru_cache(maxsize=4096)
def digest(value: str) -> bytes:
    """Return the name that a value has in postings."""
    return sha256(value.encode()).digest()[:_DIGEST]


def search_rows(leaves: Sequence[Stored]) -> SearchRows:
    """Return the search rows of 1 to SPAN consecutive entries.

    Their hashes held, so their bytes are what was written, which was canonical: no second look.
    """
    actors: dict[str, list[str]] = defaultdict(list)
    objects: dict[str, list[str]] = defaultdict(list)
    types: dict[str, list[str]] = defaultdict(list)
    actions: dict[str, list[str]] = defaultdict(list)
    events = []
    for number, leaf in zip(_NUMBERS, leaves, strict=False):
        data = orjson.loads(leaf.data)
        target = data["object"]
        actors[data["actor"]["sub"]].append(number)
        objects[target["id"]].append(number)
        types[target["type"]].append(number)
        actions[data["action"]].append(number)
        events.append(data["t"]["event"])
    lists = ((Facet.ACTOR, actors), (Facet.OBJECT, objects), (Facet.TYPE, types), (Facet.ACTION, actions))
    postings = [
        (int(facet), digest(value), _array(numbers)) for facet, found in lists for value, numbers in found.items()
    ]
    # Times of one form sort as texts do.
    return SearchRows((leaves[0].index, min(events), max(events), _array(events)), postings)


def _array(items: Sequence[str]) -> str:
    return "{" + ",".join(items) + "}"
