"""Taking a batch of entries in: who sends, for which log, each draft held to its form and made ready, then durable.

The one call that must be fast, so it is plain ASGI without a request object.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, Protocol

import orjson
from pydantic import Field, ValidationError
from starlette.types import Message, Receive, Scope, Send

from audit_contract.entry import MAX_BATCH, Draft, Part, Plain
from audit_contract.plain import PlainReader
from audit_service.http import access
from audit_service.http.errors import EXPECTED, ApiError, count, response
from audit_service.http.identity import Caller, TokenChecker
from audit_service.log.batch import Item, Outcome, Placed, Request
from audit_service.log.preparing import prepare
from audit_service.log.sealing import ValueSealer
from audit_service.settings import Identity
from audit_service.store.records import LogRecord

MAX_BODY: Final = 16 * 1024 * 1024
LARGE: Final = 32_768
"""Bytes; bodies above are read one after the other, so that the many small ones need not wait for all that are there."""
_PATH: Final = re.compile(r"/v1/logs/([^/]+)/entries")


class Desk(Protocol):
    """What an append needs: in the writer's process the `State`, in a front what asks for it there."""

    @property
    def large(self) -> asyncio.Lock:
        """Return what lets one large body be read at a time."""

    @property
    def tokens(self) -> TokenChecker:
        """Return what checks tokens."""

    @property
    def identity(self) -> Identity:
        """Return whose tokens are believed, and who is who."""

    async def find_log(self, name: str) -> LogRecord:
        """Return the log with this name. Raises ApiError 404."""

    def sealer(self, log: LogRecord) -> ValueSealer:
        """Return what seals the values of a log that was found."""

    async def submit(self, request: Request, body: bytes) -> Outcome:
        """Wait until a request, which came as `body`, is durable. Raises ApiError or what it is translated from."""


class Batch(Part):
    """The body: 1 to 256 drafts of one source, recorded together or not at all."""

    entries: list[Draft] = Field(min_length=1, max_length=MAX_BATCH)


_READER: Final = PlainReader(Batch)


def log_of(scope: Scope) -> str | None:
    """Return the name of the log that a request would append to, None when it is no append."""
    found = _PATH.fullmatch(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
    return None if found is None else found[1]


async def or_refused(
    work: Callable[[Scope, Receive, Send], Awaitable[None]],
    scope: Scope,
    receive: Receive,
    send: Send,
    counted: Callable[[int], None] = count,
) -> None:
    """Do what answers a request, or answer with what kept it from that, and have that counted by its status."""
    try:
        await work(scope, receive, send)
    except Exception as error:
        refusal = response(error)
        counted(refusal.status_code)
        await refusal(scope, receive, send)
        if not isinstance(error, EXPECTED):
            raise  # as Starlette does: the server logs it


async def take(desk: Desk, name: str, scope: Scope, receive: Receive) -> tuple[LogRecord, Outcome]:
    """Take a batch in: once this returns it is durable."""
    headers = dict(scope["headers"])
    caller = await desk.tokens.check(headers.get(b"authorization", b"").decode("latin-1"))
    log = await desk.find_log(name)
    body = await _body(receive, headers)
    if len(body) > LARGE:
        async with desk.large:
            await asyncio.sleep(0)
            request = prepared(desk, caller, log, body)
    else:
        request = prepared(desk, caller, log, body)
    return log, await desk.submit(request, body)


def prepared(desk: Desk, caller: Caller, log: LogRecord, body: bytes) -> Request:
    """Return a batch ready to be sequenced. Raises ApiError."""
    drafts, kind, source = parse(body)
    access.check_append(caller, log, kind, source, desk.identity)
    return Request(log, kind, source, items_of(drafts, log, desk.sealer(log)), lambda: drafts)


def items_of(drafts: Sequence[Plain], log: LogRecord, sealer: ValueSealer) -> tuple[Item, ...]:
    """Return drafts of one source ready but for their places. Raises ApiError 422 naming the field."""
    items = []
    for number, draft in enumerate(drafts):
        source = draft["src"]
        try:
            items.append(prepare(draft, log, source["kind"], source["id"], source["seq"], sealer))
        except ValueError as error:
            raise ApiError(422, f"entries.{number}.{error}") from error
    return tuple(items)


def receipts(placed: Iterable[Placed], following: int) -> dict[str, Any]:
    """Return the answer to a batch: where each entry is, and its source's next number."""
    return {
        "entries": [{"id": each, "index": index, "leafHash": hashed.hex()} for each, index, hashed in placed],
        "next": following,
    }


def parse(body: bytes) -> tuple[list[Plain], str, str]:
    """Read a batch: its drafts, and the kind and id of their one source.

    Raises ApiError 422 naming the field; what was in the field is not repeated.
    """
    drafts = _READER.read(body)
    if drafts is None:
        drafts = _read(body)
    sources = {(draft["src"]["kind"], draft["src"]["id"]) if "src" in draft else None for draft in drafts}
    source = sources.pop()
    if sources or source is None:
        raise ApiError(422, "src: every draft of a batch has one, and it is the same source")
    if len({draft["id"] for draft in drafts}) != len(drafts):
        raise ApiError(422, "id: two drafts of the batch have the same")
    return drafts, *source


def _read(body: bytes) -> list[Plain]:
    try:
        return [draft.plain() for draft in Batch.model_validate_json(body).entries]
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False, include_context=False)
        fields = [{"field": ".".join(str(part) for part in each["loc"]), "problem": each["msg"]} for each in found[:20]]
        raise ApiError(422, f"{fields[0]['field']}: {fields[0]['problem']}", fields=fields) from None


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


async def answer(send: Send, status: int, facts: dict[str, Any]) -> None:
    """Send an answer in JSON."""
    body = orjson.dumps(facts)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
