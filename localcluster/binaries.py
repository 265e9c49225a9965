"""Compiling the tools once a machine.

A build lands in `<cache>/bin/<tool>-<hash of its inputs>/` by one rename, so that what is there is
whole, and a lock keeps two runs from compiling the same thing twice.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from localcluster import cilium_source, tools
from localcluster.console import say, step
from localcluster.errors import LocalClusterError
from localcluster.files import digest_files, link, locked
from localcluster.paths import Layout
from localcluster.shell import run
from localcluster.tools import Tool

PROGRESS_SECONDS = 15.0
GO_FLAGS = ("-trimpath", "-buildvcs=false")


def go_version() -> str:
    """Name the compiler, since another one makes another binary."""
    return run("go", "env", "GOVERSION", "GOOS", "GOARCH").replace("\n", " ").strip()


def cache_key(tool: Tool, compiler: str) -> str:
    """Name a build by everything that goes into it."""
    sources = [path for path in tool.source.rglob("*") if path.is_file()]
    flags = [*GO_FLAGS, tool.linker_flags, tool.tags, *(f"{name}={path}" for name, path in tool.packages.items())]
    return digest_files(sources, tool.source, compiler, *flags)[:16]


def folder(layout: Layout, tool: Tool, compiler: str) -> Path:
    """Give the place of a tool's binaries, built or not."""
    return layout.cache / "bin" / f"{tool.name}-{cache_key(tool, compiler)}"


def build_all(layout: Layout, workers: int) -> dict[str, Path]:
    """Build what is missing; give each program's place."""
    compiler = go_version()
    places: dict[str, Path] = {}
    for tool in tools.ALL:
        place = folder(layout, tool, compiler)
        if not place.is_dir():
            with locked(layout.cache / "locks" / f"{tool.name}.lock", f"compiling {tool.name}"):
                if not place.is_dir():
                    _build(layout, tool, place, workers)
        places |= {name: place / name for name in tool.packages}
    places["cilium-files"] = places["cilium-agent"].parent
    return places


def install_links(layout: Layout, places: dict[str, Path]) -> None:
    """Give people and containerd stable paths to the programs of this build."""
    for command in tools.KUBERNETES_COMMANDS:
        link(layout.bin / command, places["kubernetes"])
    link(layout.bin / "helm", places["helm"])
    link(layout.cni_bin / "cilium-cni", places["cilium-cni"])
    for plugin in ("loopback", "bridge", "host-local", "portmap"):
        link(layout.cni_bin / plugin, Path("/usr/lib/cni") / plugin)


def _build(layout: Layout, tool: Tool, place: Path, workers: int) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    for stale in place.parent.glob(f".{tool.name}-*"):
        shutil.rmtree(stale, ignore_errors=True)
    out = Path(tempfile.mkdtemp(prefix=f".{tool.name}-", dir=place.parent))
    out.chmod(0o755)
    log = layout.logs / f"build-{tool.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    try:
        with step(f"compiling {tool.name}"):
            module, flags = tool.source, ["-mod=readonly"]
            if tool is tools.CILIUM:
                module, flags = cilium_source.prepare(layout.cache / "work" / "cilium", tool.source)
                cilium_source.copy_runtime_files(module, out)
            for name, package in tool.packages.items():
                _compile(tool, module, [*flags, "-o", str(out / name), package], log, workers)
            out.rename(place)
    finally:
        shutil.rmtree(out, ignore_errors=True)


def _compile(tool: Tool, module: Path, arguments: list[str], log: Path, workers: int) -> None:
    command = ["nice", "-n", "10", "go", "build", "-v", "-p", str(workers), *GO_FLAGS, "-ldflags", tool.linker_flags]
    command += ["-tags", tool.tags] if tool.tags else []
    total = len(run("go", "list", "-deps", *_selection(tool, arguments), cwd=module).splitlines())
    with log.open("w") as handle:
        process = subprocess.Popen(
            [*command, *arguments],
            cwd=module,
            stdout=handle,
            stderr=handle,
            env={**os.environ, "CGO_ENABLED": "0"},
        )
        _show_progress(process, tool.name, total, log)
    if process.returncode:
        raise LocalClusterError(f"compiling {tool.name} failed ({process.returncode}); log: {log}\n{_errors(log)}")


def _selection(tool: Tool, arguments: list[str]) -> list[str]:
    """Keep the flags that decide which packages take part, and the package."""
    mode = [flag for flag in arguments if flag.startswith(("-mod=", "-overlay="))]
    return [*mode, *(["-tags", tool.tags] if tool.tags else []), arguments[-1]]


def _show_progress(process: subprocess.Popen[bytes], name: str, total: int, log: Path) -> None:
    """Say now and then how many packages are through; the link at the end prints nothing."""
    told = time.monotonic()
    try:
        while True:
            try:
                process.wait(timeout=0.5)
            except subprocess.TimeoutExpired:
                if time.monotonic() - told >= PROGRESS_SECONDS:
                    told = time.monotonic()
                    say(f"  {name}: {len(log.read_text().splitlines())} of at most {total} packages compiled")
            else:
                return
    except BaseException:
        process.terminate()
        process.wait()
        raise


def _errors(log: Path) -> str:
    """Leave out the names of packages, which are no errors."""
    lines = [line for line in log.read_text().splitlines() if not re.fullmatch(r"[\w./~@-]+", line)]
    return "\n".join(f"    {line[:300]}" for line in lines[-15:])
