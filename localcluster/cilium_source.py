"""Cilium without its BGP speaker, whose dependency is not to be had, and without touching its source.

An overlay may replace files for the compiler, but not below the module cache; so the sources are
vendored into the cache, and there the BGP package's files are mapped to nothing and its cell to a
stub of ours that answers "not built in".
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from localcluster.shell import run

_MODULE = "github.com/cilium/cilium"


def prepare(work: Path, source: Path) -> tuple[Path, list[str]]:
    """Vendor the sources into `work`; give the folder and the flags to compile with."""
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(source, work)
    # `-e`: the BGP packages miss their dependency, which is the point.
    run("go", "mod", "vendor", "-e", cwd=work, timeout=1800)
    overlay = work / "overlay.json"
    overlay.write_text(json.dumps({"Replace": _replacements(work)}))
    return work, ["-mod=vendor", f"-overlay={overlay}"]


def _replacements(work: Path) -> dict[str, str]:
    package = work / "vendor" / _MODULE / "pkg" / "bgp"
    files = [path for path in package.rglob("*.go") if path.parent != package / "option"]
    gone = {str(path): "" for path in files}
    return gone | {str(package / "cell.go"): str(work / "stub" / "cell.go.txt")}


def copy_runtime_files(work: Path, out: Path) -> None:
    """Keep beside the agent what it reads when it runs: its BPF sources and its CRDs.

    They are data to Go, so vendoring leaves them out; the module cache has them.
    """
    module = Path(run("go", "list", "-mod=mod", "-m", "-f", "{{.Dir}}", _MODULE, cwd=work).strip())
    crds = module / "pkg" / "k8s" / "apis" / "cilium.io" / "client" / "crds"
    for origin, name in ((module / "bpf", "bpf"), (crds, "crds")):
        shutil.copytree(origin, out / name)
        for path in (out / name, *(out / name).rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
