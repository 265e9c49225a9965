"""The wires between the nodes: a bridge in the machine's network namespace, a cable a node.

A node is a process that does nothing but hold a network and a mount namespace open. Everything of
the node runs inside them, so mounts, links and routes vanish with the node's last process: a
machine whose processes were all killed has nothing to clean but the bridge and empty cgroups.
"""

from __future__ import annotations

import json
from pathlib import Path

from localcluster import facts
from localcluster.errors import LocalClusterError
from localcluster.facts import Node
from localcluster.files import write
from localcluster.paths import Layout
from localcluster.processes import Processes, Record
from localcluster.shell import run, succeeds
from localcluster.waiting import Seen, wait_for

_CGROUPS = Path("/sys/fs/cgroup")
_V1_CONTROLLERS = ("cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "systemd")

# Run once inside a fresh node. /sys must show the node's own network devices, with the machine's
# cgroups kept below it; /run and the BPF file system are the node's own.
_SETUP = r"""
mount --make-rprivate /
mkdir -p "$RUN/$NODE" "$DIR/cgroup" "$DIR/cilium-run" "$DIR/device-plugins"
mount --rbind /sys/fs/cgroup "$DIR/cgroup"
mount -t sysfs sysfs /sys
mount --rbind "$DIR/cgroup" /sys/fs/cgroup
umount -l "$DIR/cgroup"
mount -t bpf bpffs /sys/fs/bpf
mkdir -p /run/cilium /run/netns
mount --bind "$DIR/cilium-run" /run/cilium
mount -t tmpfs tmpfs /run/netns
mkdir -p /run/cilium/cgroupv2
# The one place of the kubelet that no setting moves. In one shared folder, one kubelet removes the
# other's socket as it starts, or finds it there and ends ("address already in use").
mkdir -p /var/lib/kubelet/device-plugins
mount --bind "$DIR/device-plugins" /var/lib/kubelet/device-plugins
# Volumes that a pod mounts inside a volume must reach the pods that share it.
mount --make-rshared /
sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 \
  net.ipv4.conf.all.route_localnet=1
sysctl -qw net.bridge.bridge-nf-call-iptables=1 || true
ip link set lo up
ip addr add "$ADDRESS" dev eth0
ip link set eth0 up
ip route add default via "$GATEWAY"
"""


def up(layout: Layout, processes: Processes) -> bool:
    """Make the bridge and the nodes; tell whether anything was missing."""
    changed = _bridge()
    for node in facts.NODES:
        if not _is_whole(layout, processes, node):
            _make_node(layout, processes, node)
            changed = True
        _cgroup(layout.cgroup(node))
    return changed


def enter(holder: Record) -> list[str]:
    """Give the words that put a program inside a node."""
    return ["nsenter", f"--net=/proc/{holder.pid}/ns/net", f"--mount=/proc/{holder.pid}/ns/mnt", "--"]


def holder_name(node: Node) -> str:
    """Name the process that is the node."""
    return f"{node.name}-holder"


def route_pods(node: Node, pod_cidr: str) -> None:
    """Let the API server, the relay and people reach a node's pods."""
    run("ip", "route", "replace", pod_cidr, "via", node.address, "dev", facts.BRIDGE, "src", facts.GATEWAY)


def route_services() -> None:
    """Let service addresses leave by the bridge, with the address that policies know as ours."""
    run("ip", "route", "replace", facts.SERVICE_CIDR, "dev", facts.BRIDGE, "src", facts.GATEWAY)


def _bridge() -> bool:
    made = not succeeds("ip", "link", "show", facts.BRIDGE)
    if made:
        _make_bridge()
    # Also of one that is there: an interrupted start may have made it and no more.
    run("ip", "addr", "replace", f"{facts.GATEWAY}/{facts.UNDERLAY.prefixlen}", "dev", facts.BRIDGE)
    run("ip", "link", "set", facts.BRIDGE, "up")
    return made


def _make_bridge() -> None:
    owners = [item["ifname"] for item in json.loads(run("ip", "-j", "-4", "addr")) if _overlaps(item)]
    if owners:
        raise LocalClusterError(
            f"{facts.UNDERLAY} is in use on this machine by {', '.join(owners)}: the local cluster needs it free"
        )
    run("ip", "link", "add", facts.BRIDGE, "type", "bridge")


def _overlaps(item: dict[str, list[dict[str, str]]]) -> bool:
    prefix = str(facts.UNDERLAY.network_address).rpartition(".")[0] + "."
    return any(address.get("local", "").startswith(prefix) for address in item.get("addr_info", []))


def _marker(layout: Layout, node: Node) -> Path:
    return layout.run / f"{node.name}.whole"


def _identity(holder: Record) -> str:
    return f"{holder.boot} {holder.pid} {holder.start_ticks}\n"


def _is_whole(layout: Layout, processes: Processes, node: Node) -> bool:
    """A node whose setup was interrupted is made anew rather than repaired."""
    holder = processes.alive(holder_name(node))
    marker = _marker(layout, node)
    return holder is not None and marker.exists() and marker.read_text() == _identity(holder)


def _make_node(layout: Layout, processes: Processes, node: Node) -> None:
    processes.stop(holder_name(node))
    if succeeds("ip", "link", "show", node.link):
        run("ip", "link", "del", node.link, check=False)
    processes.start(
        holder_name(node),
        ["sleep", "infinity"],
        prefix=["unshare", "--net", "--mount", "--propagation", "private"],
    )
    holder = _ready_holder(processes, node)
    run("ip", "link", "add", node.link, "type", "veth", "peer", "name", "eth0", "netns", holder.pid_text)
    run("ip", "link", "set", node.link, "master", facts.BRIDGE, "up")
    directory = layout.node(node)
    directory.mkdir(parents=True, exist_ok=True)
    environment = {
        "RUN": str(layout.run),
        "NODE": node.name,
        "DIR": str(directory),
        "ADDRESS": f"{node.address}/{facts.UNDERLAY.prefixlen}",
        "GATEWAY": str(facts.GATEWAY),
    }
    run(*enter(holder), "sh", "-eu", "-c", _SETUP, env=environment)
    write(_marker(layout, node), _identity(holder))


def _ready_holder(processes: Processes, node: Node) -> Record:
    """Wait until the holder has left our own namespaces."""
    ours = Path("/proc/self/ns/net").readlink()

    def look() -> Seen:
        holder = processes.require(holder_name(node))
        return Seen(Path(f"/proc/{holder.pid}/ns/net").readlink() != ours, "still in our network namespace")

    wait_for(f"{node.name}'s namespaces", look, seconds=10, every=0.02)
    return processes.require(holder_name(node))


def _cgroup(name: str) -> None:
    if (_CGROUPS / "cgroup.controllers").exists():
        wanted = "+cpu +cpuset +memory +pids +io"
        (_CGROUPS / "cgroup.subtree_control").write_text(wanted)
        (_CGROUPS / name).mkdir(exist_ok=True)
        (_CGROUPS / name / "cgroup.subtree_control").write_text(wanted)
        return
    for controller in _V1_CONTROLLERS:
        if not (_CGROUPS / controller).is_dir():
            raise LocalClusterError(f"the machine has no cgroup controller {controller}; the kubelet needs it")
        (_CGROUPS / controller / name).mkdir(exist_ok=True)
    for file in ("cpuset.cpus", "cpuset.mems"):
        # A v1 cpuset starts empty, and takes no process until it is given processors and memory.
        (_CGROUPS / "cpuset" / name / file).write_text((_CGROUPS / "cpuset" / file).read_text())
