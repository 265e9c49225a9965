"""Progress for people and for logs: one line a step, with its time; no terminal is needed."""

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class StepError(Exception):
    """A step failed; the message says what to look at."""


def say(text: str = "") -> None:
    """Print a line at once."""
    print(text, flush=True)  # noqa: T201 - this is a command line tool


@contextmanager
def step(title: str) -> Iterator[None]:
    """Announce a step and say how long it took."""
    say(f"▸ {title}")
    started = time.monotonic()
    yield
    say(f"  ✓ {title} ({time.monotonic() - started:.1f} s)")


def run(command: Sequence[str], *, env: Mapping[str, str] | None = None, quiet: bool = False) -> str:
    """Run a command of the repository. Its output is shown as it comes, or with `quiet` returned. Raises StepError."""
    done = subprocess.run(
        list(command), cwd=ROOT, env=dict(env) if env else None, check=False, text=True,
        stdout=subprocess.PIPE if quiet else None, stderr=subprocess.PIPE if quiet else None,
    )  # fmt: skip
    if done.returncode:
        said = f"\n{done.stdout}{done.stderr}" if quiet else ""
        raise StepError(f"{' '.join(command)} ended with code {done.returncode}{said}")
    return done.stdout or ""


def fail(error: StepError) -> int:
    """Say what failed and return the exit code."""
    sys.stderr.write(f"\n✗ {error}\n")
    return 1
