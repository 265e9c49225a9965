"""The programs of a node: containerd, the kubelet and kube-proxy."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

from localcluster import facts
from localcluster.api import Api
from localcluster.credentials import Credentials
from localcluster.facts import Node
from localcluster.files import write
from localcluster.paths import Layout
from localcluster.processes import Processes
from localcluster.shell import run
from localcluster.underlay import enter, holder_name
from localcluster.waiting import Seen, wait_for

_HEALTH_PORT = 21048
_CONTAINERD = """\
version = 2
root = "{store}"
state = "{run}"
[grpc]
  address = "{socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{store}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  disable_apparmor = true
  # Without CAP_SYS_RESOURCE runc could not lower the score and would die.
  restrict_oom_score_adj = true
  max_container_log_line_size = 262144
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni_bin}"
    conf_dir = "{cni_conf}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
"""


def containerd_name(node: Node) -> str:
    """Name a node's container runtime among our processes."""
    return f"{node.name}-containerd"


def kubelet_name(node: Node) -> str:
    """Name a node's kubelet among our processes."""
    return f"{node.name}-kubelet"


def start_containerd(layout: Layout, processes: Processes, node: Node, pause_image: str) -> bool:
    """Start the node's container runtime and wait until it answers."""
    directory = layout.node(node)
    configuration = _CONTAINERD.format(
        store=directory / "containerd",
        run=layout.run / node.name,
        socket=layout.containerd_socket(node),
        pause=pause_image,
        cni_bin=layout.cni_bin,
        cni_conf=directory / "cni",
    )
    changed = write(directory / "containerd.toml", configuration)
    (directory / "cni").mkdir(exist_ok=True)
    name = containerd_name(node)
    if changed:
        processes.stop(name)
    holder = processes.require(holder_name(node))
    command: list[str | Path] = ["containerd", "--config", directory / "containerd.toml"]
    started = processes.start(name, command, prefix=enter(holder))

    def look() -> Seen:
        processes.require(name)
        return _runtime_answers(layout.containerd_socket(node))

    if started:
        wait_for(f"containerd of {node.name}", look, seconds=120, log=layout.log(name))
    return started


def _runtime_answers(socket: Path) -> Seen:
    """Ask the container runtime interface for its version, as the kubelet does, which ends when this fails.

    `ctr version` is answered at once, but this only after containerd has recovered what it finds of earlier
    pods: six seconds with sixty of them. One gRPC call without a body is five zeros over HTTP/2.
    """
    answer = run(
        "curl", "--silent", "--max-time", "5", "--http2-prior-knowledge", "--unix-socket", socket,
        "--header", "content-type: application/grpc", "--header", "te: trailers", "--data-binary", "@-",
        "--dump-header", "-", "--output", "-", "http://localhost/runtime.v1.RuntimeService/Version",
        stdin="\0" * 5, check=False,
    )  # fmt: skip
    reason = [line.removeprefix("grpc-message:").strip() for line in answer.splitlines() if "grpc-message" in line]
    return Seen("grpc-status: 0" in answer, next(iter(reason), "no answer on its socket"))


def _kubelet_configuration(layout: Layout, keys: Credentials, node: Node) -> dict[str, object]:
    socket = f"unix://{layout.containerd_socket(node)}"
    pair = keys.kubelets[node.name]
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{layout.cgroup(node)}",
        "cgroupsPerQOS": True,
        "enforceNodeAllocatable": [],
        "failSwapOn": False,
        "containerRuntimeEndpoint": socket,
        "imageServiceEndpoint": socket,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(keys.cluster_ca.certificate)},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(pair.certificate),
        "tlsPrivateKeyFile": str(pair.key),
        "clusterDNS": [str(facts.CLUSTER_DNS)],
        "clusterDomain": "cluster.local",
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        # An image that is collected cannot be fetched again: there is no registry.
        "imageGCHighThresholdPercent": 100,
        "imageMaximumGCAge": "0s",
        "resolvConf": "/etc/resolv.conf",
        "podLogsDir": str(layout.node(node) / "pod-logs"),
        "containerLogMaxSize": "10Mi",
        "containerLogMaxFiles": 3,
        "address": str(node.address),
        "port": 10250,
        "healthzPort": _HEALTH_PORT,
        "maxPods": 200,
        "nodeStatusUpdateFrequency": "5s",
        "nodeLeaseDurationSeconds": 20,
    }


def start_kubelet(layout: Layout, processes: Processes, keys: Credentials, node: Node) -> bool:
    """Start the node's kubelet."""
    directory = layout.node(node)
    (directory / "pod-logs").mkdir(exist_ok=True)
    path = directory / "kubelet.json"
    changed = write(path, json.dumps(_kubelet_configuration(layout, keys, node), indent=2))
    if changed:
        processes.stop(kubelet_name(node))
    labels = {"topology.kubernetes.io/region": node.region, "topology.kubernetes.io/zone": node.zone}
    command: list[str | Path] = [
        layout.bin / "kubelet",
        f"--config={path}",
        f"--kubeconfig={layout.kubeconfig(node.name)}",
        f"--hostname-override={node.name}",
        f"--node-ip={node.address}",
        f"--root-dir={directory / 'kubelet'}",
        f"--cert-dir={directory / 'kubelet-certs'}",
        f"--node-labels={','.join(f'{key}={value}' for key, value in labels.items())}",
    ]
    return processes.start(kubelet_name(node), command, prefix=enter(processes.require(holder_name(node))))


def start_kube_proxies(layout: Layout, processes: Processes) -> bool:
    """Start one kube-proxy a node, and one for the machine itself.

    The machine's own lets the API server, the relay and people use service addresses, and leaves
    their source address alone.
    """
    changed = [
        processes.start(
            f"{node.name}-kube-proxy",
            _kube_proxy(layout, node, "127.0.0.1:10249", f"{node.address}:10256"),
            prefix=enter(processes.require(holder_name(node))),
        )
        for node in facts.NODES
    ]
    machine = _kube_proxy(layout, facts.NODES[0], "127.0.0.1:20249", "127.0.0.1:20256")
    return processes.start("kube-proxy", machine) or any(changed)


def _kube_proxy(layout: Layout, node: Node, metrics: str, health: str) -> list[str]:
    return [
        str(layout.bin / "kube-proxy"),
        f"--kubeconfig={layout.kubeconfig('system:kube-proxy')}",
        "--proxy-mode=nftables",
        f"--cluster-cidr={facts.POD_CIDR}",
        f"--hostname-override={node.name}",
        f"--metrics-bind-address={metrics}",
        f"--healthz-bind-address={health}",
        "--conntrack-max-per-core=0",
        "--conntrack-tcp-timeout-established=0",
        "--conntrack-tcp-timeout-close-wait=0",
    ]


def pod_cidr(api: Api, processes: Processes, layout: Layout, node: Node) -> str:
    """Wait until the controller manager has given the node its pod addresses."""

    def look() -> Seen:
        processes.require(kubelet_name(node))
        found = api.get("Node", node.name)
        return Seen(bool(found and found["spec"].get("podCIDR")), "no Node object" if found is None else "no podCIDR")

    wait_for(f"{node.name} to register", look, seconds=60, log=layout.log(kubelet_name(node)))
    found = api.get("Node", node.name) or {}
    return str(found["spec"]["podCIDR"])


def wait_ready(api: Api, processes: Processes, layout: Layout) -> None:
    """Wait until every node says it is ready, and has said so since its kubelet was started."""
    since = {node.name: _started(layout, node) for node in facts.NODES}
    for node in facts.NODES:

        def look(node: Node = node) -> Seen:
            processes.require(kubelet_name(node))
            found = api.get("Node", node.name)
            for condition in (found or {}).get("status", {}).get("conditions", []):
                if condition["type"] == "Ready":
                    if condition["lastHeartbeatTime"] < since[node.name]:
                        return Seen(ok=False, detail=f"last heard of at {condition['lastHeartbeatTime']}")
                    return Seen(condition["status"] == "True", condition.get("message", ""))
            return Seen(ok=False, detail="no Ready condition yet")

        wait_for(f"{node.name} to be Ready", look, seconds=120, log=layout.log(kubelet_name(node)))


def _started(layout: Layout, node: Node) -> str:
    """Give the time the kubelet's record was written, which is when it was started, as the API writes times."""
    record = layout.processes / f"{kubelet_name(node)}.json"
    return dt.datetime.fromtimestamp(record.stat().st_mtime, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
