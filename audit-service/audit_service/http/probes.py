"""`/healthz`, `/readyz`, `/metrics`: plain, for anyone."""

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from audit_service.http.state import State
from audit_service.metrics import DAMAGED, LAG, LOGS, WAITING
from audit_service.store.errors import StoreError


async def healthz(_: Request) -> Response:
    """Say that the process answers."""
    return PlainTextResponse("ok\n")


async def readyz(request: Request) -> Response:
    """Say whether entries can be recorded: the database answers, this process is the writer, no log is damaged.

    And the keys are there, and the database is behind neither the guard's folder nor a witness.
    """
    state: State = request.app.state.service
    checks = {
        "database": "ok",
        "writer": "ok" if state.writer.is_writer else "another process, or none yet",
        "logs": "ok",
    }
    checks["keys"] = state.writer.keys.refusal or "ok"
    checks["guard"] = state.writer.guard.refusal or "ok"
    checks["witnesses"] = state.writer.witnesses.refusal or "ok"
    try:
        await state.reading.ping()
    except StoreError as error:
        checks["database"] = str(error)
    if state.writer.is_writer and state.writer.desk.integrator.damaged:
        checks["logs"] = "; ".join(state.writer.desk.integrator.damaged.values())
    ready = all(said == "ok" for said in checks.values())
    facts: dict[str, object] = {"ready": ready, **checks}
    if state.writer.is_writer and state.writer.desk.integrator.waiting:  # entries are durable meanwhile
        facts["signingWaits"] = min(state.writer.desk.integrator.waiting.values())
    facts |= await _key_files(state)
    if state.settings.witnesses:  # a witness that is away stops nothing; how long it has been away is said
        facts["unwitnessedSeconds"] = round(state.writer.witnesses.unwitnessed_seconds(), 1)
        facts["witnessTroubles"] = state.writer.witnesses.troubles()
    return JSONResponse(facts, 200 if ready else 503)


async def _key_files(state: State) -> dict[str, object]:
    """Say of key files from before the keys were in Vault whether a log still needs them."""
    try:
        if not state.writer.is_writer or not state.books.keyring.before:
            return {}
        needing = await state.writer.keys.needing_files()
    except StoreError as error:
        return {"keyFiles": f"not known: {error}"}
    said = (
        f"needed until these logs have handed over: {', '.join(needing)}" if needing else "not needed: take them away"
    )
    return {"keyFiles": said}


async def metrics(request: Request) -> Response:
    """Return the metrics, with what only the store knows asked for now."""
    state: State = request.app.state.service
    try:
        sizes = await state.reading.sizes()
    except StoreError:
        sizes = {}
    LOGS.set(len(sizes))
    LAG.set(sum(durable - signed for durable, signed in sizes.values()))
    WAITING.set(len(state.writer.desk.integrator.waiting) if state.writer.is_writer else 0)
    DAMAGED.set(len(state.writer.desk.integrator.damaged) if state.writer.is_writer else 0)
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
