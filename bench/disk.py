"""The machine's disk by itself, beside which waiting times of what flushes to it can be read."""

import os
import statistics
import time
from pathlib import Path

_PAUSE = 0.005  # s; back to back a flush would wait for the one before it


def flushes(folder: Path, seconds: float) -> dict[str, float]:
    """Write 4 KiB in place and flush it, again and again; return p50, p99 and the longest in ms, and how many."""
    took: list[float] = []
    end = time.monotonic() + seconds
    file = os.open(folder / "flushed", os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        while time.monotonic() < end:
            began = time.perf_counter()
            os.pwrite(file, os.urandom(4096), 0)
            os.fdatasync(file)
            took.append((time.perf_counter() - began) * 1000)
            time.sleep(_PAUSE)
    finally:
        os.close(file)
    percentiles = statistics.quantiles(took, n=100, method="inclusive")
    return {"p50": percentiles[49], "p99": percentiles[98], "most": max(took), "flushes": len(took)}
