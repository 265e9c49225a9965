"""The local cluster from outside, as people use it: the command line, the sample people, kubectl."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from tests.support.kubectl import KUBECONFIG, kubectl

ROOT = Path(__file__).resolve().parents[3]
STATE = Path(KUBECONFIG).parent
PATH = f"{Path(sys.executable).parent}:{STATE / 'bin'}:{os.environ['PATH']}"
os.environ["PATH"] = PATH
Seen = TypeVar("Seen")


@dataclass(frozen=True)
class Said:
    """What a command said."""

    command: tuple[str, ...]
    code: int
    out: str
    err: str

    def expect(self, *codes: int) -> "Said":
        """Return this if it ended as expected. Raises AssertionError with everything that was said."""
        wanted = codes or (0,)
        said = (
            f"{' '.join(self.command)} ended with {self.code}, not {wanted}\n--- out\n{self.out}\n--- err\n{self.err}"
        )
        assert self.code in wanted, said
        return self


def run(
    *command: str,
    env: Mapping[str, str] | None = None,
    without: tuple[str, ...] = (),
    seconds: int = 90,
    cwd: Path = ROOT,
    stdin: str | None = None,
) -> Said:
    """Run a command of the repository as a person would, with wide lines and no terminal."""
    plain = {"PATH": PATH, "KUBECONFIG": KUBECONFIG, "COLUMNS": "220", "NO_COLOR": "1", "TERM": "dumb"}
    around = {**os.environ, **plain, **(env or {})}
    for name in without:
        around.pop(name, None)
    done = subprocess.run(
        command, env=around, cwd=cwd, input=stdin or "", capture_output=True, text=True, check=False, timeout=seconds
    )
    return Said(command, done.returncode, done.stdout, done.stderr)


def cloister(*args: str, user: str | None = None, seconds: int = 90) -> Said:
    """Run `cloister`, as another person of the local cluster if asked."""
    env = {"KUBECONFIG": str(STATE / f"{user}.kubeconfig")} if user else None
    return run("cloister", *args, env=env, seconds=seconds)


@cache
def password() -> str:
    """Return the one password of all the sample people."""
    said = run(sys.executable, "-m", "localcluster", "people", "--json").expect()
    return str(json.loads(said.out)[0]["password"])


def read(*args: str) -> dict[str, Any]:
    """Return `kubectl get ARGS` as an object."""
    found: dict[str, Any] = json.loads(kubectl("get", *args, "-o", "json"))
    return found


def conditions(found: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return an object's conditions by type."""
    return {item["type"]: item for item in (found.get("status") or {}).get("conditions", [])}


def until(what: str, look: Callable[[], Seen], seconds: float, every: float = 0.5) -> Seen:
    """Look until something true is seen; return it. Raises AssertionError with the last look and error."""
    deadline, last = time.monotonic() + seconds, "nothing"
    while True:
        try:
            found = look()
        except (AssertionError, OSError) as error:
            last = str(error)
        else:
            if found:
                return found
            last = repr(found)
        if time.monotonic() > deadline:
            raise AssertionError(f"not seen within {seconds:.0f} s: {what}; the last look: {last}")
        time.sleep(every)
