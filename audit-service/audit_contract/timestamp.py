"""RFC 3161 time-stamps, checked with nothing but `cryptography`: imprint, nonce, CMS signature, certificate chain. Pure.

Of what RFC 5652 and RFC 3161 allow, what authorities in use do: RSA with PKCS 1 v1.5, ECDSA or Ed25519, SHA-256 and longer.
Revocation is not asked for: that needs a network.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from audit_contract.der import INTEGER, OCTETS, SEQUENCE, SET, TIME, Element, read, tagged

_SIGNED_DATA: Final = "1.2.840.113549.1.7.2"
_TST_INFO: Final = "1.2.840.113549.1.9.16.1.4"
_CONTENT_TYPE, _MESSAGE_DIGEST = "1.2.840.113549.1.9.3", "1.2.840.113549.1.9.4"
_SIGNING_CERTIFICATE, _SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.12", "1.2.840.113549.1.9.16.2.47"
_HASHES: Final[dict[str, hashes.HashAlgorithm]] = {
    "2.16.840.1.101.3.4.2.1": hashes.SHA256(),
    "2.16.840.1.101.3.4.2.2": hashes.SHA384(),
    "2.16.840.1.101.3.4.2.3": hashes.SHA512(),
}
_TAG_0: Final = 0xA0
_GRANTED: Final = 0
_MAX_CHAIN: Final = 8
_X509_ERRORS: Final = (x509.ExtensionNotFound, x509.DuplicateExtension, x509.InvalidVersion)


class StampError(ValueError):
    """The time-stamp does not say what it should, or not by whom it should."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """A time-stamp that was checked: when, with which nonce, and who signed it."""

    time: datetime
    nonce: int
    signer: x509.Certificate


def check_stamp(reply: bytes, request: bytes, message: bytes, roots: Sequence[x509.Certificate] = ()) -> Stamp:
    """Check an authority's reply to a request, both DER, over `message`; with `roots` also who the authority is.

    Raises StampError.
    """
    try:
        return _check(reply, request, message, roots)
    except StampError:
        raise
    except (
        ValueError,
        TypeError,
        IndexError,
        UnsupportedAlgorithm,
        *_X509_ERRORS,
    ) as error:  # DerError is a ValueError
        raise StampError(f"not a time-stamp that can be read: {error}") from error


def _check(reply: bytes, request: bytes, message: bytes, roots: Sequence[x509.Certificate]) -> Stamp:
    status, *token = read(reply).expect(SEQUENCE).children()
    if not token or status.children()[0].number() != _GRANTED:
        raise StampError("the authority did not grant it")
    signed = _signed_data(token[0])
    content = signed[2].expect(SEQUENCE).children()
    if content[0].oid() != _TST_INFO:
        raise StampError("the token holds no time-stamp")
    info = content[1].expect(_TAG_0).children()[0].expect(OCTETS).content
    bag = tagged(signed[3:], _TAG_0)
    certificates = [x509.load_der_x509_certificate(each.raw) for each in ([] if bag is None else bag.children())]
    (signer_info,) = _only(signed[-1].expect(SET).children())
    signer = _check_signature(signer_info.expect(SEQUENCE).children(), info, certificates)
    stamp = _read_info(info, request, message, signer)
    _check_purpose(signer)
    if roots:
        _check_chain(signer, certificates, roots, stamp.time)
    return stamp


def _only(elements: list[Element]) -> list[Element]:
    if len(elements) != 1:
        raise StampError(f"one signer is expected, {len(elements)} signed")
    return elements


def _signed_data(token: Element) -> list[Element]:
    kind, content = token.expect(SEQUENCE).children()[:2]
    if kind.oid() != _SIGNED_DATA:
        raise StampError("the token is not signed data")
    return content.expect(_TAG_0).children()[0].expect(SEQUENCE).children()


def _read_info(info: bytes, request: bytes, message: bytes, signer: x509.Certificate) -> Stamp:
    fields = read(info).expect(SEQUENCE).children()
    asked = read(request).expect(SEQUENCE).children()
    if fields[2].raw != asked[1].raw:
        raise StampError("it is over another hash than the one it was asked for")
    algorithm, digest = fields[2].children()
    if digest.expect(OCTETS).content != _hashed(algorithm, message):
        raise StampError("it is not over this checkpoint")
    nonce, wanted = _nonce(fields[5:]), _nonce(asked[2:])
    if nonce is None or nonce != wanted:
        raise StampError("it has not the nonce it was asked with: it may be an old answer")
    return Stamp(_time(fields[4].expect(TIME).content.decode("ascii")), nonce, signer)


def _nonce(elements: Iterable[Element]) -> int | None:
    found = tagged(list(elements), INTEGER)
    return None if found is None else found.number()


def _time(text: str) -> datetime:
    whole, _, fraction = text.removesuffix("Z").partition(".")
    try:
        at = datetime.strptime(whole, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        return at.replace(microsecond=int(f"{fraction[:6]:0<6}"))
    except ValueError as error:
        raise StampError(f"not a time: {text!r}") from error


def _hash_of(algorithm: Element) -> hashes.HashAlgorithm:
    name = algorithm.expect(SEQUENCE).children()[0].oid()
    if name not in _HASHES:
        raise StampError(f"the hash {name} is not one of SHA-256, SHA-384 and SHA-512")
    return _HASHES[name]


def _hashed(algorithm: Element, data: bytes) -> bytes:
    return hashlib.new(_hash_of(algorithm).name, data).digest()


def _check_signature(info: list[Element], content: bytes, certificates: Sequence[x509.Certificate]) -> x509.Certificate:
    """Check the CMS signature over the content; return the certificate that made it."""
    digest_algorithm, attributes = info[2], info[3].expect(_TAG_0)
    values = {}
    for each in attributes.children():
        name, value = each.expect(SEQUENCE).children()
        values[name.oid()] = value.expect(SET).children()[0]
    if _CONTENT_TYPE not in values or values[_CONTENT_TYPE].oid() != _TST_INFO or _MESSAGE_DIGEST not in values:
        raise StampError("the signed attributes do not name a time-stamp")
    if values[_MESSAGE_DIGEST].expect(OCTETS).content != _hashed(digest_algorithm, content):
        raise StampError("its signature is over another content")
    signer = _signer(info[1], certificates)
    _check_signing_certificate(values, signer)
    signed = bytes((SET,)) + attributes.raw[1:]
    try:
        _verify(signer, info[5].expect(OCTETS).content, signed, _hash_of(digest_algorithm))
    except InvalidSignature as error:
        raise StampError("its signature does not verify") from error
    return signer


def _signer(identifier: Element, certificates: Sequence[x509.Certificate]) -> x509.Certificate:
    issuer, serial = identifier.expect(SEQUENCE).children()
    for each in certificates:
        if each.serial_number == serial.number() and each.issuer.public_bytes() == issuer.raw:
            return each
    raise StampError("the certificate that signed is not in the token")


def _check_signing_certificate(values: dict[str, Element], signer: x509.Certificate) -> None:
    """Check that the signed attributes name this very certificate (RFC 2634, RFC 5816)."""
    whole = signer.public_bytes(Encoding.DER)
    if _SIGNING_CERTIFICATE_V2 in values:
        first = values[_SIGNING_CERTIFICATE_V2].children()[0].children()[0].children()
        expected = hashlib.sha256(whole).digest() if first[0].tag == OCTETS else _hashed(first[0], whole)
        named = first[0] if first[0].tag == OCTETS else first[1]
    elif _SIGNING_CERTIFICATE in values:
        named = values[_SIGNING_CERTIFICATE].children()[0].children()[0].children()[0]
        expected = hashlib.sha1(whole).digest()  # noqa: S324  # RFC 2634's own; the signature over it is what counts
    else:
        raise StampError("the signed attributes name no certificate")
    if named.expect(OCTETS).content != expected:
        raise StampError("the signed attributes name another certificate")


def _verify(signer: x509.Certificate, signature: bytes, data: bytes, hashed: hashes.HashAlgorithm) -> None:
    match signer.public_key():
        case rsa.RSAPublicKey() as key:
            key.verify(signature, data, padding.PKCS1v15(), hashed)
        case ec.EllipticCurvePublicKey() as key:
            key.verify(signature, data, ec.ECDSA(hashed))
        case ed25519.Ed25519PublicKey() as key:
            key.verify(signature, data)
        case _:
            raise StampError("the authority's key is neither RSA, ECDSA nor Ed25519")


def _check_purpose(signer: x509.Certificate) -> None:
    usage = signer.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    if not usage.critical or list(usage.value) != [ExtendedKeyUsageOID.TIME_STAMPING]:
        raise StampError("the certificate that signed is not one for time-stamps alone")


def _check_chain(
    signer: x509.Certificate, others: Sequence[x509.Certificate], roots: Sequence[x509.Certificate], at: datetime
) -> None:
    """Follow the issuers to one of the roots, each valid at the time that was stamped."""
    current = signer
    for _ in range(_MAX_CHAIN):
        if not current.not_valid_before_utc <= at <= current.not_valid_after_utc:
            raise StampError(f"{current.subject.rfc4514_string()} was not valid at {at.isoformat()}")
        if current in roots:
            return
        current = _issuer(current, (*roots, *others))
    raise StampError("the chain of certificates is too long")


def _issuer(certificate: x509.Certificate, candidates: Iterable[x509.Certificate]) -> x509.Certificate:
    for each in candidates:
        try:
            certificate.verify_directly_issued_by(each)
            constraints = each.extensions.get_extension_for_class(x509.BasicConstraints).value
        except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
            continue
        if constraints.ca and each != certificate:
            return each
    raise StampError(f"nobody that is trusted vouches for {certificate.subject.rfc4514_string()}")
