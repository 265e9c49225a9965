"""Debian's packages that the cluster is made of."""

from __future__ import annotations

import os

from localcluster.console import step
from localcluster.errors import LocalClusterError
from localcluster.files import locked
from localcluster.paths import Layout
from localcluster.shell import run

NEEDED = (
    "buildah",
    "clang-19",
    "conntrack",
    "containerd",
    "containernetworking-plugins",
    "debootstrap",
    "iproute2",
    "kmod",
    "nftables",
    "procps",
    "runc",
    "util-linux",
)
# apt itself waits for the lock of another apt, if it is told to.
_APT = ("-q", "-o", "DPkg::Lock::Timeout=900", "-o", "Acquire::Retries=3")
_ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive"}


def missing() -> list[str]:
    """Name the packages that are not installed."""
    listed = run("dpkg-query", "-W", "-f", "${Package} ${db:Status-Abbrev}\n", *NEEDED, check=False)
    installed = {line.split()[0] for line in listed.splitlines() if line.split()[1:2] == ["ii"]}
    return [name for name in NEEDED if name not in installed]


def install(layout: Layout) -> None:
    """Install what is missing. Services of the packages stay off: the cluster starts its own."""
    if not missing():
        return
    if os.geteuid():
        raise LocalClusterError(f"missing packages: {', '.join(missing())}; run as root, or install them first")
    with locked(layout.cache / "locks" / "apt.lock", "installing packages"):
        names = missing()
        if not names:
            return
        with step(f"packages: {' '.join(names)}"):
            run("apt-get", *_APT, "update", env=_ENVIRONMENT, timeout=900)
            run("apt-get", *_APT, "install", "-y", "--no-install-recommends", *names, env=_ENVIRONMENT, timeout=1800)
