"""Running programs that open what people upload: apart from the app and under hard limits.

Files go in by a pipe and nothing of them touches a disk. `prlimit` bounds memory and processor time and lets no file be written;
the clock bounds the rest.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from tenant_app.errors import DependencyAway

MEMORY = 1024**3
MAX_OUTPUT = 4 * 1024 * 1024
_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a child ended. `code` is None when it was stopped for taking too long."""

    code: int | None
    output: bytes


def limited(command: Sequence[str], *, seconds: float) -> list[str]:
    """Return the command under bounds: 1 GiB of address space, seconds of processor time, no core file, no file written."""
    cpu = max(1, int(seconds))
    return ["prlimit", f"--as={MEMORY}", f"--cpu={cpu}", "--core=0", "--fsize=0", "--", *command]


async def run(command: Sequence[str], content: bytes, *, clock: float, most: int = MAX_OUTPUT) -> Ended:
    """Feed `content` to a program and return how it ended within `clock` seconds, with at most `most` bytes of its output.

    Raises DependencyAway when it cannot be started.
    """
    try:
        child = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError as error:
        raise DependencyAway("A program that checks files cannot be started. Nothing was stored.") from error
    try:
        async with asyncio.timeout(clock):
            _, output = await asyncio.gather(_feed(child, content), _drain(child, most))
            return Ended(code=await child.wait(), output=output)
    except TimeoutError:
        return Ended(code=None, output=b"")
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


async def _feed(child: asyncio.subprocess.Process, content: bytes) -> None:
    if child.stdin is None:
        return
    try:
        child.stdin.write(content)
        await child.stdin.drain()
        child.stdin.close()
        await child.stdin.wait_closed()
    except (BrokenPipeError, ConnectionResetError):
        # It ended without reading to the end; its exit code says why.
        return


async def _drain(child: asyncio.subprocess.Process, most: int) -> bytes:
    output = bytearray()
    while child.stdout is not None and (chunk := await child.stdout.read(_CHUNK)):
        # Read to the end, so that the child does not block, and keep no more than is used.
        if len(output) < most:
            output += chunk
    return bytes(output[:most])
