"""What `GET …/entries` may be asked for: a place to begin, a direction, and what entries must have in common.

Search only says where to look: each row has its index and can be proven. A walk through pages is stable while the log grows,
for entries are only ever added behind: upwards `next` goes on, downwards new ones are never met, and `size` of the first
answer, given back, ends an upward walk at what there was then.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from starlette.datastructures import QueryParams

from audit_contract.entry import timestamp
from audit_contract.leaf import read_leaf
from audit_service.http.errors import ApiError
from audit_service.store.reading import ReadingStore

MAX_PAGE: Final = 256
_PAGE: Final = 100
_WHOLE: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_RFC3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_EQUAL: Final = {"actor": "actor", "object": "object_id", "type": "object_type", "action": "action"}
PARAMETERS: Final = frozenset({*_EQUAL, "from", "to", "since", "until", "time", "start", "limit", "order", "size"})
"""Every name that `GET …/entries` knows."""


@dataclass(frozen=True, slots=True)
class Search:
    """One question. `filters` are those of `ReadingStore.find`; `received` is [begin, end) of receive times, "" for open."""

    filters: dict[str, str]
    received: tuple[str, str]
    start: int | None
    limit: int
    newest: bool
    size: int | None


@dataclass(frozen=True, slots=True)
class Found:
    """A page of indices, where the next one begins (None at the end), and the size of the tree that was searched."""

    indices: list[int]
    next: int | None
    size: int


def parse(query: QueryParams) -> Search:
    """Read a question. Raises ApiError 400 that names what is wrong with which parameter."""
    unknown = query.keys() - PARAMETERS
    if unknown:
        raise ApiError(400, f"{min(unknown)}: not something to ask for here")
    begin = query.get("from")
    start = query.get("start")
    named = "start"
    if begin is not None and "T" not in begin.upper() and " " not in begin:
        if start is not None:
            raise ApiError(400, "from: with `start` it is a time, as RFC 3339 has it")
        begin, start, named = None, begin, "from"
    limit = _whole("limit", query.get("limit", str(_PAGE)))
    if not 1 <= limit <= MAX_PAGE:
        raise ApiError(400, f"limit: 1 to {MAX_PAGE}")
    order, clock = query.get("order", "oldest"), query.get("time", "event")
    if order not in {"oldest", "newest"}:
        raise ApiError(400, "order: oldest or newest first")
    if clock not in {"event", "received"}:
        raise ApiError(400, "time: event (when it happened, says the source) or received (when it came in)")
    filters = {_EQUAL[key]: query[key] for key in _EQUAL if key in query}
    for key in _EQUAL:
        if "\0" in query.get(key, ""):
            raise ApiError(400, f"{key}: no text here has a NUL character")
    since = _time("from" if begin is not None else "since", begin if begin is not None else query.get("since"))
    until = _time("to" if "to" in query else "until", query.get("to", query.get("until")))
    if clock == "event":
        filters |= {key: value for key, value in (("since", since), ("until", until)) if value}
    received = (since, until) if clock == "received" else ("", "")
    size = None if "size" not in query else _whole("size", query["size"])
    return Search(filters, received, None if start is None else _whole(named, start), limit, order == "newest", size)


def _whole(name: str, text: str) -> int:
    if not _WHOLE.fullmatch(text):
        other = ", or an RFC 3339 time" if name == "from" else ""
        raise ApiError(400, f"{name}: a whole number is needed{other}")
    return int(text)


def _time(name: str, text: str | None) -> str:
    """Return an RFC 3339 time as the log writes times, "" for None. A "+" that came unescaped is a space here."""
    if text is None:
        return ""
    if not _RFC3339.fullmatch(text):
        raise ApiError(400, f"{name}: an RFC 3339 time is needed, such as 2026-11-23T12:00:00Z (escape a + as %2B)")
    try:
        return timestamp(datetime.fromisoformat(text.upper()).astimezone(UTC))
    except (ValueError, OverflowError) as error:
        raise ApiError(400, f"{name}: there is no such time: {error}") from error


async def find(reading: ReadingStore, log: int, wanted: Search, signed: int) -> Found:
    """Return the page that is asked for. Raises ApiError 404 when `size` is more than is signed."""
    size = signed if wanted.size is None else wanted.size
    if size > signed:
        raise ApiError(404, f"size: the signed tree has {signed} leaves, not {size}")
    since, until = wanted.received
    low = await first_received(reading, log, since, size) if since else 0
    high = await first_received(reading, log, until, size) if until else size
    if wanted.start is not None:
        low, high = (low, min(high, wanted.start + 1)) if wanted.newest else (max(low, min(wanted.start, high)), high)
    if wanted.filters:
        # One more than fits tells whether there is a next page without counting.
        found = await reading.find(log, low, wanted.limit + 1, wanted.filters, high, newest=wanted.newest)
    else:
        step = range(high - 1, low - 1, -1) if wanted.newest else range(low, high)
        found = list(step[: wanted.limit + 1])
    following = found[wanted.limit] if len(found) > wanted.limit else None
    return Found(found[: wanted.limit], following, size)


async def first_received(reading: ReadingStore, log: int, at: str, size: int) -> int:
    """Return the index of the first entry received at or after this time: receive times of a log never go back."""
    low, high = 0, size
    while low < high:
        middle = (low + high) // 2
        stored = (await reading.leaves(log, middle, middle + 1))[0]
        if read_leaf(stored.data).received < at:
            low = middle + 1
        else:
            high = middle
    return low
