"""An inspector's session: what a browser holds instead of a token. It lives in this process, and no longer than its token."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from audit_service.http.identity import Caller

COOKIE: Final = "__Host-cloister-inspector"
"""The prefix makes browsers refuse it without `Secure`, with a `Domain`, or for a part of the site."""
MAX_SECONDS: Final = 3600.0
"""However long the token lives: an inspector who reads longer asks for another one."""
_MAX_SESSIONS: Final = 1024


@dataclass(frozen=True, slots=True)
class Session:
    """Who is signed in, and until when, in seconds since the epoch."""

    caller: Caller
    expires: float


class Sessions:
    """The sessions there are, by the hash of what the browser holds: a look into this process's memory gives none away."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._open: dict[bytes, Session] = {}

    def now(self) -> float:
        """Return the time, in seconds since the epoch."""
        return self._clock()

    def start(self, caller: Caller) -> tuple[str, Session]:
        """Return a new session and the secret that stands for it."""
        at = self._clock()
        self._open = {key: each for key, each in self._open.items() if each.expires > at}
        while len(self._open) >= _MAX_SESSIONS:
            self._open.pop(next(iter(self._open)))  # the oldest: whoever it was signs in again
        secret = secrets.token_urlsafe(32)
        session = Session(caller, min(caller.expires, at + MAX_SECONDS))
        self._open[_key(secret)] = session
        return secret, session

    def find(self, secret: str | None) -> Session | None:
        """Return the session that the secret stands for, None when there is none or its time is over."""
        session = self._open.get(_key(secret)) if secret else None
        return session if session is not None and session.expires > self._clock() else None

    def end(self, secret: str | None) -> None:
        """Forget a session."""
        if secret:
            self._open.pop(_key(secret), None)


def _key(secret: str) -> bytes:
    return sha256(secret.encode("utf-8", "surrogateescape")).digest()
