"""`POST /v1/logs/{log}/entries`, as the writer's process answers it.

With `?wait=checkpoint` the answer comes when a signed checkpoint covers the entries, each with its `.tlog-proof`. Is none signed
in time, the answer is 202: the entries are recorded and durable, their proofs are to be had from `…/proof` later. 503, as
without waiting, means that nothing was recorded.
"""

from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope, Send

from audit_service.http import taking
from audit_service.http.errors import ApiError
from audit_service.http.state import State
from audit_service.log.proving import proofs_of

WAIT_SECONDS: Final = 5.0
"""How long an answer waits for a checkpoint. One comes within a quarter of a second, or something is wrong."""


class AppendEndpoint:
    """An ASGI application for one route; the log's name is in the path parameters."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one append. Raises ApiError, SequenceError's and StoreError's children."""
        if scope["method"] != "POST":
            raise ApiError(405, "POST a batch of drafts here, or GET entries")
        state: State = scope["app"].state.service
        waits = _waits(scope["query_string"])
        log, outcome = await taking.take(state, scope["path_params"]["log"], scope, receive)
        facts = taking.receipts(outcome.placed, outcome.next)
        status = 200
        if waits:
            end = 1 + max(each.index for each in outcome.placed)
            if await state.writer.desk.integrator.covered(log.number, end, WAIT_SECONDS):
                await _add_proofs(state, log.number, facts["entries"])
            else:
                status = 202
        await taking.answer(send, status, facts)


APPEND: Final = AppendEndpoint()


def _waits(query: bytes) -> bool:
    """Tell whether the caller waits for the checkpoint. Raises ApiError 400 for any other wish."""
    if not query:
        return False
    asked = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    if asked != [("wait", "checkpoint")]:
        raise ApiError(400, "wait=checkpoint is all that can be asked for here")
    return True


async def _add_proofs(state: State, log: int, entries: list[dict[str, Any]]) -> None:
    signed = await state.reading.checkpoint(log)
    proofs = await proofs_of(state.reading, log, signed, [each["index"] for each in entries])
    for each, proof in zip(entries, proofs, strict=True):
        each["proof"] = proof.decode()
