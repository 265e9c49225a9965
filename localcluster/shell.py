"""Running other programs: never through a shell, never without reading how it ended."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from localcluster.errors import LocalClusterError


class CommandError(LocalClusterError):
    """A program ended with an error."""

    def __init__(self, command: Sequence[str], code: int, output: str) -> None:
        shown = " ".join(command)
        super().__init__(f"{shown[:300]}\n  ended with {code}: {output.strip()[-2000:]}")
        self.output = output


def run(
    *command: object,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    check: bool = True,
    timeout: float = 600,
) -> str:
    """Run a program and give what it printed; both streams are in the error when it fails."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words,
            input=stdin,
            env={**os.environ, **env} if env else None,
            cwd=cwd,
            check=False,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
    except FileNotFoundError as error:
        raise LocalClusterError(f"{words[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise LocalClusterError(f"{' '.join(words)[:300]}: no end after {timeout:.0f}s") from error
    if check and done.returncode:
        raise CommandError(words, done.returncode, done.stderr + done.stdout)
    return done.stdout


def succeeds(*command: object) -> bool:
    """Tell whether a program ends well; for questions, not for work."""
    return not subprocess.run([str(word) for word in command], check=False, capture_output=True).returncode
