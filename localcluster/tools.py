"""Which programs are compiled here, from which modules, with which flags."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from localcluster.paths import HOUSE

KUBERNETES_VERSION = "1.36.3"
CILIUM_VERSION = "1.20.2"
KUBERNETES_COMMANDS = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "kubelet",
    "kubectl",
)

_version = "k8s.io/component-base/version"
_client_version = "k8s.io/client-go/pkg/version"  # what the audit log calls the program


@dataclass(frozen=True)
class Tool:
    """A Go module folder below `tools/` and the programs that come out of it."""

    name: str
    packages: dict[str, str]
    variables: dict[str, str] = field(default_factory=dict)
    tags: str = ""

    @property
    def source(self) -> Path:
        """The module's folder in the repository."""
        return HOUSE / "tools" / self.name

    @property
    def linker_flags(self) -> str:
        """Strip symbols and set version variables; a value with a space needs the quotes."""
        return " ".join(["-s -w", *(f"-X '{name}={value}'" for name, value in self.variables.items())])


KUBERNETES = Tool(
    "kubernetes",
    {"kubernetes": "."},
    {
        f"{_version}.gitVersion": f"v{KUBERNETES_VERSION}",
        f"{_version}.gitMajor": "1",
        f"{_version}.gitMinor": "36",
        f"{_version}.gitTreeState": "clean",
        f"{_client_version}.gitVersion": f"v{KUBERNETES_VERSION}",
        f"{_client_version}.gitCommit": "module",
    },
)
CILIUM = Tool(
    "cilium",
    {"cilium-agent": "github.com/cilium/cilium/daemon", "cilium-cni": "github.com/cilium/cilium/plugins/cilium-cni"},
    {"github.com/cilium/cilium/pkg/version.ciliumVersion": CILIUM_VERSION},
)
COREDNS = Tool("coredns", {"coredns": "."})
PAUSE = Tool("pause", {"pause": "."})
PROVISIONER = Tool(
    "local-path-provisioner",
    {"local-path-provisioner": "github.com/rancher/local-path-provisioner"},
    {"main.VERSION": "v0.0.30"},
)
HELM = Tool("helm", {"helm": "helm.sh/helm/v4/cmd/helm"}, {"helm.sh/helm/v4/internal/version.version": "v4.3.1"})
VAULT = Tool("vault", {"vault": "."}, tags="minimal")
VERSITYGW = Tool("versitygw", {"versitygw": "github.com/versity/versitygw/cmd/versitygw"}, {"main.Version": "v1.8.0"})

# In the order in which a cluster needs them, the longest first.
ALL = (KUBERNETES, CILIUM, PAUSE, COREDNS, PROVISIONER, HELM, VAULT, VERSITYGW)
