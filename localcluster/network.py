"""The two pod networks: Cilium, which enforces policies, and a plain bridge, which enforces nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from localcluster import facts
from localcluster.api import Api, load_yaml, read_yaml
from localcluster.credentials import cilium_user
from localcluster.facts import Node
from localcluster.files import link, write
from localcluster.paths import HOUSE, Layout
from localcluster.processes import Processes
from localcluster.shell import run
from localcluster.underlay import enter, holder_name
from localcluster.waiting import Seen, wait_for


def agent_name(node: Node) -> str:
    """Name a node's network agent among our processes."""
    return f"{node.name}-cilium"


def install_cilium_objects(api: Api, files: Path) -> None:
    """Install the agents' CRDs and rights; no operator runs, so nobody else would."""
    known = {item["metadata"]["name"] for item in api.items("CustomResourceDefinition")}
    manifests = {path: f"{path.stem}.cilium.io" for path in sorted((files / "crds").rglob("*.yaml"))}
    for path, name in manifests.items():
        if name not in known:
            api.apply(*read_yaml(path.read_text()))
    api.apply(*load_yaml(HOUSE / "manifests" / "cilium-rbac.yaml"))


def start_cilium(layout: Layout, processes: Processes, node: Node, files: Path) -> bool:
    """Start the node's agent; it writes its state below the node's own /run/cilium."""
    directory = layout.node(node)
    library = directory / "cilium-lib"
    edition = library / "edition"
    if not edition.exists() or edition.read_text() != files.name:
        shutil.rmtree(library, ignore_errors=True)
        shutil.copytree(files / "bpf", library / "bpf")
        write(edition, files.name)
    link(directory / "cilium-path" / "clang", Path("/usr/bin/clang-19"))
    flags = {
        "--k8s-kubeconfig-path": layout.kubeconfig(cilium_user(node).name),
        "--k8s-namespace": "kube-system",
        "--cluster-name": "default",
        "--cluster-id": "0",
        "--ipam": "kubernetes",
        "--k8s-require-ipv4-pod-cidr": "true",
        "--enable-ipv4": "true",
        "--enable-ipv6": "false",
        "--enable-ipv4-masquerade": "false",
        "--routing-mode": "native",
        "--auto-direct-node-routes": "true",
        "--ipv4-native-routing-cidr": facts.POD_CIDR,
        "--devices": "eth0",
        "--kube-proxy-replacement": "false",
        "--enable-l7-proxy": "false",
        "--enable-hubble": "false",
        "--enable-health-checking": "false",
        "--enable-endpoint-health-checking": "false",
        "--identity-allocation-mode": "crd",
        "--enable-policy": "default",
        "--lib-dir": library,
        "--state-dir": "/run/cilium",
        "--bpf-root": "/sys/fs/bpf",
        "--cgroup-root": "/run/cilium/cgroupv2",
        "--socket-path": "/run/cilium/cilium.sock",
        "--agent-health-port": "9879",
        "--gops-port": "0",
    }
    return processes.start(
        agent_name(node),
        [files / "cilium-agent", *(f"{name}={value}" for name, value in flags.items())],
        prefix=enter(processes.require(holder_name(node))),
        env={
            "K8S_NODE_NAME": node.name,
            "PATH": f"{directory / 'cilium-path'}:/usr/sbin:/usr/bin:/sbin:/bin",
        },
    )


def wait_cilium(layout: Layout, processes: Processes, node: Node) -> None:
    """Wait for the agent's socket, then let containerd know the plugin."""
    socket = layout.node(node) / "cilium-run" / "cilium.sock"

    def look() -> Seen:
        processes.require(agent_name(node))
        return Seen(socket.exists(), f"no {socket}")

    wait_for(f"the Cilium agent of {node.name}", look, seconds=120, log=layout.log(agent_name(node)))
    configuration = {
        "cniVersion": "0.3.1",
        "name": "cilium",
        "plugins": [{"type": "cilium-cni", "enable-debug": False, "log-file": "/run/cilium/cilium-cni.log"}],
    }
    write(layout.node(node) / "cni" / "05-cilium.conflist", json.dumps(configuration))


def configure_bridge(layout: Layout, processes: Processes, node: Node, cidrs: dict[str, str]) -> None:
    """Give the node a bridge for its pods and routes to the other nodes' pods."""
    holder = processes.require(holder_name(node))
    for other in facts.NODES:
        if other is not node:
            run(*enter(holder), "ip", "route", "replace", cidrs[other.name], "via", other.address)
    configuration = {
        "cniVersion": "0.4.0",
        "name": "bridge",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": True,
                "ipMasq": False,
                "hairpinMode": True,
                "ipam": {
                    "type": "host-local",
                    "dataDir": str(layout.node(node) / "ipam"),
                    "ranges": [[{"subnet": cidrs[node.name]}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }
    write(layout.node(node) / "cni" / "10-bridge.conflist", json.dumps(configuration))
