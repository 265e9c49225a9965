"""The calls and their paths."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from audit_service.http import append, entries, erasures, evidence, logs, openapi, probes, program, proofs, taking
from audit_service.http.errors import EXPECTED, handle
from audit_service.http.state import State
from audit_service.pages.routes import routes as pages

_LOG = "/v1/logs/{log}"


class Application(Starlette):
    """Starlette, with a way past its middleware and router for appends: they would be a tenth of what one costs."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        log = taking.log_of(scope)
        if log is None:
            await super().__call__(scope, receive, send)
            return
        scope["app"], scope["path_params"] = self, {"log": log}
        await taking.or_refused(append.APPEND, scope, receive, send)


def build(state: State) -> Starlette:
    """Return the application. The writer runs as long as it does."""
    routes = [
        Route(
            f"{_LOG}/entries", append.APPEND, methods=["POST"]
        ),  # for who asks what there is; `Application` answers it
        Route(f"{_LOG}/entries", entries.list_entries, methods=["GET"]),
        Route(f"{_LOG}/erasures", erasures.erase, methods=["POST"]),
        Route(f"{_LOG}/checkpoint", proofs.get_checkpoint),
        Route(f"{_LOG}/checkpoint/witnessed", proofs.get_witnessed),
        Route(f"{_LOG}/tile/{{path:path}}", proofs.get_tile),
        Route(f"{_LOG}/proof", proofs.get_proof),
        Route(f"{_LOG}/evidence", evidence.get_evidence),
        Route(f"{_LOG}/consistency", proofs.get_consistency),
        Route(f"{_LOG}/export", entries.export),
        Route(_LOG, logs.put_log, methods=["PUT"]),
        Route(_LOG, logs.get_log, methods=["GET"]),
        Route("/v1/logs", logs.list_logs),
        Route("/healthz", probes.healthz),
        Route("/readyz", probes.readyz),
        Route("/metrics", probes.metrics),
        Route("/openapi.json", openapi.openapi),
        Route("/cloister-verify.pyz", program.verifier),
        *pages(),
        # Last, for they would take other paths: a log under the prefix that tlog-tiles' own tools are given.
        Route("/{log}/checkpoint", proofs.get_checkpoint),
        Route("/{log}/tile/{path:path}", proofs.get_tile),
    ]

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        writing = asyncio.create_task(state.writer.run())
        try:
            yield
        finally:
            writing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await writing

    handlers = dict.fromkeys((*EXPECTED, Exception), handle)
    app = Application(routes=routes, exception_handlers=handlers, lifespan=lifespan)
    app.state.service = state
    return app
