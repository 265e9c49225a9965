"""Stable text and digests of what is rendered, and names that are checked."""

import hashlib
import json
from typing import Any
from zoneinfo import ZoneInfo


def canonical(value: Any) -> str:
    """Return compact JSON with sorted keys: same value, same text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(value: Any, length: int = 16) -> str:
    """Return the first hexadecimal digits of the SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:length]


def time_zone_error(name: str) -> str | None:
    """Return what is wrong with the name of a time zone, or None."""
    try:
        ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        return f"timeZone {name!r} is not in the IANA time zone database"
    return None
