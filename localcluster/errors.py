"""What can go wrong, said so that a person knows where to look."""

from __future__ import annotations

from pathlib import Path


class LocalClusterError(Exception):
    """A failure with a message for a person; the command line prints it without a traceback."""


def tail(log: Path, lines: int = 12) -> str:
    """Give the end of a log, indented, for an error message."""
    try:
        content = log.read_text(errors="replace").splitlines()[-lines:]
    except OSError:
        return "    (no log yet)"
    return "\n".join(f"    {line[:400]}" for line in content) or "    (empty log)"
