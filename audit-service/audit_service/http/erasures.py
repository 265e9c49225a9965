"""`POST /v1/logs/{log}/erasures`: erase one value beside an entry.

The act is an entry of its own, written first: by whom and why. The leaf and the tree stand as they were.
"""

from typing import Annotated

from pydantic import Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from audit_contract.actions import Action
from audit_contract.entry import Actor, Draft, ObjectRef, Part, Reason
from audit_contract.leaf import field_number, read_leaf
from audit_service.http import access
from audit_service.http.errors import ApiError
from audit_service.http.logs import caller_of
from audit_service.http.state import State


class Erasure(Part):
    """The body: which value of which entry, and in whose name and for what reason it goes."""

    index: int = Field(ge=0)
    field: Annotated[str, Field(pattern=r"^(reason\.text|change\.(0|[1-9][0-9]?)\.(old|new))$")]
    actor: Actor
    reason: Reason


async def erase(request: Request) -> Response:
    """Record the erasure, then erase. 404: no such value; 409: it was erased before."""
    state: State = request.app.state.service
    access.check_operator(await caller_of(request), state.settings.identity)
    log = await state.find_log(request.path_params["log"])
    try:
        wanted = Erasure.model_validate_json(await request.body())
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise ApiError(422, f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from None
    number = field_number(wanted.field)
    values = await state.reading.values(log.number, wanted.index, wanted.index + 1)
    found = next((value for value in values if value.field == number), None)
    if found is None:
        raise ApiError(404, f"entry {wanted.index} has no value {wanted.field}")
    if found.sealed is None:
        raise ApiError(409, f"{wanted.field} of entry {wanted.index} was erased by entry {found.erased_by}")
    entry = read_leaf((await state.reading.entries(log.number, [wanted.index]))[0].data)
    desk = state.writer.desk
    draft = Draft(
        actor=wanted.actor,
        action=Action.VALUE_ERASE,
        object=ObjectRef(type="Value", id=entry.id, version=wanted.field),
        reason=wanted.reason,
        result="ok",
    )
    outcome = await desk.own.append(log, draft)
    by = outcome.placed[0]
    await desk.writing.erase(log.number, wanted.index, number, by.index)
    return JSONResponse({"index": by.index, "leafHash": by.hash.hex()})
