"""Checkpoints, tiles and proofs: what outside tools of C2SP and RFC 6962 ask a log for."""

import base64
import gzip
import re
from collections.abc import Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from audit_contract.merkle import ProofError, consistency_ranges, inclusion_ranges
from audit_contract.proof import InclusionProof
from audit_contract.tiles import WIDTH, Tile, TileError, bundle_entries, parse_name, width_at
from audit_service.http.errors import ApiError
from audit_service.http.logs import read_log, readable_log
from audit_service.http.state import State
from audit_service.log.proving import prove
from audit_service.store.errors import DamagedError

_WHOLE: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_FOR_EVER: Final = {"Cache-Control": "private, max-age=31536000, immutable"}
_NO_CACHE: Final = {"Cache-Control": "no-store"}
_BYTES: Final = "application/octet-stream"
_MAX_LEVEL: Final = 7


def whole(request: Request, name: str, default: int | None = None) -> int:
    """Return a whole number of the query. Raises ApiError 400 when it is none, or is missing without a default."""
    text = request.query_params.get(name)
    if text is None and default is not None:
        return default
    if text is None or not _WHOLE.fullmatch(text):
        raise ApiError(400, f"{name}: a whole number is needed")
    return int(text)


async def get_checkpoint(request: Request) -> Response:
    """Return the last checkpoint."""
    state: State = request.app.state.service
    log = await readable_log(request)
    return PlainTextResponse((await state.reading.checkpoint(log.number)).note, headers=_NO_CACHE)


async def get_witnessed(request: Request) -> Response:
    """Return the last checkpoint that enough witnesses have cosigned."""
    state: State = request.app.state.service
    log = await readable_log(request)
    note = await state.reading.cosigned(log.number)
    if note is None:
        raise ApiError(404, f"no checkpoint of {log.name} has been cosigned by enough witnesses yet")
    return PlainTextResponse(note, headers=_NO_CACHE)


async def get_tile(request: Request) -> Response:
    """Return a tile of hashes, or an entry bundle (`tile/entries/…`), of the tree that is signed."""
    state: State = request.app.state.service
    entries = request.path_params["path"].startswith("entries/")
    log = await (read_log(request, "entries") if entries else readable_log(request))
    kind, _, rest = request.path_params["path"].partition("/")
    try:
        index, width = parse_name(rest)
    except TileError as error:
        raise ApiError(404, str(error)) from error
    size = (await state.reading.checkpoint(log.number)).size
    level = 0 if kind == "entries" else _level(kind)
    if width > width_at(level, index, size):
        raise ApiError(404, "the signed tree has no such tile")
    if kind == "entries":
        start = index * WIDTH
        stored = await state.reading.leaves(log.number, start, start + width)
        return _compressed(request, bundle_entries(each.data for each in stored))
    data = await state.reading.tile(log.number, Tile(level, index, width))
    if data is None:
        raise DamagedError(f"the store has not the tile {request.path_params['path']}")
    return Response(data, media_type=_BYTES, headers=_FOR_EVER)


def _compressed(request: Request, data: bytes) -> Response:
    """Return an entry bundle, compressed for whoever takes gzip, as tlog-tiles would have it; the same bytes each time."""
    headers = {**_FOR_EVER, "Vary": "Accept-Encoding, Authorization"}
    accepted = {part.partition(";")[0].strip() for part in request.headers.get("accept-encoding", "").split(",")}
    if "gzip" in accepted:
        data, headers = gzip.compress(data, mtime=0), {**headers, "Content-Encoding": "gzip"}
    return Response(data, media_type=_BYTES, headers=headers)


def _level(text: str) -> int:
    if not _WHOLE.fullmatch(text) or int(text) > _MAX_LEVEL:
        raise ApiError(404, f"{text!r} is not a tile's level")
    return int(text)


async def get_proof(request: Request) -> Response:
    """Return an entry's `.tlog-proof` under the last checkpoint; with `size`, its audit path alone in that tree."""
    state: State = request.app.state.service
    log = await readable_log(request)
    signed = await state.reading.checkpoint(log.number)
    index, size = whole(request, "index"), whole(request, "size", signed.size)
    _check_size(size, signed.size)
    try:
        path = await prove(state.reading, log.number, size, inclusion_ranges(index, size))
    except ProofError as error:
        raise ApiError(404, str(error)) from error
    if "size" in request.query_params:
        return PlainTextResponse(_lines(path), headers=_FOR_EVER)
    return PlainTextResponse(InclusionProof(index, tuple(path), signed.note).encode(), headers=_NO_CACHE)


async def get_consistency(request: Request) -> Response:
    """Return the proof that the tree of `from` leaves is the beginning of that of `to`, one base64 hash a line."""
    state: State = request.app.state.service
    log = await readable_log(request)
    signed = await state.reading.checkpoint(log.number)
    old, new = whole(request, "from"), whole(request, "to", signed.size)
    _check_size(new, signed.size)
    try:
        path = await prove(state.reading, log.number, new, consistency_ranges(old, new))
    except ProofError as error:
        raise ApiError(400, str(error)) from error
    fixed = "to" in request.query_params
    return PlainTextResponse(_lines(path), headers=_FOR_EVER if fixed else _NO_CACHE)


def _check_size(size: int, signed: int) -> None:
    if size > signed:
        raise ApiError(404, f"the signed tree has {signed} leaves, not {size}")


def _lines(path: Sequence[bytes]) -> str:
    return "".join(f"{base64.b64encode(each).decode()}\n" for each in path)
