"""The cluster as a plan: an ordered list of steps, each of which does nothing when it is done."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from localcluster import (
    answering,
    binaries,
    controlplane,
    credentials,
    facts,
    leftovers,
    network,
    nodeimages,
    nodes,
    packages,
    underlay,
)
from localcluster.api import Api, load_yaml
from localcluster.console import say, step
from localcluster.credentials import Credentials
from localcluster.errors import LocalClusterError
from localcluster.files import digest_files, write
from localcluster.images import Image, Images
from localcluster.paths import HOUSE, REPOSITORY, Layout
from localcluster.processes import Processes
from localcluster.services import directory, objectstore, storage, vault
from localcluster.services.common import Surroundings
from localcluster.waiting import Seen, wait_for


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
            Step("every service answers", self._look_at_services),
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
        nodeimages.load_missing(self.layout, self._images)
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
        # Another clone, or another interpreter, is no reason to cut people's connections; new code is.
        sources = [HOUSE / name for name in ("relay.py", "sni.py", "api.py", "facts.py")]
        edition = f"edition={digest_files(sources, HOUSE)[:12]}"
        running = self.processes.alive("relay")
        if running is None or running.argv[-1] != edition:
            # The folder of the package, not the working directory of whoever called.
            command = [sys.executable, "-m", "localcluster.relay", edition]
            self.processes.start("relay", command, env={"PYTHONPATH": str(REPOSITORY)})
        host, port = facts.RELAY_ADDRESS
        wait_for("the relay", lambda: self._connects(host, port), seconds=15, log=self.layout.log("relay"))

    def _connects(self, host: str, port: int) -> Seen:
        self.processes.require("relay")
        try:
            socket.create_connection((host, port), timeout=1).close()
        except OSError as error:
            return Seen(ok=False, detail=str(error))
        return Seen(ok=True)

    def _look_at_services(self) -> None:
        """Reach every service at its own address, as its clients do; an object's status may be old."""
        for service in answering.SERVICES:
            look = partial(answering.answers, self.api, self.layout, service)
            wait_for(f"{service.host} to answer", look, seconds=60)

    def _install_dns(self) -> None:
        manifest = HOUSE / "manifests" / "coredns.yaml"
        self.api.apply(*load_yaml(manifest, COREDNS=self._images["coredns"].name))
        self.api.wait_workloads([("Deployment", "kube-system", "coredns")])
