"""The web application: routes behind the guard, probes beside it, background work in its lifespan."""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import rfc8785
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from tenant_app.domain.audit import Change
from tenant_app.errors import AppError
from tenant_app.factory import App
from tenant_app.web import (
    pages_admin,
    pages_authority,
    pages_copies,
    pages_documents,
    pages_factor,
    pages_filing,
    pages_me,
    pages_oidc,
    pages_people,
    pages_session,
    pages_trail,
    pages_workflow,
)
from tenant_app.web.api import create_api
from tenant_app.web.guard import as_route
from tenant_app.web.headers import StrictHeaders
from tenant_app.web.limits import API_FILES, MAX_API_BODY, Limited
from tenant_app.web.metrics import metrics
from tenant_app.web.probes import healthz, readyz
from tenant_app.web.problems import on_app_error, on_defect, on_http_error

log = logging.getLogger(__name__)
AGAIN_SECONDS = 5.0
STATIC = Path(__file__).parent / "static"
PAGES = [
    *pages_session.PAGES,
    *pages_workflow.PAGES,
    *pages_documents.PAGES,
    *pages_copies.PAGES,
    *pages_trail.PAGES,
    *pages_filing.PAGES,
    *pages_admin.PAGES,
    *pages_people.PAGES,
    *pages_authority.PAGES,
    *pages_me.PAGES,
    *pages_factor.PAGES,
    *pages_oidc.PAGES,
]


class _Static(StaticFiles):
    """Static files: their addresses carry a digest, so they may be kept for ever."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Answer a file with its cache header."""
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


async def _kept(work: Callable[[], Awaitable[None]]) -> None:
    """Run background work to its end, starting it again after a defect: an undelivered trail is worse than a log line."""
    while True:
        try:
            await work()
        except Exception:
            log.exception("background work failed and is started again")
            await asyncio.sleep(AGAIN_SECONDS)
        else:
            return


def _running(app: App) -> tuple[Change, ...]:
    definition = app.progress.definition
    statements = hashlib.sha256(rfc8785.dumps(dict(definition.statements))).hexdigest()
    return (
        Change(path="/workflow", new=definition.version),
        Change(path="/workflowSha256", new=definition.digest),
        Change(path="/statementsSha256", new=statements),
    )


def create(app: App) -> Starlette:
    """Return the ASGI application that serves `app`."""

    @asynccontextmanager
    async def lifespan(_web: Starlette) -> AsyncIterator[None]:
        await app.database.open()
        loops = (
            partial(app.recorder.announce, app.settings.system.image, app.settings.system.version, *_running(app)),
            app.relay.run,
            app.watch.run,
            app.authority_watch.run,
            app.alerts.run,
            app.scrub.run,
            app.search.warm,
        )
        work = [asyncio.create_task(_kept(loop)) for loop in loops]
        try:
            yield
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            await app.close()

    web = Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
            Mount("/api/v1", Limited(create_api(app), max_body=MAX_API_BODY, streamed=API_FILES)),
            Mount("/static", _Static(directory=STATIC)),
            *(as_route(page) for page in PAGES),
        ],
        middleware=[Middleware(StrictHeaders), Middleware(Limited)],
        exception_handlers={AppError: on_app_error, HTTPException: on_http_error, Exception: on_defect},
        lifespan=lifespan,
    )
    # A redirect to the address with or without its last slash would repeat the host that the request named.
    web.router.redirect_slashes = False
    web.state.cloister = app
    return web
