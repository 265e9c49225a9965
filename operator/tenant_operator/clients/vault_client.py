"""One signed-in connection to one Vault: login with the operator's projected token, and its errors in our words.

hvac is synchronous; calls run on a few threads of the client's own, so that a Vault that hangs cannot starve the rest of the
operator. Nothing is retried once a request may have been carried out: the reconciler looks again and decides.
"""

import asyncio
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import hvac
import requests
from hvac.exceptions import (
    BadGateway,
    Forbidden,
    InternalServerError,
    InvalidPath,
    RateLimitExceeded,
    Unauthorized,
    VaultDown,
    VaultError,
    VaultNotInitialized,
)

from tenant_operator.api.reasons import Reason
from tenant_operator.errors import CloisterError, Missing, Refused, Retryable

T = TypeVar("T")
TIMEOUT_SECONDS = 5
THREADS = 4
RENEW_AT = 2 / 3
"""A token is replaced when this share of its life is over."""


@dataclass(frozen=True)
class VaultAccess:
    """How one Region's Vault is reached (Region.spec.vault) and with which token file the operator signs in."""

    address: str
    ca: str = ""
    """PEM of the CA; the system's own trust store when empty."""
    transit_mount: str = "transit"
    auth_mount: str = "jwt"
    role: str = "cloister-operator"
    token_file: Path = Path("/var/run/cloister/tokens/vault")


class VaultClient:
    """A client that is always signed in. Raises Retryable (sealed, unreachable) or Refused (Vault said no)."""

    def __init__(self, access: VaultAccess, *, timeout: int = TIMEOUT_SECONDS) -> None:
        self.access = access
        self._timeout = timeout
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="vault")
        self._signing_in = threading.Lock()
        self._renew_after = 0.0
        self._ca_file: Path | None = None
        self._session = self._new_session()
        self._hvac = hvac.Client(url=access.address.rstrip("/"), session=self._session, timeout=timeout)
        self._hvac.token = ""  # hvac reads VAULT_TOKEN and ~/.vault-token by itself; neither is ours to use

    async def call(self, what: str, act: Callable[[hvac.Client], T]) -> T:
        """Run one request; `what` says in an error message what was tried."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._call, what, act)

    def close(self) -> None:
        """Let go of threads, connections and the CA file."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._session.close()
        if self._ca_file:
            self._ca_file.unlink(missing_ok=True)

    def _call(self, what: str, act: Callable[[hvac.Client], T]) -> T:
        try:
            fresh = self._sign_in()
            try:
                return act(self._hvac)
            except (Forbidden, Unauthorized):
                # A revoked token and a missing right look alike. A refused request was not carried out, so one more try
                # with a new token is safe.
                if fresh:
                    raise
                self._renew_after = 0.0
                self._sign_in()
                return act(self._hvac)
        except (VaultError, requests.RequestException) as error:
            raise translate(self.access.address, what, error) from error

    def _sign_in(self) -> bool:
        """Sign in when the token is missing or near its end. Tell whether the token is new."""
        with self._signing_in:
            if time.monotonic() < self._renew_after:
                return False
            token = self._read_token()
            answer = self._hvac.auth.jwt.jwt_login(
                role=self.access.role, jwt=token, use_token=True, path=self.access.auth_mount
            )
            self._renew_after = time.monotonic() + answer["auth"]["lease_duration"] * RENEW_AT
            return True

    def _read_token(self) -> str:
        try:
            return self.access.token_file.read_text().strip()
        except OSError as error:
            raise Retryable(
                f"the operator's own token for Vault cannot be read: {error}", reason=Reason.VAULT_REFUSED
            ) from error

    def _new_session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = (
            False  # no proxy and no CA bundle from the environment: the Region says how Vault is reached
        )
        if self.access.ca:
            with tempfile.NamedTemporaryFile("w", prefix="vault-ca-", suffix=".crt", delete=False) as file:
                file.write(self.access.ca)
            self._ca_file = Path(file.name)
            session.verify = file.name
        adapter = requests.adapters.HTTPAdapter(pool_maxsize=THREADS, max_retries=0)
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        return session


def translate(address: str, what: str, error: Exception) -> CloisterError:
    """Return our error for the library's. Vault's own words are kept: they name paths and rights, never values."""
    words = "; ".join(getattr(error, "errors", None) or []) or type(error).__name__
    kind: type[CloisterError] = Retryable
    reason = Reason.VAULT_UNREACHABLE
    match error:
        case requests.exceptions.SSLError():
            text = f"the certificate of {address} does not verify: {error}"
        case requests.RequestException():
            text = f"{address} cannot be reached ({words})"
        case VaultDown() if "sealed" in words.lower():
            reason, text = Reason.VAULT_SEALED, f"Vault at {address} is sealed; unseal it"
        case VaultNotInitialized():
            reason, text = Reason.VAULT_SEALED, f"Vault at {address} is not initialised"
        case VaultDown() | InternalServerError() | BadGateway() | RateLimitExceeded():
            text = f"Vault at {address} answered: {words}"
        case InvalidPath():
            kind, reason, text = Missing, Reason.VAULT_REFUSED, f"Vault at {address} knows no such path: {words}"
        case _:
            kind, reason, text = Refused, Reason.VAULT_REFUSED, f"Vault at {address} refused: {words}"
    return kind(f"{what}: {text}", reason=reason)


def data(answer: Any) -> dict[str, Any]:
    """Return the data of an answer; an answer without a body is an empty one."""
    return dict(answer["data"]) if isinstance(answer, dict) and answer.get("data") else {}
