"""Where things lie on the machine.

Two folders with different lives: the cache may be thrown away at the price of compiling again, the
state is the cluster itself. Both are shared by every clone of the repository, because one machine
carries one local cluster.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from localcluster.facts import Node

HOUSE = Path(__file__).resolve().parent
REPOSITORY = HOUSE.parent


@dataclass(frozen=True)
class Layout:
    """The folders of this machine's local cluster."""

    cache: Path
    state: Path
    run: Path = Path("/run/cloister-localcluster")

    @classmethod
    def from_environment(cls) -> Layout:
        """Read the places a user may move, with their defaults.

        A second cluster on one machine (to test this very program beside a cluster in use) needs a
        state and a run folder of its own, and a network namespace of its own around everything.
        """
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        cache = Path(os.environ.get("CLOISTER_CACHE") or home / "cloister")
        state = Path(os.environ.get("CLOISTER_STATE") or "/var/lib/cloister/localcluster")
        run = Path(os.environ.get("CLOISTER_RUN") or "/run/cloister-localcluster")
        return cls(cache=cache.absolute(), state=state.absolute(), run=run.absolute())

    @property
    def pki(self) -> Path:
        """Certificates and keys."""
        return self.state / "pki"

    @property
    def logs(self) -> Path:
        """One log a component."""
        return self.state / "logs"

    @property
    def processes(self) -> Path:
        """One record a process that we started."""
        return self.state / "processes"

    @property
    def secrets(self) -> Path:
        """Generated passwords and keys of the development services."""
        return self.state / "secrets"

    @property
    def admin_kubeconfig(self) -> Path:
        """The cluster administrator's way in."""
        return self.kubeconfig("admin")

    def kubeconfig(self, user: str) -> Path:
        """The kubeconfig of a user; colons of component names would upset PATH-like variables."""
        return self.state / f"{user.replace(':', '-')}.kubeconfig"

    def log(self, component: str) -> Path:
        """The log of one component."""
        return self.logs / f"{component}.log"

    def node(self, node: Node) -> Path:
        """What belongs to one node: its container store, its kubelet's files, its volumes."""
        return self.state / "nodes" / node.name

    def cgroup(self, node: Node) -> str:
        """The cgroup below which a node's kubelet keeps its pods, named after the run folder."""
        return f"{self.run.name.removesuffix('-localcluster')}-{node.name}"

    def containerd_socket(self, node: Node) -> Path:
        """Where a node's containerd listens."""
        return self.run / node.name / "containerd.sock"

    @property
    def bin(self) -> Path:
        """The programs for people: what `env` puts on the PATH."""
        return self.state / "bin"

    @property
    def cni_bin(self) -> Path:
        """The network plugins that containerd may call."""
        return self.state / "cni-bin"

    def make(self) -> None:
        """Create the folders; only root may look into the state."""
        for folder in (self.cache, self.state, self.pki, self.logs, self.processes, self.secrets, self.run):
            folder.mkdir(parents=True, exist_ok=True)
        for private in (self.pki, self.secrets):
            private.chmod(0o700)
        # Pods' volumes lie below: their own modes protect them, and their owners must reach them.
        self.state.chmod(0o711)
