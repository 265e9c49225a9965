"""`make test` and `make lint`: every check there is, each with its name and its time, from fast to slow."""

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tools.console import ROOT, StepError, fail, run, say, step
from tools.demo import local_cluster, onboard

_BIN = Path(sys.executable).parent


def _tool(name: str) -> str:
    return str(_BIN / name)


def _report(name: str) -> str:
    """Return the option that keeps the results for `make traceability`."""
    return f"--junit-xml={ROOT / '.venv' / f'results-{name}.xml'}"


def lint() -> None:
    """Style, import rules, generated files, the lock."""
    with step("ruff: rules and format"):
        run([_tool("ruff"), "check", "."])
        run([_tool("ruff"), "format", "--check", "--quiet", "."])
    with step("import rules"):
        run([_tool("lint-imports")], quiet=True)
    with step("generated CRDs agree with the models, and the chart's copy with them"):
        run([sys.executable, "-m", "tenant_operator.api.crd", "crds", "--check"])
    with step("the lock agrees with pyproject.toml, is hashed and names no registry"):
        _check_lock()


def _check_lock() -> None:
    lock = ROOT / "requirements.lock"
    before = lock.read_text()
    fresh = ROOT / ".venv" / "requirements.fresh"
    fresh.write_text(before)
    run(
        [
            _tool("uv"), "pip", "compile", "--quiet", "--universal", "--generate-hashes", "--no-emit-index-url",
            "--all-extras", "--python-version", "3.11", "--custom-compile-command", "make lock",
            "pyproject.toml", "-o", str(fresh),
        ],
        quiet=True,
    )  # fmt: skip
    if fresh.read_text() != before:
        raise StepError("requirements.lock does not agree with pyproject.toml: run `make lock`")
    if "://" in before:
        raise StepError("requirements.lock names an address: it must not")


def types() -> None:
    """Types."""
    with step("mypy, strict"):
        run([_tool("mypy")])


def binaries() -> None:
    """Vault, versitygw and what else tests and cluster run: compiled once a machine."""
    with step("the programs that tests and cluster run (compiled once a machine, about twenty minutes on two cores)"):
        run([sys.executable, "-m", "localcluster", "build"])


def fast_tests() -> None:
    """Tests that need no cluster, only real servers of their own."""
    with step("tests without a cluster"):
        run([_tool("pytest"), "-m", "not cluster and not e2e", "--durations=10", _report("fast")])


def cluster_tests() -> None:
    """The local cluster, the demo's tenants on it, then the cluster and end-to-end tests."""
    env = local_cluster()
    with step("what the API server accepts of the chart and its admission policies"):
        houses = ["--ignore=tests/cluster", "--ignore=tests/e2e", "tests"]
        run([_tool("pytest"), "-m", "cluster or e2e", "-v", _report("server"), *houses], env=env)
    onboard(env)
    with step("tests on the real cluster"):
        report = _report("cluster")
        run(
            [_tool("pytest"), "-m", "cluster or e2e", "-v", "--durations=20", report, "tests/cluster", "tests/e2e"],
            env=env,
        )


def bridge() -> None:
    """A cluster that enforces no policy: its tenants must say so. It needs the machine for itself, so it comes last."""
    with step("the same tenant on a network that enforces nothing"):
        run([sys.executable, "-m", "tests.e2e.bridge"])


_SUITES: dict[str, tuple[Callable[[], None], ...]] = {
    "lint": (lint,),
    "fast": (lint, types, binaries, fast_tests),
    "unit": (binaries, fast_tests),
    "test": (lint, types, binaries, fast_tests, cluster_tests, bridge),
}


def main() -> int:
    """Run a suite."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite", choices=sorted(_SUITES))
    started = time.monotonic()
    os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    try:
        for check in _SUITES[parser.parse_args().suite]:
            check()
    except StepError as error:
        return fail(error)
    say(f"All checks passed after {time.monotonic() - started:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
