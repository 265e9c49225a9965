"""The process: settings, logs, the wired operator, its little server, and kopf around the event stream."""

import asyncio
import logging
import signal
import sys

from pydantic import ValidationError

from tenant_operator.errors import CloisterError, Retryable
from tenant_operator.handlers import http
from tenant_operator.handlers.kinds import Kinds
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
    kinds: Kinds | None = None
    server = asyncio.create_task(
        http.serve(
            lambda: [*operator.dead(), *kinds.dead()] if operator and kinds else [],
            lambda: bool(operator and operator.synced),
        )
    )
    operator = await _build(config, pod)
    kinds = Kinds(operator.cluster.transport, operator)
    working = {asyncio.create_task(operator.run()), asyncio.create_task(kinds.run()), server}
    asked = asyncio.create_task(_asked_to_end().wait())
    try:
        while not asked.done():
            ended, _ = await asyncio.wait({asked, *working}, return_when=asyncio.FIRST_COMPLETED)
            for task in ended - {asked}:
                task.result()  # a duty that failed ends the process, and the kubelet starts another
            working -= ended
    finally:
        for task in working:
            task.cancel()
        # An act under way ends with an outcome, because cancellation runs the recorder's end.
        await asyncio.gather(*working, return_exceptions=True)
        await operator.cluster.transport.close()


def _asked_to_end() -> asyncio.Event:
    asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    return asked


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
