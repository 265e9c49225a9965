"""Progress for people: one line a step, with the time it took, on any kind of output."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_started = time.monotonic()
_lock = threading.Lock()


def say(message: str) -> None:
    """Print one line with the seconds since the command started."""
    with _lock:
        try:
            print(f"[{time.monotonic() - _started:6.1f}s] {message}", flush=True)
        except BrokenPipeError:
            # Whoever listened has gone (`up | head`); half a cluster would help nobody, so go on in silence.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def warn(message: str) -> None:
    """Print a line that a person should not overlook."""
    with _lock:
        print(f"[{time.monotonic() - _started:6.1f}s] WARNING: {message}", file=sys.stderr, flush=True)


@contextmanager
def step(name: str, *, quiet_below: float = 0.0) -> Iterator[None]:
    """Report how long a step took; say its name first when it is likely to be long."""
    begin = time.monotonic()
    if not quiet_below:
        say(f"{name} ...")
    try:
        yield
    except BaseException:
        say(f"{name}: FAILED after {time.monotonic() - begin:.1f}s")
        raise
    took = time.monotonic() - begin
    if took >= quiet_below:
        say(f"{name}: done in {took:.1f}s")
