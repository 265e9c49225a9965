"""The process: settings, logs, the wired operator, its little server, and kopf around the event stream."""

import asyncio
import logging
import sys

import kopf
from pydantic import ValidationError

from tenant_operator.errors import CloisterError, Retryable
from tenant_operator.handlers import events, http
from tenant_operator.handlers.logs import set_up
from tenant_operator.handlers.operator import Operator
from tenant_operator.handlers.settings import OperatorConfig, Pod, load
from tenant_operator.handlers.wiring import build

_RETRY_SECONDS = 2.0
_log = logging.getLogger(__name__)


async def _build(config: OperatorConfig, pod: Pod) -> Operator:
    while True:
        try:
            return await build(config, pod)
        except Retryable as error:
            _log.warning("cannot start yet: %s", error.message)
            await asyncio.sleep(_RETRY_SECONDS)


async def run(config: OperatorConfig, pod: Pod) -> None:
    """Run until the process is asked to end."""
    operator: Operator | None = None
    server = asyncio.create_task(
        http.serve(lambda: operator.dead() if operator else [], lambda: bool(operator and operator.synced))
    )
    operator = await _build(config, pod)
    starting = asyncio.create_task(operator.start())
    try:
        await kopf.operator(
            registry=events.registry, memo=kopf.Memo(operator=operator), clusterwide=True, standalone=True
        )
    finally:
        for task in (starting, server):
            task.cancel()
        await asyncio.gather(starting, server, return_exceptions=True)
        await operator.stop()


def main() -> None:
    """Run the operator; a wrong configuration ends it with one clear line."""
    try:
        config, pod = load()
    except (OSError, KeyError, ValidationError) as error:
        sys.exit(f"the operator's configuration cannot be read: {error}")
    set_up(config.log_level)
    try:
        asyncio.run(run(config, pod))
    except CloisterError as error:
        sys.exit(f"the operator cannot start: {error.message}")
