"""Waiting for the world, out loud: what is waited for, what was last seen, how long it took."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
_BEGAN = time.monotonic()


def say(text: str) -> None:
    """Tell whoever runs `pytest -s` what is going on."""
    print(f"    {time.monotonic() - _BEGAN:6.1f} s  {text}", flush=True)


class NotYetError(AssertionError):
    """What was seen is not what is waited for; the message says what was seen."""


def until(what: str, look: Callable[[], T], seconds: float, every: float = 0.3) -> T:
    """Look until `look` no longer raises AssertionError and does not return None; return what it saw.

    Raises NotYetError with what was last seen.
    """
    began = time.monotonic()
    said, seen = "", "nothing"
    while True:
        try:
            found = look()
        except AssertionError as error:
            seen = str(error).strip() or "an assertion without words"
        else:
            if found is not None:
                if said:
                    say(f"{what}: after {time.monotonic() - began:.1f} s")
                return found
        waited = time.monotonic() - began
        if waited > seconds:
            raise NotYetError(f"{what}: not after {waited:.0f} s; last seen: {seen}")
        if waited > 1 and seen != said:
            say(f"{what}: waiting; {seen[:160]}")
            said = seen
        time.sleep(every)
