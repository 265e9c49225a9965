"""`/v1/logs` and `/v1/logs/{log}`: creating logs and saying what they are."""

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from audit_contract.checkpoint import from_text
from audit_contract.note import parse
from audit_service.http import access
from audit_service.http.errors import ApiError
from audit_service.http.identity import Caller
from audit_service.http.state import State
from audit_service.settings import Part
from audit_service.store.records import LogRecord

_Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]


class NewLog(Part):
    """The body of `PUT /v1/logs/{log}`."""

    kind: Literal["tenant"]
    tenant: _Name
    namespace: _Name
    region: _Name
    retention_days: int = Field(ge=0, le=36_525)


class LogName(Part):
    """A log's name, as it is in the path."""

    name: _Name


async def caller_of(request: Request) -> Caller:
    """Return who calls. Raises ApiError 401."""
    state: State = request.app.state.service
    return await state.tokens.check(request.headers.get("authorization", ""))


async def readable_log(request: Request) -> LogRecord:
    """Return the log in the path when the caller may read it. Raises ApiError 401, 403 or 404."""
    state: State = request.app.state.service
    return await log_for(state, await caller_of(request), request.path_params["log"])


async def read_log(request: Request, how: str) -> LogRecord:
    """Return the log in the path for a call that shows entries, recorded as `audit_service.http.reads` says."""
    state: State = request.app.state.service
    caller = await caller_of(request)
    log = await log_for(state, caller, request.path_params["log"])
    await note_reading(state, caller, log, how)
    return log


async def note_reading(state: State, caller: Caller, log: LogRecord, how: str) -> None:
    """Record that a reader is shown entries, as `audit_service.http.reads` says."""
    if how == "export":
        await state.reads.record(state.writer, log, caller, how)
    elif caller.subject != state.settings.identity.operator:
        await state.reads.first(state.writer, log, caller, how)


async def log_for(state: State, caller: Caller, name: str) -> LogRecord:
    """Return the log of this name when the caller may read it. Raises ApiError 403 or 404."""
    log = await state.books.find(name)
    if log is None and caller.subject != state.settings.identity.operator:
        raise ApiError(403, f"{caller.subject} is not a reader of this log")  # nobody learns which logs there are
    if log is None:
        raise ApiError(404, f"there is no log {name}")
    if not access.may_read(caller, log, state.settings.identity):
        raise ApiError(403, f"{caller.subject} is not a reader of this log")
    return log


async def put_log(request: Request) -> Response:
    """Create a log, or find it there with the same identity."""
    state: State = request.app.state.service
    access.check_operator(await caller_of(request), state.settings.identity)
    try:
        name = LogName(name=request.path_params["log"]).name
        new = NewLog.model_validate_json(await request.body())
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise ApiError(422, f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from None
    if new.namespace != f"tenant-{new.tenant}":
        raise ApiError(422, "namespace: a tenant's is tenant-<its name>")
    log, created = await state.writer.create(name, new.tenant, new.namespace, new.region, new.retention_days)
    wanted = (new.kind, new.tenant, new.namespace, new.region, new.retention_days)
    if log.identity() != wanted:
        raise ApiError(409, f"log {name} exists with another identity")
    return JSONResponse(await _identity(state, log), 201 if created else 200)


async def list_logs(request: Request) -> Response:
    """Return every log the caller may read."""
    state: State = request.app.state.service
    caller = await caller_of(request)
    logs = [log for log in await state.books.refresh() if access.may_read(caller, log, state.settings.identity)]
    sizes = await state.reading.sizes()
    rows = [
        {**(await _identity(state, log)), "durable": sizes[log.number][0], "size": sizes[log.number][1]} for log in logs
    ]
    return JSONResponse({"logs": rows})


async def get_log(request: Request) -> Response:
    """Return what a log is, and how far it is durable and signed."""
    state: State = request.app.state.service
    log = await readable_log(request)
    signed = await state.reading.checkpoint(log.number)
    said = from_text(parse(signed.note).text)
    facts: dict[str, Any] = {
        **(await _identity(state, log)),
        "durable": await state.reading.size(log.number),
        "size": said.size,
        "root": said.root.hex(),
        "checkpoint": signed.note.decode(),
        "copy": await _copy(state, log),
    }
    if state.settings.witnesses:
        cosigned = await state.reading.cosigned(log.number)
        facts["witnessed"] = 0 if cosigned is None else from_text(parse(cosigned).text).size
        facts["unwitnessedSeconds"] = round(state.writer.witnesses.unwitnessed_seconds(log.number), 3)
    return JSONResponse(facts)


async def _copy(state: State, log: LogRecord) -> dict[str, Any] | None:
    """Return where the log's copy under Object Lock stands; None when its Region has no store for one."""
    found = await state.writer.copier.standing(log)
    if found is None:
        return None
    copied = found.copied.isoformat() if found.copied is not None else None
    lag = round(found.lag_seconds, 3)
    return {"store": found.store, "region": found.region, "size": found.size, "copied": copied, "lagSeconds": lag}


async def _identity(state: State, log: LogRecord) -> dict[str, Any]:
    return {
        "log": log.name,
        "origin": log.origin,
        "kind": log.kind,
        "tenant": log.tenant,
        "namespace": log.namespace,
        "region": log.region,
        "retentionDays": log.retention_days,
        "keys": await state.books.vkeys(log),
    }
