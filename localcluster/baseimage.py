"""The base of every image built here: Debian by debootstrap, from the machine's own mirror.

It offers what the official Python image offers (`python`, `pip`, CA certificates), so the same
Dockerfile builds on either.
"""

from __future__ import annotations

import hashlib
import shutil
import tarfile
from pathlib import Path

from localcluster.console import step
from localcluster.errors import LocalClusterError
from localcluster.files import locked
from localcluster.paths import Layout
from localcluster.shell import run

SUITE = "bookworm"
_PACKAGES = ("ca-certificates", "python3", "python3-pip", "python3-venv", "tzdata")
_RECIPE = "2"  # raise it when the steps below change what comes out
_NEEDLESS = ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale")


def cache_key() -> str:
    """Name the base by its recipe; the mirror is the machine's, and not part of it."""
    return hashlib.sha256(f"{SUITE} {_PACKAGES} {_NEEDLESS} {_RECIPE}".encode()).hexdigest()[:12]


def build(layout: Layout) -> Path:
    """Give the base's file system as a tar archive, made if it is missing."""
    archive = layout.cache / "images" / f"base-{cache_key()}.tar"
    if archive.exists():
        return archive
    with locked(layout.cache / "locks" / "base.lock", "the base image"):
        if not archive.exists():
            archive.parent.mkdir(parents=True, exist_ok=True)
            with step(f"base image: debootstrap {SUITE}"):
                _bootstrap(layout, archive)
    return archive


def mirrors(suite: str = SUITE) -> list[tuple[str, str]]:
    """Read the machine's own apt configuration: (address, suite) of everything for the release."""
    text = run("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages")
    rows = {tuple(line.split()) for line in text.splitlines() if len(line.split()) == 3}  # noqa: PLR2004
    return sorted({(row[0], row[1]) for row in rows if row[2] == "main" and row[1].startswith(suite)})


def _bootstrap(layout: Layout, archive: Path) -> None:
    sources = mirrors()
    mirror = next((address for address, suite in sources if suite == SUITE), None)
    if mirror is None:
        raise LocalClusterError(f"apt on this machine knows no mirror of Debian {SUITE}; run apt-get update and look")
    root = layout.cache / "work" / "base"
    shutil.rmtree(root, ignore_errors=True)
    root.parent.mkdir(parents=True, exist_ok=True)
    include = f"--include={','.join(_PACKAGES)}"
    run("nice", "-n", "10", "debootstrap", "--variant=minbase", include, SUITE, root, mirror, timeout=1800)
    lines = [f"deb {address} {suite} main\n" for address, suite in sources]
    (root / "etc/apt/sources.list").write_text("".join(lines))
    proxies = [line for line in run("apt-config", "dump").splitlines() if "::Proxy" in line]
    (root / "etc/apt/apt.conf.d/90local").write_text("\n".join([*proxies, 'APT::Install-Recommends "false";', ""]))
    (root / "usr/local/bin/python").symlink_to("/usr/bin/python3")
    # As in the official image: pip may install into the system, which holds nothing else.
    for marker in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
        marker.unlink()
    for folder in _NEEDLESS:
        _empty(root / folder)
    temporary = archive.with_suffix(".part")
    with tarfile.open(temporary, "w") as tar:
        tar.add(root, arcname=".")
    temporary.rename(archive)
    shutil.rmtree(root, ignore_errors=True)


def _empty(folder: Path) -> None:
    for child in folder.iterdir() if folder.is_dir() else ():
        if child.is_dir() and not child.is_symlink():
            shutil.rmtree(child)
        else:
            child.unlink()
