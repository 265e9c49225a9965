"""SCRAM-SHA-256 verifiers (RFC 5803, RFC 7677) made and checked on our side, so that no server ever reads a password."""

import base64
import hashlib
import hmac
import os
import re
from functools import lru_cache

ITERATIONS = 4096
"""PostgreSQL's own figure (scram_iterations). The passwords are 192 bits of randomness, so stretching adds nothing."""
_VERIFIER = re.compile(r"SCRAM-SHA-256\$([0-9]+):([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+):([A-Za-z0-9+/=]+)")


def verifier(password: str, salt: bytes | None = None, iterations: int = ITERATIONS) -> str:
    """Return what PostgreSQL stores in pg_authid.rolpassword. The password is ASCII, so SASLprep changes nothing."""
    salt = os.urandom(16) if salt is None else salt
    stored, server = _keys(password, salt, iterations)
    return f"SCRAM-SHA-256${iterations}:{_b64(salt)}${_b64(stored)}:{_b64(server)}"


def matches(password: str, stored: str | None) -> bool:
    """Tell whether a stored verifier was made from this password."""
    found = _VERIFIER.fullmatch(stored or "")
    if found is None:
        return False
    expected = verifier(password, base64.b64decode(found[2]), int(found[1]))
    return hmac.compare_digest(expected, found[0])


@lru_cache(maxsize=4096)
def _keys(password: str, salt: bytes, iterations: int) -> tuple[bytes, bytes]:
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    client = hmac.digest(salted, b"Client Key", "sha256")
    return hashlib.sha256(client).digest(), hmac.digest(salted, b"Server Key", "sha256")


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
