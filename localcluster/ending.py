"""Taking the cluster down, and proving that nothing of it is left."""

from __future__ import annotations

import shutil

from localcluster import facts, leftovers
from localcluster.console import say, step
from localcluster.errors import LocalClusterError
from localcluster.paths import Layout
from localcluster.processes import Processes


def down(layout: Layout, *, wipe: bool) -> None:
    """End the cluster; with `wipe`, forget it too."""
    processes = Processes(layout)
    for name in ("relay", "kube-proxy", "kube-scheduler", "kube-controller-manager"):
        processes.stop(name)
    for node in facts.NODES:
        with step(f"ending {node.name}"):
            leftovers.end_node(layout, processes, node)
    for name in ("kube-apiserver", "etcd"):
        processes.stop(name, seconds=4)
    for record in processes.records():
        processes.stop(record.name)
    leftovers.remove_kernel_objects(layout)
    left = leftovers.remaining(layout)
    if left:
        raise LocalClusterError("still there after taking everything down:\n  " + "\n  ".join(left))
    if wipe:
        _wipe(layout)
    say("down: no process, mount, interface or cgroup of the cluster is left" + (", and no data" if wipe else ""))


def _wipe(layout: Layout) -> None:
    """Delete the state; the cache stays, it belongs to the machine."""
    for folder in (layout.state, layout.run):
        if folder.exists():
            shutil.rmtree(folder)
