"""One entry with everything that proves it offline: for readers, and for a source that asks after what it wrote itself."""

import base64

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from audit_contract.leaf import read_leaf
from audit_service.http import access
from audit_service.http.entries import revealed
from audit_service.http.errors import ApiError
from audit_service.http.logs import caller_of, note_reading
from audit_service.http.proofs import whole
from audit_service.http.state import State
from audit_service.log.proving import proofs_of


async def get_evidence(request: Request) -> Response:
    """Return an entry's bytes, its `.tlog-proof` under the last checkpoint, its values with their salts, and the log's keys."""
    state: State = request.app.state.service
    caller = await caller_of(request)
    log = await state.books.find(request.path_params["log"])
    identity = state.settings.identity
    refused = ApiError(403, f"{caller.subject} may not read this entry")
    if log is None or not (access.may_read(caller, log, identity) or access.is_own(caller, log)):
        raise refused
    signed = await state.reading.checkpoint(log.number)
    index = whole(request, "index")
    if index >= signed.size:
        raise ApiError(404, f"entry {index} is not under a checkpoint yet: ask again in a moment")
    [stored] = await state.reading.entries(log.number, [index])
    if access.may_read(caller, log, identity):
        await note_reading(state, caller, log, "entries")
    elif not access.wrote(caller, read_leaf(stored.data).data["src"]["id"]):
        raise refused
    [proof] = await proofs_of(state.reading, log.number, signed, [index])
    return JSONResponse(
        {
            "index": index,
            "origin": log.origin,
            "leaf": base64.b64encode(stored.data).decode(),
            "proof": proof.decode(),
            "values": await revealed(state, log, stored),
            "keys": await state.books.vkeys(log),
        },
        headers={"Cache-Control": "no-store"},
    )
