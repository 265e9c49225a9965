"""The fronts as processes: started with the writer's, replaced when one ends, ended with it."""

import asyncio
import logging
import socket
import sys
import time
from typing import Final

from audit_service.front.answering import Answering
from audit_service.front.channel import pair
from audit_service.http.state import State

_log = logging.getLogger(__name__)
_YOUNG_SECONDS: Final = 5.0
_TRIES: Final = 3
_AGAIN_SECONDS: Final = 0.5
_STOP_SECONDS: Final = 8.0  # a little more than a front gives the requests that are under way


class FrontError(Exception):
    """Fronts end as soon as they begin: they say why in the log."""


class Fronts:
    """Keeps as many as are wanted; `run` is one task. All take connections from the same socket."""

    def __init__(self, state: State, address: socket.socket, inside: str, count: int) -> None:
        self._state, self._address, self._inside, self._count = state, address, inside, count

    async def run(self) -> None:
        """Keep them until cancelled; then end them, once they have answered what is under way. Raises FrontError."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._count):
                    group.create_task(self._keep())
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _keep(self) -> None:
        young = 0
        while young < _TRIES:
            started = time.monotonic()
            code = await self._one()
            young = young + 1 if time.monotonic() - started < _YOUNG_SECONDS else 0
            _log.error("a front ended with %s and is replaced", code)
            await asyncio.sleep(_AGAIN_SECONDS)
        raise FrontError(f"a front ended {_TRIES} times within {_YOUNG_SECONDS:g} s of its start")

    async def _one(self) -> int:
        """Run one until it ends, and return its exit code."""
        ours, theirs = pair()
        answering = Answering(self._state)
        await answering.open(ours)
        with theirs:
            files = (self._address.fileno(), theirs.fileno())
            command = (f"--address={files[0]}", f"--channel={files[1]}", f"--inside={self._inside}")
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "audit_service.front", *command, pass_fds=files
            )
        try:
            return await process.wait()
        finally:
            await _end(process)
            answering.close()


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
