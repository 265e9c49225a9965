"""The clock and the evidence for it: what the kernel says about its synchronisation (adjtimex(2), which needs no right)."""

import ctypes
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from audit_contract.canonical import encode_plain

_STA_UNSYNC: Final = 0x0040
_MAXERROR_AT: Final = 3
_STATUS_AT: Final = 4
_TIMEX_BYTES: Final = 512
_REFRESH: Final = 1.0

Clock = Callable[[], datetime]


def now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)


class Evidence:
    """What the kernel says of its clock, asked at most once a second: `{"error_us": …, "synchronised": …}` as bytes."""

    def __init__(self) -> None:
        self._adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex
        self._read_at = -_REFRESH
        self._said = b""

    def __call__(self) -> bytes:
        """Return what the kernel said at most a second ago."""
        at = time.monotonic()
        if at - self._read_at >= _REFRESH:
            self._read_at, self._said = at, self._ask()
        return self._said

    def _ask(self) -> bytes:
        # struct timex begins: unsigned modes; long offset, freq, maxerror, esterror; int status. `modes` 0 only reads.
        words = (ctypes.c_long * (_TIMEX_BYTES // ctypes.sizeof(ctypes.c_long)))()
        answer = self._adjtimex(ctypes.byref(words))
        status = words[_STATUS_AT + 1] & 0xFFFFFFFF
        synchronised = answer >= 0 and not status & _STA_UNSYNC
        return encode_plain({"error_us": max(0, words[_MAXERROR_AT]), "synchronised": synchronised})
