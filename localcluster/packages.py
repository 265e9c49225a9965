"""Debian's packages that the cluster is made of."""

from __future__ import annotations

import os
import time

from localcluster.console import step
from localcluster.errors import LocalClusterError
from localcluster.files import locked
from localcluster.paths import Layout
from localcluster.shell import CommandError, run

NEEDED = (
    "buildah",
    "clang-19",
    "conntrack",
    "containerd",
    "containernetworking-plugins",
    "curl",
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
    """Install what is missing.

    Where systemd starts containerd's own service, it does no harm: the nodes' have other sockets and folders.
    """
    if not missing():
        return
    if os.geteuid():
        raise LocalClusterError(f"missing packages: {', '.join(missing())}; run as root, or install them first")
    with locked(layout.cache / "locks" / "apt.lock", "installing packages"):
        names = missing()
        if not names:
            return
        with step(f"packages: {' '.join(names)}"):
            _update()
            run("apt-get", *_APT, "install", "-y", "--no-install-recommends", *names, env=_ENVIRONMENT, timeout=1800)


def _update() -> None:
    """Read the package lists; apt does not wait for another apt that is reading them, so we do."""
    end = time.monotonic() + 900
    while True:
        try:
            run("apt-get", *_APT, "update", env=_ENVIRONMENT, timeout=900)
        except CommandError as error:
            if "Could not get lock" not in error.output or time.monotonic() > end:
                raise
            time.sleep(3)
        else:
            return
