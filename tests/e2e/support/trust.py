"""Whom to believe at the relay: the installation's own authority, as the tenant's ConfigMap `trust` has it."""

import base64
import hashlib
import socket
import ssl

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.e2e.support.local import read

RELAY = ("127.0.0.1", 8443)


def host(tenant: str) -> str:
    """Return the name of a tenant's app."""
    return f"{tenant}.cloister.localhost"


def address(tenant: str) -> str:
    """Return the address of a tenant's app."""
    return f"https://{host(tenant)}:{RELAY[1]}"


def context(tenant: str) -> ssl.SSLContext:
    """Return what trusts this installation's authority and nobody else."""
    authority = read("configmap", "trust", "-n", f"tenant-{tenant}")["data"]["platform.crt"]
    return ssl.create_default_context(cadata=authority)


def pinned_key(tenant: str) -> str:
    """Return the digest of the public key of the app's certificate, once the authority and the host name vouch for it.

    Chromium reads no authorities from a file; it takes this pin instead and refuses every other certificate.
    """
    with (
        socket.create_connection(RELAY, timeout=20) as plain,
        context(tenant).wrap_socket(plain, server_hostname=host(tenant)) as secured,
    ):
        found = x509.load_der_x509_certificate(secured.getpeercert(binary_form=True) or b"")
    key = found.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(key).digest()).decode()
