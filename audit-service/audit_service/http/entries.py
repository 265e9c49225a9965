"""`GET …/entries` and `GET …/export`: reading a log, a page or the whole, with the values beside the entries."""

import json
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from audit_contract import bundle
from audit_contract.canonical import canonical, read_json
from audit_contract.leaf import field_name, read_leaf
from audit_contract.tiles import WIDTH, bundle_entries, tiles_of
from audit_service.http.errors import ApiError
from audit_service.http.logs import readable_log
from audit_service.http.proofs import whole
from audit_service.http.state import State
from audit_service.log.sealing import ValueSealer
from audit_service.store.errors import DamagedError
from audit_service.store.records import LogRecord, Signed, Stored, Value

MAX_PAGE: Final = 256
_FILTERS: Final = {
    "actor": "actor",
    "object": "object_id",
    "type": "object_type",
    "action": "action",
    "since": "since",
    "until": "until",
}


async def list_entries(request: Request) -> Response:
    """Return a page of signed entries, each with its index, so that it can be proven.

    Query: from (index), limit (1 to 256), and actor, object, type, action, since, until, which all must fit.
    """
    state: State = request.app.state.service
    log = await readable_log(request)
    begin, limit = whole(request, "from", 0), whole(request, "limit", 100)
    if not 1 <= limit <= MAX_PAGE:
        raise ApiError(400, f"limit: 1 to {MAX_PAGE}")
    unknown = request.query_params.keys() - {"from", "limit", *_FILTERS}
    if unknown:
        raise ApiError(400, f"{min(unknown)}: not something to ask for here")
    filters = {_FILTERS[key]: value for key, value in request.query_params.items() if key in _FILTERS}
    _check_times(filters)
    size = (await state.reading.checkpoint(log.number)).size
    if filters:
        indices = await state.reading.find(log.number, begin, limit, filters, size)
    else:
        indices = list(range(begin, min(begin + limit, size)))
    stored = await state.reading.entries(log.number, indices)
    rows = [_row(each, await revealed(state, log, each)) for each in stored]
    following = indices[-1] + 1 if len(indices) == limit and indices[-1] + 1 < size else None
    return JSONResponse({"size": size, "entries": rows, "next": following})


def _check_times(filters: dict[str, str]) -> None:
    for key in ("since", "until"):
        try:
            at = datetime.fromisoformat(filters.get(key, "2000-01-01T00:00:00Z"))
        except ValueError as error:
            raise ApiError(400, f"{key}: not an ISO 8601 time") from error
        if at.tzinfo is None:
            raise ApiError(400, f"{key}: a time zone is needed")


async def revealed(state: State, log: LogRecord, stored: Stored) -> dict[str, Any]:
    """Return an entry's values by field, each with its salt, or with who erased it."""
    values = await state.reading.values(log.number, stored.index, stored.index + 1)
    if not values:
        return {}
    entry = read_leaf(stored.data).id
    rows = [_value_line(state.books.sealer(log), entry, value) for value in values]
    return {row.pop("field"): {key: item for key, item in row.items() if key != "index"} for row in rows}


def _row(stored: Stored, values: dict[str, Any]) -> dict[str, Any]:
    return {
        "index": stored.index,
        "leafHash": stored.hash.hex(),
        "entry": json.loads(stored.data),
        "values": values,
    }


def _value_line(sealer: ValueSealer, entry: str, value: Value) -> dict[str, Any]:
    field = field_name(value.field)
    if value.sealed is None:
        return bundle.erased_line(value.index, field, value.erased_by or 0)
    salt, data = sealer.open(entry, value.field, value.sealed)
    return bundle.value_line(value.index, field, salt, read_json(data))


async def export(request: Request) -> Response:
    """Return the whole signed log as a bundle, written as it is read."""
    state: State = request.app.state.service
    log = await readable_log(request)
    signed = await state.reading.checkpoint(log.number)
    headers = {"Content-Disposition": f'attachment; filename="{log.name}-{signed.size}.tar"'}
    return StreamingResponse(bundle_parts(state, log, signed), media_type="application/x-tar", headers=headers)


async def bundle_parts(state: State, log: LogRecord, signed: Signed) -> AsyncIterator[bytes]:
    """Yield the bundle's bytes, never holding more than 256 entries."""
    keys = "".join(f"{vkey}\n" for vkey in state.books.keyring.vkeys(log.origin)).encode()
    yield bundle.write_member("manifest.json", bundle.manifest(log.origin, signed.size))
    yield bundle.write_member("checkpoint", signed.note)
    yield bundle.write_member("keys", keys)
    for tile in tiles_of(signed.size):
        data = await state.reading.tile(log.number, tile)
        if data is None:
            raise DamagedError(f"the store has not {tile.path}")
        yield bundle.write_member(tile.path, data)
    starts = range(0, signed.size, WIDTH)
    for path, start in zip(bundle.entry_members(signed.size), starts, strict=True):
        stored = await state.reading.leaves(log.number, start, min(start + WIDTH, signed.size))
        yield bundle.write_member(path, bundle_entries(each.data for each in stored))
    for path, start in zip(bundle.value_members(signed.size), starts, strict=True):
        end = min(start + WIDTH, signed.size)
        values = await state.reading.values(log.number, start, end)
        stored = await state.reading.entries(log.number, sorted({value.index for value in values}))
        yield bundle.write_member(path, _value_file(state.books.sealer(log), stored, values))
    yield bundle.write_end()


def _value_file(sealer: ValueSealer, stored: Sequence[Stored], values: Sequence[Value]) -> bytes:
    ids = {each.index: read_leaf(each.data).id for each in stored}
    return b"".join(canonical(_value_line(sealer, ids[value.index], value)) + b"\n" for value in values)
