"""The pages of one log: its entries, an object's history, one entry with its proof."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

from starlette.datastructures import QueryParams
from starlette.responses import Response

from audit_contract.leaf import read_leaf
from audit_service.http import search
from audit_service.http.errors import ApiError
from audit_service.pages.entry_view import relations, views
from audit_service.pages.proof_view import explain
from audit_service.pages.render import page
from audit_service.pages.visit import Visit
from audit_service.store.records import Signed, Stored

_PAGE: Final = "50"
_FIELDS: Final = ("actor", "type", "object", "action", "from", "to", "time")


async def show_log(visit: Visit) -> Response:
    """Show a log's signed entries, newest first, those that fit the filters."""
    asked = {key: value.strip() for key, value in visit.request.query_params.items() if value.strip()}
    filters = {key: asked.get(key, "") for key in _FIELDS}
    signed = await visit.state.reading.checkpoint(visit.log.number)
    facts: dict[str, Any] = {"log": visit.log, "size": signed.size, "root": signed.root.hex(), "filters": filters}
    try:
        wanted = search.parse(QueryParams({**_times(asked), "order": "newest", "limit": _PAGE}))
        found = await search.find(visit.state.reading, visit.log.number, wanted, signed.size)
    except ApiError as error:
        return page("log.html", visit.session, status=400, error=str(error), entries=[], older="", newest="", **facts)
    entries = await views(visit.state, visit.log, found.indices)
    kept = {key: value for key, value in filters.items() if value}
    older = "" if found.next is None else _link(visit, {**kept, "start": str(found.next)})
    newest = _link(visit, kept) if "start" in asked else ""
    return page("log.html", visit.session, error="", entries=entries, older=older, newest=newest, **facts)


def _times(asked: Mapping[str, str]) -> dict[str, str]:
    """Return the query with times as a browser's date field gives them, which are UTC here, as RFC 3339."""
    found = {key: value for key, value in asked.items() if key not in {"from", "to"}}
    for key in ("from", "to"):
        if key in asked:
            try:
                found[key] = f"{datetime.fromisoformat(asked[key]).replace(tzinfo=None).isoformat()}Z"
            except ValueError as error:
                raise ApiError(400, f"{key}: not a date and a time") from error
    return found


def _link(visit: Visit, query: Mapping[str, str]) -> str:
    return f"/inspect/{visit.log.name}" + (f"?{urlencode(query)}" if query else "")


async def show_history(visit: Visit) -> Response:
    """Show what happened to one object, from the first entry on, old and new values side by side."""
    asked = visit.request.query_params
    kind, name = asked.get("type", ""), asked.get("id", "")
    signed = await visit.state.reading.checkpoint(visit.log.number)
    query = {"type": kind, "object": name, "limit": _PAGE, "start": asked.get("start", "0")}
    wanted = search.parse(QueryParams(query))
    found = await search.find(visit.state.reading, visit.log.number, wanted, signed.size)
    entries = await views(visit.state, visit.log, found.indices)
    following = ""
    if found.next is not None:
        following = f"/inspect/{visit.log.name}/history?" + urlencode({"type": kind, "id": name, "start": found.next})
    return page(
        "history.html", visit.session, log=visit.log, kind=kind, name=name, entries=entries, following=following
    )


async def show_entry(visit: Visit) -> Response:
    """Show one entry, and the way from its bytes to the signatures."""
    stored, signed = await entry_of(visit)
    leaf = read_leaf(stored.data)
    intent, outcomes = await relations(visit.state, visit.log, leaf, stored.index, signed.size)
    return page(
        "entry.html",
        visit.session,
        log=visit.log,
        entry=(await views(visit.state, visit.log, [stored.index]))[0],
        bytes=len(stored.data),
        intent=intent,
        outcomes=outcomes,
        proof=await explain(visit.state, visit.log, stored, signed),
        last=signed.size - 1,
    )


async def entry_of(visit: Visit) -> tuple[Stored, Signed]:
    """Return the entry in the path and the checkpoint that covers it. Raises ApiError 404."""
    signed = await visit.state.reading.checkpoint(visit.log.number)
    text = visit.request.path_params["index"]
    index = int(text) if text.isascii() and text.isdigit() and len(text) < len(str(1 << 63)) else signed.size
    if index >= signed.size:
        raise ApiError(404, f"the signed log has no entry {text}")
    return (await visit.state.reading.entries(visit.log.number, [index]))[0], signed
