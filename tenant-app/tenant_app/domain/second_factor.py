"""The second factor: time-based one-time passwords (RFC 6238) and recovery codes. Pure rules (11.200(a)(1), 11.300(e)).

A code is good for its step of 30 seconds and the one on either side, and works once. A device that was neither used nor tested
for longer than the tenant allows has to be tested before it takes part in a signature.
"""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import pyotp

STEP_SECONDS = 30
DRIFT_STEPS = 1
DIGITS = 6
RECOVERY_CODES = 10
_RECOVERY_BYTES = 10


class Policy(StrEnum):
    """Whether the tenant uses a second factor."""

    OFF = "off"
    OPTIONAL = "optional"
    REQUIRED = "required"


class Proven(StrEnum):
    """Which second factor a session was opened with."""

    NONE = "none"
    TOTP = "totp"
    RECOVERY = "recovery"
    PROVIDER = "provider"


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorRules:
    """The tenant's settings."""

    policy: Policy = Policy.OFF
    retest_after: timedelta = timedelta(days=180)

    def due(self, tested_at: datetime, now: datetime) -> bool:
        """Say whether a device has to be tested before it may sign (AT-46)."""
        return now - tested_at > self.retest_after


def new_secret() -> str:
    """Return a fresh secret of 160 bits, as RFC 4226 recommends, in base32."""
    return pyotp.random_base32(32)


def address_of(secret: str, *, account: str, issuer: str) -> str:
    """Return the otpauth address that the picture tells an authenticator app."""
    return pyotp.TOTP(secret).provisioning_uri(name=account, issuer_name=issuer)


def step_of(secret: str, typed: str, *, now: datetime, after: int) -> int | None:
    """Return the time step whose code was typed, None when it is none of the acceptable ones.

    Steps up to `after` are used up: a code seen over a shoulder is worth nothing, and so is the same code again.
    """
    code = "".join(typed.split())
    current = int(now.timestamp()) // STEP_SECONDS
    totp, found = pyotp.TOTP(secret), None
    # Every candidate is compared, in constant time each, so that the time taken tells nothing.
    for step in range(current - DRIFT_STEPS, current + DRIFT_STEPS + 1):
        if hmac.compare_digest(totp.at(step * STEP_SECONDS).encode(), code.encode()) and step > after:
            found = step
    return found


def looks_like_code(typed: str) -> bool:
    """Say whether what was typed has the form of a time-based code, else it is taken for a recovery code."""
    code = "".join(typed.split())
    return len(code) == DIGITS and code.isascii() and code.isdigit()


def new_recovery_codes() -> list[str]:
    """Return ten codes of 80 bits, in groups that can be copied by hand."""
    return [_grouped(base64.b32encode(secrets.token_bytes(_RECOVERY_BYTES)).decode()) for _ in range(RECOVERY_CODES)]


def recovery_hash(sub: str, typed: str) -> bytes:
    """Return what is stored of a recovery code. 80 random bits need no slow hash; the person is part of it."""
    plain = "".join(char for char in typed.upper() if char.isalnum())
    return hashlib.sha256(f"recovery\x00{sub}\x00{plain}".encode()).digest()


def _grouped(text: str) -> str:
    return "-".join(text[start : start + 4] for start in range(0, len(text), 4))
