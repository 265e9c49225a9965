"""Salted commitments: a leaf says that a value was, without saying it, so the value can be erased and the tree stands.

`c = HMAC-SHA256(salt, RFC 8785 bytes of the value)`, 32 bytes, with a random 32-byte salt a value. Without the salt a
value of few possibilities cannot be guessed from its commitment. Pure.
"""

import hmac
from typing import Final

SALT_SIZE: Final = 32


def commit(salt: bytes, value: bytes) -> str:
    """Return the commitment, in hex, to a value given as its canonical bytes."""
    return hmac.digest(salt, value, "sha256").hex()


def holds(commitment: str, salt: bytes, value: bytes) -> bool:
    """Tell whether the commitment is to this value."""
    return len(salt) == SALT_SIZE and hmac.compare_digest(commitment, commit(salt, value))
