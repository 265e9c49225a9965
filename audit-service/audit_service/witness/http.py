"""The witness over HTTP: C2SP tlog-witness, its verifier keys, and the plain probes."""

import asyncio
import logging
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from audit_service.witness.core import MAX_BODY, Answer, Witness
from audit_service.witness.storage import Storage

_HASH: Final = re.compile(r"[0-9a-f]{64}")
_THREADS: Final = 8
_NO_STORE: Final = {"Cache-Control": "no-store"}
_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class Endpoints:
    """The calls. Signing and flushing happen in threads, so that one slow disk does not stop the probes."""

    def __init__(self, witness: Witness, storage: Storage) -> None:
        self._witness, self._storage = witness, storage
        self._threads = ThreadPoolExecutor(_THREADS, "witness")
        self._registry = CollectorRegistry()
        self._answers = Counter(
            "cloister_witness_answers_total", "Answers to add-checkpoint.", ["status"], registry=self._registry
        )
        self._logs = Gauge("cloister_witness_logs", "Logs that were signed for.", registry=self._registry)

    async def add_checkpoint(self, request: Request) -> Response:
        """Answer `POST /add-checkpoint`."""
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > MAX_BODY:
                return self._said(Answer(413, b"a body has at most 256 KiB\n"))
        try:
            answer = await self._in_thread(self._witness.add_checkpoint, body)
        except (OSError, ValueError):
            _log.exception("nothing was signed")
            answer = Answer(500, b"the witness cannot read or keep its state; nothing was signed\n")
        return self._said(answer)

    def _said(self, answer: Answer) -> Response:
        self._answers.labels(status=str(answer.status)).inc()
        return _response(answer)

    async def _in_thread(self, call: Callable[..., _T], *arguments: object) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *arguments)

    async def checkpoint(self, request: Request) -> Response:
        """Answer `GET /<hex sha256(origin)>/checkpoint`."""
        hashed = request.path_params["hashed"]
        if not _HASH.fullmatch(hashed):
            return _response(Answer(404, b"not the hex SHA-256 of an origin\n"))
        return _response(await self._in_thread(self._witness.checkpoint, hashed))

    async def vkey(self, _: Request) -> Response:
        """Say by which keys this witness is known, one a line."""
        return PlainTextResponse("".join(f"{vkey}\n" for vkey in self._witness.vkeys), headers=_NO_STORE)

    async def healthz(self, _: Request) -> Response:
        """Say that the process answers."""
        return PlainTextResponse("ok\n")

    async def metrics(self, _: Request) -> Response:
        """Return the metrics."""
        self._logs.set(await self._in_thread(self._storage.count))
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)


def _response(answer: Answer) -> Response:
    # The protocol's type has no charset, and Starlette would add one to a text type given as `media_type`.
    return Response(answer.body, answer.status, {"Content-Type": answer.kind, **_NO_STORE})


def build(witness: Witness, storage: Storage) -> Starlette:
    """Return the application."""
    calls = Endpoints(witness, storage)
    return Starlette(
        routes=[
            Route("/add-checkpoint", calls.add_checkpoint, methods=["POST"]),
            Route("/vkey", calls.vkey),
            Route("/healthz", calls.healthz),
            Route("/readyz", calls.healthz),
            Route("/metrics", calls.metrics),
            Route("/{hashed}/checkpoint", calls.checkpoint),
        ]
    )
