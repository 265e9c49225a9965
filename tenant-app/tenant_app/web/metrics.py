"""Prometheus metrics. Labels are routes and classes of answers, never people or documents."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Scope, Send

from tenant_app.services.relay import Progress

REGISTRY = CollectorRegistry()
REQUESTS = Counter("cloister_app_requests", "Requests answered.", ["method", "route", "status"], registry=REGISTRY)
SECONDS = Histogram(
    "cloister_app_request_seconds",
    "Time to answer.",
    ["route"],
    registry=REGISTRY,
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
WAITING = Gauge("cloister_app_audit_waiting", "Audit entries that wait for delivery.", registry=REGISTRY)
LAG = Gauge("cloister_app_audit_lag_seconds", "How long the oldest of them has waited.", registry=REGISTRY)


@contextmanager
def observe(scope: Scope) -> Iterator[Callable[[Send], Send]]:
    """Count and time one request; yields a wrapper that sees the answer's status."""
    began, status = time.perf_counter(), ["500"]

    def seen(send: Send) -> Send:
        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                status[0] = str(message["status"])
            await send(message)

        return counted

    try:
        yield seen
    finally:
        # The route's pattern, not the path: a label per document would never end.
        route = getattr(scope.get("route"), "path", "none")
        REQUESTS.labels(scope["method"], route, status[0]).inc()
        SECONDS.labels(route).observe(time.perf_counter() - began)


async def metrics(request: Request) -> Response:
    """Answer the metrics in Prometheus's text format."""
    progress: Progress = request.app.state.cloister.relay.progress
    WAITING.set(progress.waiting)
    LAG.set(progress.lag_seconds)
    return Response(generate_latest(REGISTRY), media_type="text/plain; version=0.0.4; charset=utf-8")
