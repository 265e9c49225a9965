"""Asking every service at its cluster address: DNS by its protocol, the others by a TLS handshake."""

from __future__ import annotations

import secrets
import socket
import ssl
import struct
from dataclasses import dataclass

from localcluster import facts
from localcluster.api import Api
from localcluster.paths import Layout
from localcluster.waiting import Seen

_TIMEOUT = 2.0
_KUBERNETES = "kubernetes.default.svc.cluster.local"


@dataclass(frozen=True)
class Service:
    """A service that must answer before the cluster counts as up."""

    name: str
    namespace: str
    port: int

    @property
    def host(self) -> str:
        """The name its clients use, and its certificate carries."""
        return f"{self.name}.{self.namespace}.svc"


SERVICES = (
    Service("kube-dns", "kube-system", 53),
    *(Service(f"vault-{region}", "vault", 8200) for region in facts.REGIONS),
    *(Service(f"objectstore-{region}", "objectstore", 7070) for region in facts.REGIONS),
    Service("openldap", "directory", 636),
)


def answers(api: Api, layout: Layout, service: Service) -> Seen:
    """Reach a service from the machine, through kube-proxy and past its NetworkPolicies."""
    found = api.get("Service", service.name, service.namespace)
    if found is None:
        return Seen(ok=False, detail="no such Service")
    address = str(found["spec"]["clusterIP"])
    try:
        if service.port == 53:  # noqa: PLR2004 - the port of DNS
            return Seen(resolves(address, _KUBERNETES) == str(facts.SERVICE_CIDR[1]), "a wrong address")
        context = ssl.create_default_context(cafile=str(layout.pki / "services-ca.crt"))
        with socket.create_connection((address, service.port), timeout=_TIMEOUT) as plain:
            context.wrap_socket(plain, server_hostname=service.host).close()
    except OSError as error:
        return Seen(ok=False, detail=f"{address}:{service.port}: {error}")
    return Seen(ok=True)


def resolves(server: str, name: str) -> str:
    """Ask a DNS server for a name's IPv4 address; empty when it has none."""
    number = secrets.randbelow(65536)
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
    question = labels + struct.pack(">HH", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(_TIMEOUT)
        asking.connect((server, 53))
        asking.send(struct.pack(">HHHHHH", number, 0x0100, 1, 0, 0, 0) + question)
        answer = asking.recv(512)
    found, flags, _, count = struct.unpack(">HHHH", answer[:8])
    if found != number or flags & 0xF or not count:
        return ""
    # One record and nothing after it: the address is the end, whether or not the name was compressed.
    return socket.inet_ntoa(answer[-4:])
