"""`POST /v1/logs/{log}/entries`: the one call that must be fast, so it is plain ASGI without a request object."""

from typing import Final

import orjson
from pydantic import Field, ValidationError
from starlette.types import Message, Receive, Scope, Send

from audit_contract.entry import MAX_BATCH, Draft, Part, Source
from audit_service.http import access
from audit_service.http.errors import ApiError
from audit_service.http.state import State
from audit_service.log.batch import Outcome, Request
from audit_service.log.preparing import prepare

MAX_BODY: Final = 16 * 1024 * 1024


class Batch(Part):
    """The body: 1 to 256 drafts of one source, recorded together or not at all."""

    entries: list[Draft] = Field(min_length=1, max_length=MAX_BATCH)


class AppendEndpoint:
    """An ASGI application for one route; the log's name is in the path parameters."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one append. Raises ApiError, SequenceError's and StoreError's children."""
        if scope["method"] != "POST":
            raise ApiError(405, "POST a batch of drafts here, or GET entries")
        state: State = scope["app"].state.service
        headers = dict(scope["headers"])
        caller = await state.tokens.check(headers.get(b"authorization", b"").decode("latin-1"))
        log = await state.find_log(scope["path_params"]["log"])
        drafts, source = parse(await _body(receive, headers))
        access.check_append(caller, log, source, state.settings.identity)
        desk = state.writer.desk
        sealer = state.books.sealer(log)
        try:
            items = [
                prepare(draft, log, source.kind, source.id, draft.src.seq if draft.src else 0, sealer)
                for draft in drafts
            ]
        except ValueError as error:
            raise ApiError(422, str(error)) from error
        outcome = await desk.sequencer.submit(Request(log, source.kind, source.id, tuple(items)))
        await _answer(send, outcome)


def parse(body: bytes) -> tuple[list[Draft], Source]:
    """Read a batch. Raises ApiError 422 naming the field; what was in the field is not repeated."""
    try:
        drafts = Batch.model_validate_json(body).entries
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False, include_context=False)
        fields = [{"field": ".".join(str(part) for part in each["loc"]), "problem": each["msg"]} for each in found[:20]]
        raise ApiError(422, f"{fields[0]['field']}: {fields[0]['problem']}", fields=fields) from None
    sources = {(draft.src.kind, draft.src.id) if draft.src else None for draft in drafts}
    source = drafts[0].src
    if len(sources) != 1 or source is None:
        raise ApiError(422, "src: every draft of a batch has one, and it is the same source")
    if len({draft.id for draft in drafts}) != len(drafts):
        raise ApiError(422, "id: two drafts of the batch have the same")
    return drafts, source


async def _body(receive: Receive, headers: dict[bytes, bytes]) -> bytes:
    length = headers.get(b"content-length", b"0")
    if not length.isdigit() or int(length) > MAX_BODY:
        raise ApiError(413, f"a batch has at most {MAX_BODY} bytes")
    parts = []
    size = 0
    more = True
    while more:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            raise ApiError(400, "the caller went away")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MAX_BODY:
            raise ApiError(413, f"a batch has at most {MAX_BODY} bytes")
        more = message.get("more_body", False)
    return b"".join(parts)


async def _answer(send: Send, outcome: Outcome) -> None:
    entries = [{"id": each.id, "index": each.index, "leafHash": each.hash.hex()} for each in outcome.placed]
    body = orjson.dumps({"entries": entries, "next": outcome.next})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
