"""Addresses, names and limits that several rooms must agree on.

Changing one of them on a running cluster needs `down --wipe` first: certificates, routes and the
API server's own objects carry them.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

BRIDGE = "cloister0"
LOOPBACK = IPv4Address("127.0.0.1")
GATEWAY = IPv4Address("10.89.0.1")
UNDERLAY = IPv4Network("10.89.0.0/24")
POD_CIDR = IPv4Network("10.245.0.0/16")
SERVICE_CIDR = IPv4Network("10.96.0.0/16")
CLUSTER_DNS = IPv4Address("10.96.0.10")
API_PORT = 7443
ETCD_PORT = 22379
RELAY_ADDRESS = ("127.0.0.1", 8443)
APP_DOMAIN = "cloister.localhost"
APP_PORT = 8443

SYSTEM_NAMESPACE = "cloister-system"
FIELD_MANAGER = "cloister-localcluster"


@dataclass(frozen=True)
class Node:
    """One node: a network and mount namespace that behaves like a machine in a region."""

    letter: str
    region: str
    address: IPv4Address

    @property
    def name(self) -> str:
        """The name of the Node object."""
        return f"node-{self.letter}"

    @property
    def zone(self) -> str:
        """The one zone of the region."""
        return f"{self.region}-a"

    @property
    def link(self) -> str:
        """The end of the node's cable that is plugged into the bridge."""
        return f"cln-{self.letter}"


NODES = (
    Node("a", "eu-central-1", IPv4Address("10.89.0.11")),
    Node("b", "us-east-1", IPv4Address("10.89.0.12")),
)
REGIONS = tuple(node.region for node in NODES)


@dataclass(frozen=True)
class User:
    """A person or a component that proves who it is with a client certificate."""

    name: str
    groups: tuple[str, ...] = ()


ADMIN = User("admin", ("system:masters",))
PEOPLE = (
    User("alice", ("cloister:approvers",)),
    User("bob", ("cloister:approvers",)),
    User("carol"),
)
COMPONENTS = (
    User("system:kube-controller-manager"),
    User("system:kube-scheduler"),
    User("system:kube-proxy"),
)
CILIUM_GROUP = "cloister:cilium-agents"
