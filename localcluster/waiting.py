"""Bounded waits that say what they waited for, what they saw, and where to read more."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from localcluster.errors import LocalClusterError, tail


@dataclass(frozen=True)
class Seen:
    """One look at the world: whether it is as wished, and what was seen."""

    ok: bool
    detail: str = ""


class WaitedInVainError(LocalClusterError):
    """The bound of a wait has passed."""


def wait_for(
    what: str, look: Callable[[], Seen], *, seconds: float, log: Path | None = None, every: float = 0.2
) -> Seen:
    """Look until it is so, or raise `WaitedInVainError` with the last thing seen.

    A look that raises `LocalClusterError` ends the wait at once: it knows that waiting is useless.
    """
    end = time.monotonic() + seconds
    while True:
        seen = look()
        if seen.ok:
            return seen
        if time.monotonic() >= end:
            message = f"waited {seconds:.0f}s for {what}; last seen: {seen.detail or 'nothing'}"
            if log is not None:
                message += f"\n  log: {log}\n{tail(log)}"
            raise WaitedInVainError(message)
        time.sleep(every)
