"""Passwords and certificates as pure functions of one root seed, so that a repaired Secret is the same Secret.

HKDF-SHA256 (RFC 5869) turns the installation's root seed and a purpose into key material. Certificates are P-256 with
deterministic ECDSA (RFC 6979), and their validity is quantised to rotation periods, so the same period gives the same bytes:
two reconciles render the same Secret, a deleted Secret comes back identical, and a kill between steps can leave nothing half
made. The seed lives in one Secret in the operator's namespace (docs/adr/0003).
"""

import base64
import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PERIOD = timedelta(days=30)
"""Leaf certificates are made anew this often …"""
LIFETIME = timedelta(days=90)
"""… and are valid this long from the start of their period, so two periods' certificates overlap."""
CA_LIFETIME = timedelta(days=3650)
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_EPOCH = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class KeyPair:
    """A certificate and its key, both PEM."""

    certificate: str
    key: str = field(repr=False)


@dataclass(frozen=True)
class Deriver:
    """Derives everything secret from the installation's 32-byte root seed."""

    seed: bytes = field(repr=False)
    created: datetime

    def bytes_for(self, purpose: str, length: int = 32) -> bytes:
        """Return key material for a purpose such as `password/<tenant id>/app/0`."""
        return HKDF(hashes.SHA256(), length, salt=b"cloister.dev/v1", info=purpose.encode()).derive(self.seed)

    def password(self, tenant_id: str, role: str, epoch: int = 0) -> str:
        """Return a role's password: 192 bits, URL-safe, changes with the epoch."""
        return base64.urlsafe_b64encode(self.bytes_for(f"password/{tenant_id}/{role}/{epoch}", 24)).decode()

    @property
    def ca(self) -> KeyPair:
        """The operator's own certificate authority."""
        return _ca(self.seed, self.created)

    def certificate(self, purpose: str, hosts: tuple[str, ...], now: datetime) -> KeyPair:
        """Return the serving certificate of a purpose for the rotation period that `now` falls in."""
        return _leaf(self.seed, self.created, purpose, hosts, self.period(purpose, now))

    @staticmethod
    def period(purpose: str, now: datetime) -> datetime:
        """Return the start of the purpose's rotation period; purposes are spread so that not all rotate at once."""
        spread = timedelta(
            seconds=int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:4]) % int(PERIOD.total_seconds())
        )
        return now - ((now - _EPOCH - spread) % PERIOD)


def _private_key(seed: bytes, purpose: str) -> ec.EllipticCurvePrivateKey:
    material = HKDF(hashes.SHA256(), 48, salt=b"cloister.dev/v1", info=f"key/{purpose}".encode()).derive(seed)
    return ec.derive_private_key(1 + int.from_bytes(material) % (_P256_ORDER - 1), ec.SECP256R1())


def _sign(builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    return builder.sign(key, hashes.SHA256(), ecdsa_deterministic=True)


def _pem(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> KeyPair:
    return KeyPair(
        certificate.public_bytes(serialization.Encoding.PEM).decode(),
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode(),
    )


def _serial(*parts: object) -> int:
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:19]) | 1


@lru_cache(maxsize=4)
def _ca(seed: bytes, created: datetime) -> KeyPair:
    key = _private_key(seed, "ca")
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Cloister installation CA")])
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(_serial("ca", created))
        .not_valid_before(created - timedelta(days=1))
        .not_valid_after(created + CA_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return _pem(_sign(builder, key), key)


@lru_cache(maxsize=8192)
def _leaf(seed: bytes, created: datetime, purpose: str, hosts: tuple[str, ...], period: datetime) -> KeyPair:
    authority = x509.load_pem_x509_certificate(_ca(seed, created).certificate.encode())
    ca_key = _private_key(seed, "ca")
    key = _private_key(seed, f"{purpose}/{period.isoformat()}")
    ski = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    names = [_general_name(host) for host in hosts]
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0][:64])]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(_serial(purpose, hosts, period))
        .not_valid_before(period - timedelta(days=1))
        .not_valid_after(period + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ski), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return _pem(_sign(builder, ca_key), key)


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)
