"""The seal of PDF renditions: a PAdES signature by a key of this tenant, checked by any PDF reader.

Vault's signing key is Ed25519, which PDF readers in use do not check. So the app keeps a P-256 key, wrapped by the tenant's
transit key, whose certificate the Vault signing key issued. What the seal proves: this file left an app that could use this
tenant's keys, and nothing in it was changed since. It is no person's signature: those are the DSSE records that the signature
page shows.
"""

import asyncio
import io
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from asn1crypto import core as asn1_core  # type: ignore[import-untyped]  # ships no types
from asn1crypto import keys as asn1_keys
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign import signers
from pyhanko.sign.fields import SigSeedSubFilter
from pyhanko_certvalidator.registry import SimpleCertificateStore

from tenant_app.adapters.ports import Keys
from tenant_app.domain.ids import uuid7
from tenant_app.domain.sealing import context
from tenant_app.errors import VaultRefused
from tenant_app.services.keyring import Keyring
from tenant_app.storage import seals
from tenant_app.storage.database import Database

FIELD = "TenantSeal"
LIFE = timedelta(days=3 * 365)
# A new key is made this long before the old one's certificate ends, so that no seal is made in its last days.
FRESH = timedelta(days=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealKey:
    """The key in use, opened, with its certificate and its issuer's (DER)."""

    private: bytes
    certificate: bytes
    issuer: bytes
    expires_at: datetime


class PdfSeal:
    """Seals PDFs. The key is made at the first seal, and anew before its certificate ends."""

    def __init__(
        self, database: Database, keys: Keys, keyring: Keyring, *, tenant: str, display_name: str, reason: str
    ) -> None:
        self._database = database
        self._keys = keys
        self._keyring = keyring
        self._tenant = tenant
        self._name = display_name
        self._reason = reason
        self._key: SealKey | None = None
        self._lock = asyncio.Lock()

    async def seal(self, pdf: bytes) -> bytes:
        """Return the PDF with its seal. Raises VaultAway, VaultRefused, DependencyAway."""
        key = await self._usable()
        return await asyncio.to_thread(_sealed, pdf, key, self._reason)

    async def issuer(self) -> bytes:
        """Return the certificate (DER) by which a reader may trust the seal: the tenant's signing key, by itself."""
        return (await self._usable()).issuer

    async def _usable(self) -> SealKey:
        async with self._lock:
            if self._key is None or self._key.expires_at - datetime.now(UTC) < FRESH:
                self._key = await self._found() or await self._made()
            return self._key

    async def _found(self) -> SealKey | None:
        async with self._database.transaction() as conn:
            row = await seals.newest(conn)
        if row is None or row["expires_at"] - datetime.now(UTC) < FRESH:
            return None
        return SealKey(
            private=await self._keys.unwrap(row["wrapped"], self._bound(row["id"])),
            certificate=bytes(row["certificate"]),
            issuer=bytes(row["issuer"]),
            expires_at=row["expires_at"],
        )

    async def _made(self) -> SealKey:
        private = ec.generate_private_key(ec.SECP256R1())
        raw = private.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        now, made = datetime.now(UTC), uuid7()
        keys = await self._keyring.public_keys()
        version = max(keys)
        public = ed25519.Ed25519PublicKey.from_public_bytes(keys[version])
        issuer_name = _name(f"{self._name} signing key v{version}", self._tenant)
        leaf_name = _name(f"{self._name} rendition seal", self._tenant)
        issuer = await self._issued(issuer_name, issuer_name, public, now, authority=True)
        leaf = await self._issued(leaf_name, issuer_name, private.public_key(), now, authority=False)
        found = SealKey(private=raw, certificate=leaf, issuer=issuer, expires_at=now + LIFE)
        try:
            wrapped = await self._keys.wrap(raw, self._bound(made))
        except VaultRefused:
            # The export job may sign and may not wrap: its key lives as long as its process.
            return found
        row = {"id": made, "wrapped": wrapped, "certificate": leaf, "issuer": issuer, "expires_at": found.expires_at}
        async with self._database.transaction() as conn:
            await seals.keep(conn, row)
        return found

    async def _issued(
        self,
        subject: x509.Name,
        issuer: x509.Name,
        public: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey,
        now: datetime,
        *,
        authority: bool,
    ) -> bytes:
        """Return a certificate that Vault's key signed.

        The builder only signs with a key at hand: it signs with one that is thrown away, and Vault's signature over the very same
        bytes takes that one's place.
        """
        built = _builder(subject, issuer, public, now, authority=authority).sign(
            ed25519.Ed25519PrivateKey.generate(), None
        )
        seal = await self._keys.sign(built.tbs_certificate_bytes)
        certificate = asn1_x509.Certificate.load(built.public_bytes(serialization.Encoding.DER))
        certificate["signature_value"] = asn1_core.OctetBitString(seal.signature)
        der: bytes = certificate.dump(force=True)
        return der

    def _bound(self, key: UUID) -> bytes:
        return context(self._tenant, "seal_keys", str(key))


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey,
    now: datetime,
    *,
    authority: bool,
) -> x509.CertificateBuilder:
    usage = x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=not authority,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + LIFE)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=0 if authority else None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _name(common: str, tenant: str) -> x509.Name:
    # An X.520 common name has at most 64 characters.
    return x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, common[:64]), x509.NameAttribute(NameOID.SERIAL_NUMBER, tenant)]
    )


def _sealed(pdf: bytes, key: SealKey, reason: str) -> bytes:
    known = SimpleCertificateStore()  # type: ignore[no-untyped-call]  # its constructor is not annotated
    known.register(asn1_x509.Certificate.load(key.issuer))
    signer = signers.SimpleSigner(
        signing_cert=asn1_x509.Certificate.load(key.certificate),
        signing_key=asn1_keys.PrivateKeyInfo.load(key.private),
        cert_registry=known,
        embed_roots=True,
    )
    metadata = signers.PdfSignatureMetadata(
        field_name=FIELD, md_algorithm=hashes.SHA256.name, subfilter=SigSeedSubFilter.PADES, reason=reason
    )
    out = signers.sign_pdf(IncrementalPdfFileWriter(io.BytesIO(pdf)), metadata, signer=signer)
    return bytes(out.getvalue())
