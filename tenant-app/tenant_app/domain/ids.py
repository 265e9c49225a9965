"""Identifiers: time-ordered UUIDs (RFC 9562, version 7) and unguessable tokens."""

import hashlib
import hmac
import os
import secrets
import time
from uuid import UUID


def uuid7() -> UUID:
    """Return a version 7 UUID: 48 bits of milliseconds, then 74 random bits."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = (value & ~(0xF << 76)) | (0x7 << 76)
    value = (value & ~(0x3 << 62)) | (0x2 << 62)
    return UUID(int=value & (1 << 128) - 1)


def new_token() -> str:
    """Return 256 random bits for a session or a form, URL-safe."""
    return secrets.token_urlsafe(32)


def token_hash(token: str) -> bytes:
    """Return what the database keeps of a token, so that reading the table gives nobody a session."""
    return hashlib.sha256(token.encode()).digest()


def same_token(given: str, expected: str) -> bool:
    """Compare two tokens in constant time."""
    return hmac.compare_digest(given.encode(), expected.encode())
