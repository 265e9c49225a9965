"""Who may talk to the API server, and how they prove it."""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from localcluster import facts
from localcluster.facts import Node, User
from localcluster.files import write
from localcluster.paths import Layout
from localcluster.pki import Authority, Pair, service_account_keys

API_URL = f"https://{facts.GATEWAY}:{facts.API_PORT}"


@dataclass(frozen=True)
class Credentials:
    """Every certificate of the control plane and the nodes, made or found."""

    cluster_ca: Pair
    etcd_ca: Pair
    front_proxy_ca: Pair
    services: Authority
    apiserver: Pair
    apiserver_to_kubelet: Pair
    apiserver_to_etcd: Pair
    front_proxy: Pair
    etcd: Pair
    admin: Pair
    service_accounts: Pair
    kubelets: dict[str, Pair]


def prepare(layout: Layout) -> Credentials:
    """Make what is missing or about to expire, and the kubeconfigs that carry it."""
    cluster = Authority(layout.pki, "cluster")
    etcd = Authority(layout.pki, "etcd")
    front = Authority(layout.pki, "front-proxy")
    service = "kubernetes.default.svc"
    host_names = ("localhost", "kubernetes", "kubernetes.default", service, f"{service}.cluster.local")
    kubelets = {
        node.name: cluster.issue(
            node.name,
            f"system:node:{node.name}",
            groups=("system:nodes",),
            names=(node.name,),
            addresses=(node.address,),
        )
        for node in facts.NODES
    }
    for node in facts.NODES:
        _kubeconfig(layout, node.name, cluster.pair, kubelets[node.name])
    for user in (*facts.PEOPLE, *facts.COMPONENTS, *map(cilium_user, facts.NODES)):
        _user(layout, cluster, user)
    return Credentials(
        cluster_ca=cluster.pair,
        etcd_ca=etcd.pair,
        front_proxy_ca=front.pair,
        services=Authority(layout.pki, "services"),
        apiserver=cluster.issue(
            "apiserver",
            "kube-apiserver",
            names=host_names,
            addresses=(facts.GATEWAY, facts.SERVICE_CIDR[1]),
        ),
        apiserver_to_kubelet=cluster.issue(
            "apiserver-kubelet", "kube-apiserver-kubelet-client", groups=("system:masters",)
        ),
        apiserver_to_etcd=etcd.issue("apiserver-etcd", "kube-apiserver"),
        front_proxy=front.issue("front-proxy", "front-proxy-client"),
        etcd=etcd.issue("etcd", "etcd", names=("localhost",), addresses=(facts.LOOPBACK,)),
        admin=_user(layout, cluster, facts.ADMIN),
        service_accounts=service_account_keys(layout.pki),
        kubelets=kubelets,
    )


def cilium_user(node: Node) -> User:
    """Name the network agent of a node; its group carries its rights."""
    return User(f"cilium-{node.name}", (facts.CILIUM_GROUP,))


def encryption_key(layout: Layout) -> bytes:
    """Give the key under which the API server keeps Secrets in etcd, made once."""
    path = layout.pki / "secrets-at-rest.key"
    if not path.exists():
        write(path, secrets.token_bytes(32), 0o600)
    return path.read_bytes()


def _user(layout: Layout, authority: Authority, user: User) -> Pair:
    pair = authority.issue(f"user-{user.name.replace(':', '-')}", user.name, groups=user.groups)
    _kubeconfig(layout, user.name, authority.pair, pair)
    return pair


def _kubeconfig(layout: Layout, user: str, authority: Pair, pair: Pair) -> None:
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "cloister-local",
                "cluster": {"server": API_URL, "certificate-authority-data": _data(authority.certificate)},
            }
        ],
        "users": [
            {
                "name": user,
                "user": {
                    "client-certificate-data": _data(pair.certificate),
                    "client-key-data": _data(pair.key),
                },
            }
        ],
        "contexts": [{"name": "cloister-local", "context": {"cluster": "cloister-local", "user": user}}],
        "current-context": "cloister-local",
    }
    # JSON is YAML, and needs no quoting rules.
    write(layout.kubeconfig(user), json.dumps(content, indent=2) + "\n", 0o600)


def _data(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
