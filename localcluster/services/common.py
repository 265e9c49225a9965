"""What the services share: their namespaces, their certificates, their generated secrets."""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass

from localcluster import facts
from localcluster.api import Api, Object, load_yaml
from localcluster.files import write
from localcluster.images import Image
from localcluster.paths import HOUSE, Layout
from localcluster.pki import Authority


@dataclass(frozen=True)
class Surroundings:
    """What a service is installed with."""

    layout: Layout
    api: Api
    authority: Authority
    images: dict[str, Image]

    def secret_value(self, name: str, length: int = 24) -> str:
        """Give a generated secret, the same at every run of one installation."""
        path = self.layout.secrets / name
        if not path.exists():
            write(path, secrets.token_urlsafe(length), 0o600)
        return path.read_text().strip()

    def certificate(self, service: str, namespace: str) -> Object:
        """Give the TLS Secret of a service, under every name the cluster's DNS gives it."""
        full = f"{service}.{namespace}.svc"
        names = (service, f"{service}.{namespace}", full, f"{full}.cluster.local", "localhost")
        pair = self.authority.issue(f"service-{service}", full, names=names, addresses=(facts.LOOPBACK,))
        data = {
            "tls.crt": pair.certificate.read_text(),
            "tls.key": pair.key.read_text(),
            "ca.crt": self.ca(),
        }
        return secret(f"{service}-tls", namespace, data)

    def ca(self) -> str:
        """Give the certificate of the services' authority."""
        return self.authority.pair.certificate.read_text()

    def manifest(self, name: str, *reads: Object, **values: str) -> list[Object]:
        """Read a manifest of ours with its values.

        `$INPUTS` becomes the name of everything its pods read at their start, the given objects and
        the manifest's own, so that a change of any of it starts the pods anew.
        """
        path = HOUSE / "manifests" / f"{name}.yaml"
        plain = load_yaml(path, **values, INPUTS="")
        inputs = hashlib.sha256(repr((plain, reads)).encode()).hexdigest()[:16]
        return load_yaml(path, **values, INPUTS=inputs)


def namespace(name: str, *, level: str = "restricted", **labels: str) -> Object:
    """Describe a namespace with its pod security level."""
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": name,
            "labels": {
                "pod-security.kubernetes.io/enforce": level,
                "pod-security.kubernetes.io/warn": level,
                **labels,
            },
        },
    }


def secret(name: str, within: str, data: dict[str, str], labels: dict[str, str] | None = None) -> Object:
    """Describe a Secret of text values.

    The values are given encoded: `stringData` would make every apply look like a change.
    """
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": within, "labels": labels or {}},
        "type": "Opaque",
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
    }


def config_map(name: str, within: str, data: dict[str, str]) -> Object:
    """Describe a ConfigMap."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": within},
        "data": data,
    }
