"""Values at rest: each log has a key of its own, sealed by the service's; each value is sealed with the log's.

AES-256-GCM, a random 96-bit nonce before the ciphertext. What a ciphertext is for is authenticated with it, so a row moved
to another entry, field or log does not open. Pure.
"""

import contextlib
import os
from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from audit_contract.commitment import SALT_SIZE

_NONCE: Final = 12


class UnsealError(ValueError):
    """A sealed value does not open with this log's key for this entry and field."""


def new_log_key(service_key: bytes, origin: str) -> bytes:
    """Return a new log key, sealed."""
    nonce = os.urandom(_NONCE)
    return nonce + AESGCM(service_key).encrypt(nonce, AESGCM.generate_key(256), origin.encode())


def open_log_key(service_keys: Sequence[bytes], origin: str, sealed_key: bytes) -> bytes:
    """Open a log's key with one of the service's. Raises UnsealError when none of them sealed it, or for another log."""
    for service_key in service_keys:
        with contextlib.suppress(InvalidTag):
            return AESGCM(service_key).decrypt(sealed_key[:_NONCE], sealed_key[_NONCE:], origin.encode())
    raise UnsealError(f"the value key of {origin} does not open with the sealing keys at hand")


class ValueSealer:
    """Seals and opens the values of one log."""

    def __init__(self, key: bytes) -> None:
        """Take the log's own key, opened."""
        self.key = key
        self._aead = AESGCM(key)

    def seal(self, entry: str, field: int, salt: bytes, value: bytes) -> bytes:
        """Seal a salt and a value's canonical bytes for one field of the entry with this id."""
        nonce = os.urandom(_NONCE)
        return nonce + self._aead.encrypt(nonce, salt + value, f"{entry}/{field}".encode())

    def open(self, entry: str, field: int, sealed: bytes) -> tuple[bytes, bytes]:
        """Return (salt, canonical bytes). Raises UnsealError."""
        try:
            data = self._aead.decrypt(sealed[:_NONCE], sealed[_NONCE:], f"{entry}/{field}".encode())
        except InvalidTag as error:
            raise UnsealError(f"the value {field} of entry {entry} does not open") from error
        return data[:SALT_SIZE], data[SALT_SIZE:]
