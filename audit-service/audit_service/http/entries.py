"""`GET …/entries` and `GET …/export`: reading a log, a page or the whole, with the values beside the entries."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from audit_contract import bundle
from audit_contract.canonical import canonical, read_json
from audit_contract.checkpoint import from_text
from audit_contract.keys import parse_vkey
from audit_contract.leaf import field_name, read_leaf
from audit_contract.note import Note, parse
from audit_contract.policy import parse_policy
from audit_contract.tiles import WIDTH, bundle_entries, tiles_of
from audit_service.http import search
from audit_service.http.logs import read_log
from audit_service.http.state import State
from audit_service.log.sealing import ValueSealer
from audit_service.store.errors import DamagedError
from audit_service.store.records import LogRecord, Signed, Stored, Value

_WAITS: Final = 30
_STAMPS: Final = 24
_WAIT_SECONDS: Final = 0.1


async def list_entries(request: Request) -> Response:
    """Return a page of signed entries, each with its index, so that it can be proven. What to ask: `http.search`."""
    state: State = request.app.state.service
    log = await read_log(request, "entries")
    wanted = search.parse(request.query_params)
    found = await search.find(state.reading, log.number, wanted, (await state.reading.checkpoint(log.number)).size)
    stored = {each.index: each for each in await state.reading.entries(log.number, found.indices)}
    rows = [_row(stored[index], await revealed(state, log, stored[index])) for index in found.indices]
    return JSONResponse(
        {"size": found.size, "entries": rows, "next": found.next}, headers={"Cache-Control": "no-store"}
    )


async def revealed(state: State, log: LogRecord, stored: Stored) -> dict[str, Any]:
    """Return an entry's values by field: `{"salt", "value"}`, or `{"erased": index of the entry that says so}`."""
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
    log = await read_log(request, "export")
    return await bundle_response(state, log)


async def bundle_response(state: State, log: LogRecord) -> Response:
    """Return the answer that carries a log's bundle under the last checkpoint."""
    signed = await _newest(state, log)
    name = f"{log.name}-{signed.size}.tar"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return StreamingResponse(bundle_parts(state, log, signed), media_type="application/x-tar", headers=headers)


async def _newest(state: State, log: LogRecord) -> Signed:
    """Return the last checkpoint, cosigned when enough witnesses answer soon. Without them the bundle says so itself."""
    signed = await state.reading.checkpoint(log.number)
    for _ in range(_WAITS if state.settings.witnesses else 0):
        note = await state.reading.cosigned(log.number)
        point = None if note is None else from_text(parse(note).text)
        if note is not None and point is not None and point.size >= signed.size:
            return Signed(point.size, point.root, note)
        await asyncio.sleep(_WAIT_SECONDS)
    return signed


async def bundle_parts(state: State, log: LogRecord, signed: Signed) -> AsyncIterator[bytes]:
    """Yield the bundle's bytes, never holding more than 256 entries."""
    generations = await state.books.generations(log)
    # Those that signed it, not those in force: at a hand-over these are the ones before.
    signing = next((each for each in reversed(generations) if each.has_signed(signed.note)), None)
    vkeys = await state.books.vkeys(log) if signing is None else signing.vkeys
    policy = await state.writer.witnesses.policy(vkeys)
    yield bundle.write_member("manifest.json", bundle.manifest(log.origin, signed.size))
    yield bundle.write_member("checkpoint", _signed_by(signed.note, vkeys, policy))
    yield bundle.write_member("keys", _lines(vkeys))
    if policy is not None:
        yield bundle.write_member("policy", policy.encode())
    for each in generations:
        if each.note is not None and signing is not None and each.number <= signing.number:
            yield bundle.write_member(f"rotation/{each.number}.checkpoint", each.note)
            yield bundle.write_member(f"rotation/{each.number}.keys", _lines(each.vkeys))
    for path, stamp in sorted((await _stamps(state, log, signed)).items()):
        yield bundle.write_member(path, stamp)
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


async def _stamps(state: State, log: LogRecord, signed: Signed) -> dict[str, bytes]:
    """Return the newest time-stamps as members. All stamps of one size are over the one checkpoint there was of it."""
    found: dict[str, bytes] = {}
    for each in await state.reading.stamps(log.number, signed.size, _STAMPS):
        found[f"tsr/{each.size}.checkpoint"] = each.note
        found[f"tsr/{each.size}.{each.authority}.tsq"] = each.request
        found[f"tsr/{each.size}.{each.authority}.tsr"] = each.reply
    return found


def _lines(vkeys: Iterable[str]) -> bytes:
    return "".join(f"{vkey}\n" for vkey in vkeys).encode()


def _signed_by(note: bytes, vkeys: Sequence[str], policy: str | None) -> bytes:
    """Return the note with the signatures of these keys and of the witnesses: what the bundle itself can explain."""
    whole = parse(note)
    known = [parse_vkey(each) for each in vkeys]
    known += [] if policy is None else parse_policy(policy).witnesses.values()
    ids = {(each.name, each.key_id) for each in known}
    return Note(whole.text, tuple(each for each in whole.signatures if (each.name, each.key_id) in ids)).encode()


def _value_file(sealer: ValueSealer, stored: Sequence[Stored], values: Sequence[Value]) -> bytes:
    ids = {each.index: read_leaf(each.data).id for each in stored}
    return b"".join(canonical(_value_line(sealer, ids[value.index], value)) + b"\n" for value in values)
