"""Cleaning up: what a killed session or an ended cluster leaves in the kernel.

Nothing here goes by a process's name. A process belongs to a node when it lives in the node's
namespaces or below the node's cgroup, and only then may it be ended.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from localcluster import facts
from localcluster.console import say
from localcluster.facts import Node
from localcluster.paths import Layout
from localcluster.processes import Processes
from localcluster.shell import run, succeeds

_CGROUPS = Path("/sys/fs/cgroup")


def clean_stale(layout: Layout, processes: Processes) -> None:
    """Forget dead processes, and take down whatever of a node has lost its holder."""
    dead = processes.forget_dead()
    if dead and not processes.records():
        say(f"leftovers: an earlier cluster's {len(dead)} processes have all ended; cleaning what they left")
        remove_kernel_objects(layout)
    elif dead:
        say(f"leftovers: no longer running: {', '.join(dead)}")


def end_node(layout: Layout, processes: Processes, node: Node) -> None:
    """End everything that runs in a node: what we started, what containerd started, the pods."""
    for program in ("kubelet", "cilium", "kube-proxy"):
        processes.stop(f"{node.name}-{program}")
    spaces = _namespaces(processes, node)
    _kill_all(lambda: _cgroup_members(layout, node))
    processes.stop(f"{node.name}-containerd")
    if spaces:
        _kill_all(lambda: _namespace_members(spaces))
    processes.stop(f"{node.name}-holder")
    _remove_node_objects(layout, node)


def remove_kernel_objects(layout: Layout) -> None:
    """Remove links, routes, rules, cgroups and mounts that carry our names."""
    for node in facts.NODES:
        _kill_all(lambda node=node: _cgroup_members(layout, node))  # type: ignore[misc]
        _remove_node_objects(layout, node)
    if succeeds("ip", "link", "show", facts.BRIDGE):
        run("ip", "link", "del", facts.BRIDGE)
    for family in ("ip", "ip6"):
        # Only the cluster's own kube-proxy in the machine's namespace makes this table.
        if succeeds("nft", "list", "table", family, "kube-proxy"):
            run("nft", "delete", "table", family, "kube-proxy")
    _unmount_below(layout.state)
    _unmount_below(layout.run)


def remaining(layout: Layout) -> list[str]:
    """List what is still there of a cluster, for `down` to prove that nothing is."""
    found = [f"interface {name}" for name in _links() if name == facts.BRIDGE or name.startswith("cln-")]
    found += [f"mount {place}" for place in _mounts() if _below(place, layout.state) or _below(place, layout.run)]
    found += [f"cgroup {path}" for node in facts.NODES for path in _cgroup_roots(layout, node)]
    found += [f"process {pid}" for node in facts.NODES for pid in _cgroup_members(layout, node)]
    found += [f"nft table {family} kube-proxy" for family in ("ip", "ip6") if _has_table(family)]
    return found


def _links() -> list[str]:
    return [path.name for path in Path("/sys/class/net").iterdir()]


def _has_table(family: str) -> bool:
    return succeeds("nft", "list", "table", family, "kube-proxy")


def _remove_node_objects(layout: Layout, node: Node) -> None:
    if node.link in _links():
        run("ip", "link", "del", node.link, check=False)
    end = time.monotonic() + 5
    while (roots := _cgroup_roots(layout, node)) and time.monotonic() < end:
        for root in roots:
            # os.walk, because groups vanish while they are listed, and pathlib's walk ends with an error then.
            for folder, _, _ in os.walk(root, topdown=False):
                with suppress(OSError):
                    Path(folder).rmdir()
    (layout.run / f"{node.name}.whole").unlink(missing_ok=True)


def _cgroup_roots(layout: Layout, node: Node) -> list[Path]:
    return [
        path for path in (*_CGROUPS.glob(f"*/{layout.cgroup(node)}"), _CGROUPS / layout.cgroup(node)) if path.is_dir()
    ]


def _cgroup_members(layout: Layout, node: Node) -> set[int]:
    members: set[int] = set()
    for root in _cgroup_roots(layout, node):
        for folder, _, _ in os.walk(root):  # which passes over groups that vanish meanwhile
            with suppress(OSError):
                members |= {int(line) for line in (Path(folder) / "cgroup.procs").read_text().split()}
    return members - {0}


def _namespaces(processes: Processes, node: Node) -> set[Path]:
    """Give the node's two namespaces, which no process outside the node can be in."""
    holder = processes.alive(f"{node.name}-holder")
    if holder is None:
        return set()
    own = {Path(f"/proc/self/ns/{kind}").readlink() for kind in ("net", "mnt")}
    return {Path(f"/proc/{holder.pid}/ns/{kind}").readlink() for kind in ("net", "mnt")} - own


def _namespace_members(spaces: set[Path]) -> set[int]:
    members = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if {(folder / "ns" / kind).readlink() for kind in ("net", "mnt")} & spaces:
                members.add(int(folder.name))
    return members


def _kill_all(find: Callable[[], set[int]]) -> None:
    """Kill until none is found: a dying runtime may still start a child."""
    for _ in range(50):
        found = find()
        if not found:
            return
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)


def _mounts() -> list[Path]:
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return [Path(line.split()[1].encode().decode("unicode_escape")) for line in lines]


def _below(place: Path, folder: Path) -> bool:
    return place != folder and place.is_relative_to(folder)


def _unmount_below(folder: Path) -> None:
    for place in sorted(_mounts(), reverse=True):
        if _below(place, folder):
            run("umount", "-l", place, check=False)
