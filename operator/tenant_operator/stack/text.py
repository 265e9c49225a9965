"""Stable text and digests of what is rendered."""

import hashlib
import json
from typing import Any


def canonical(value: Any) -> str:
    """Return compact JSON with sorted keys: same value, same text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(value: Any, length: int = 16) -> str:
    """Return the first hexadecimal digits of the SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:length]
