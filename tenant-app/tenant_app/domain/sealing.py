"""Sealing: AES-256-GCM, so that PostgreSQL, its log, its backups and its volume only ever hold ciphertext.

A sealed value is `0x01 || 12 random bytes || ciphertext and tag`. The associated data names what is sealed and where it
belongs, so that a sealed value moved to another row, document, version or tenant does not open (11.70).
"""

import hashlib
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tenant_app.errors import IntegrityViolation

_FORMAT = b"\x01"
_NONCE = 12
_OVERHEAD = 1 + _NONCE + 16


def new_key() -> bytes:
    """Return a fresh 256-bit data key; it is stored only as wrapped by the tenant's transit key."""
    return AESGCM.generate_key(bit_length=256)


def context(*parts: str) -> bytes:
    """Return associated data for the parts, unambiguous because each part carries its length."""
    framed = [b"cloister-app/1"]
    for part in parts:
        raw = part.encode()
        framed += (len(raw).to_bytes(4, "big"), raw)
    return b"".join(framed)


class Sealer:
    """Seals and unseals under one key. Setting the cipher up takes longer than opening a row's value: keep it with the key."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, plain: bytes, bound_to: bytes) -> bytes:
        """Return `plain` sealed and bound to its place."""
        nonce = os.urandom(_NONCE)
        return _FORMAT + nonce + self._cipher.encrypt(nonce, plain, bound_to)

    def unseal(self, sealed: bytes, bound_to: bytes) -> bytes:
        """Return the plain bytes.

        Raises IntegrityViolation when a byte was changed, or when the value was moved from where it belongs (11.10(a)).
        """
        if len(sealed) < _OVERHEAD or sealed[:1] != _FORMAT:
            raise IntegrityViolation("A sealed value has an unknown format.")
        try:
            return self._cipher.decrypt(sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :], bound_to)
        except InvalidTag as error:
            raise IntegrityViolation("A sealed value was altered or moved.") from error


def sha256_hex(content: bytes) -> str:
    """Return the content hash that identifies a version everywhere."""
    return hashlib.sha256(content).hexdigest()
