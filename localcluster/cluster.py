"""The cluster as a plan: an ordered list of steps, each of which does nothing when it is done."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from localcluster import (
    binaries,
    controlplane,
    credentials,
    facts,
    leftovers,
    network,
    nodes,
    packages,
    underlay,
)
from localcluster.api import Api, load_yaml
from localcluster.console import say, step
from localcluster.credentials import Credentials
from localcluster.errors import LocalClusterError
from localcluster.files import write
from localcluster.images import Image, Images
from localcluster.paths import HOUSE, REPOSITORY, Layout
from localcluster.processes import Processes
from localcluster.services import directory, objectstore, storage, vault
from localcluster.services.common import Surroundings


@dataclass(frozen=True)
class Options:
    """What a user may choose about a cluster."""

    cni: str = "cilium"
    fsync: bool = False
    workers: int = 2


@dataclass(frozen=True)
class Step:
    """One part of bringing the cluster up."""

    name: str
    act: Callable[[], object]


class Cluster:
    """Brings the cluster up, step by step; every step may be repeated."""

    def __init__(self, layout: Layout, options: Options) -> None:
        self.layout = layout
        self.options = options
        self.processes = Processes(layout)
        self.binaries: dict[str, Path] = {}
        self._keys: Credentials | None = None
        self._api: Api | None = None
        self._images: dict[str, Image] = {}

    def plan(self) -> list[Step]:
        """List the steps in their order."""
        return [
            Step("packages", lambda: packages.install(self.layout)),
            Step("binaries", self._make_binaries),
            Step("leftovers", lambda: leftovers.clean_stale(self.layout, self.processes)),
            Step("choices", self._settle_choices),
            Step("certificates", self._make_credentials),
            Step("wires and nodes", lambda: underlay.up(self.layout, self.processes)),
            Step("control plane", self._start_control_plane),
            Step("container runtimes and kubelets", self._start_nodes),
            Step(f"pod network ({self.options.cni})", self._start_network),
            Step("nodes ready", lambda: nodes.wait_ready(self.api, self.processes, self.layout)),
            Step("cluster DNS", self._install_dns),
            Step("storage", self._install_storage),
            Step("vaults, object stores, directory", self._install_services),
            Step("vaults unsealed", lambda: vault.open_all(self.layout, self.api)),
            Step("relay", self._start_relay),
        ]

    def up(self) -> None:
        """Carry out the plan."""
        for item in self.plan():
            with step(item.name, quiet_below=0.05):
                item.act()

    @property
    def api(self) -> Api:
        """The API server, once certificates exist."""
        if self._api is None:
            self._api = Api(self.layout)
        return self._api

    @property
    def keys(self) -> Credentials:
        """The certificates, once made."""
        if self._keys is None:
            self._keys = credentials.prepare(self.layout)
        return self._keys

    def _make_binaries(self) -> None:
        self.binaries = binaries.build_all(self.layout, self.options.workers)
        binaries.install_links(self.layout, self.binaries)

    def _settle_choices(self) -> None:
        """A cluster keeps its pod network for life: addresses and policies hang on it."""
        path = self.layout.state / "cluster.json"
        chosen = {"cni": self.options.cni}
        if path.exists():
            found = json.loads(path.read_text())
            if found != chosen:
                raise LocalClusterError(
                    f"this machine's cluster was made with --cni {found['cni']}; "
                    "`python -m localcluster down --wipe` first, and it is made anew"
                )
        write(path, json.dumps(chosen) + "\n")

    def _make_credentials(self) -> None:
        self._keys = credentials.prepare(self.layout)

    def _start_control_plane(self) -> None:
        started = controlplane.start_etcd(self.layout, self.processes, self.keys, fsync=self.options.fsync)
        started |= controlplane.start_apiserver(self.layout, self.processes, self.keys)
        self.api.wait_ready(lambda: self.processes.require("kube-apiserver"))
        started |= controlplane.start_controllers(self.layout, self.processes, self.keys)
        if started:
            say(f"  API server answers at {credentials.API_URL}")

    def _start_nodes(self) -> None:
        built = Images(self.layout, self.binaries)
        self._images = built.development()
        for node in facts.NODES:
            nodes.start_containerd(self.layout, self.processes, node, self._images["pause"].name)
        nodes.load_missing(self.layout, self._images)
        for node in facts.NODES:
            nodes.start_kubelet(self.layout, self.processes, self.keys, node)

    def _start_network(self) -> None:
        cidrs = {node.name: nodes.pod_cidr(self.api, self.processes, self.layout, node) for node in facts.NODES}
        if self.options.cni == "cilium":
            network.install_cilium_objects(self.api, self.binaries["cilium-files"])
            for node in facts.NODES:
                network.start_cilium(self.layout, self.processes, node, self.binaries["cilium-files"])
            for node in facts.NODES:
                network.wait_cilium(self.layout, self.processes, node)
        else:
            for node in facts.NODES:
                network.configure_bridge(self.layout, self.processes, node, cidrs)
        for node in facts.NODES:
            underlay.route_pods(node, cidrs[node.name])
        underlay.route_services()
        nodes.start_kube_proxies(self.layout, self.processes)

    def surroundings(self) -> Surroundings:
        """Give the services what they are installed with."""
        return Surroundings(self.layout, self.api, self.keys.services, self._images)

    def _install_storage(self) -> None:
        around = self.surroundings()
        storage.install_system_namespace(around)
        self.api.wait_workloads(storage.install(around))

    def _install_services(self) -> None:
        around = self.surroundings()
        # All of them first, then the waiting: they start side by side.
        workloads = [*vault.install(around), *objectstore.install(around), *directory.install(around)]
        self.api.wait_workloads(workloads, seconds=240)

    def _start_relay(self) -> None:
        # The folder of the package, not the working directory of whoever called.
        started = self.processes.start(
            "relay", [sys.executable, "-m", "localcluster.relay"], env={"PYTHONPATH": str(REPOSITORY)}
        )
        if started:
            host, port = facts.RELAY_ADDRESS
            say(f"  apps answer at https://<tenant>.{facts.APP_DOMAIN}:{port} (on {host})")

    def _install_dns(self) -> None:
        manifest = HOUSE / "manifests" / "coredns.yaml"
        self.api.apply(*load_yaml(manifest, COREDNS=self._images["coredns"].name))
        self.api.wait_workloads([("Deployment", "kube-system", "coredns")])


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
