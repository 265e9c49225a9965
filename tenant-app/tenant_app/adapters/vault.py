"""Vault through hvac: logs in with the projected token, renews before expiry, wraps, unwraps and signs.

hvac is synchronous, so each call runs in a thread. The Vault token lives in this object only; it is never logged or stored.
"""

import asyncio
import base64
import binascii
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import hvac
import hvac.exceptions
import requests

from tenant_app.adapters.ports import Seal
from tenant_app.errors import AppError, VaultAway, VaultRefused
from tenant_app.settings import VaultSection, read_secret

log = logging.getLogger(__name__)
T = TypeVar("T")
TIMEOUT = 5
# Renewed when a third of its life is left, so that a Vault that is away for a while costs nothing.
RENEW_AT = 2 / 3


class VaultKeys:
    """The tenant's transit and signing keys (port `Keys`)."""

    def __init__(self, section: VaultSection, *, role: str | None = None) -> None:
        self._section = section
        self._role = role or section.role
        # Typed as Any: the stubs leave half of the methods untyped.
        self._client: Any = hvac.Client(
            url=section.address, verify=str(section.ca_file) if section.ca_file else True, timeout=TIMEOUT
        )
        self._lock = threading.Lock()
        self._renew_at = 0.0
        self._dies_at = 0.0

    async def wrap(self, key: bytes, bound_to: bytes) -> str:
        """See `Keys.wrap`."""
        answer = await self._call(
            lambda: self._client.secrets.transit.encrypt_data(
                name=self._section.key,
                plaintext=_b64(key),
                associated_data=_b64(bound_to),
                mount_point=self._section.transit_mount,
            )
        )
        return str(_data(answer)["ciphertext"])

    async def unwrap(self, wrapped: str, bound_to: bytes) -> bytes:
        """See `Keys.unwrap`."""
        answer = await self._call(
            lambda: self._client.secrets.transit.decrypt_data(
                name=self._section.key,
                ciphertext=wrapped,
                associated_data=_b64(bound_to),
                mount_point=self._section.transit_mount,
            )
        )
        return _unb64(_data(answer)["plaintext"])

    async def sign(self, message: bytes) -> Seal:
        """See `Keys.sign`."""
        answer = await self._call(
            lambda: self._client.secrets.transit.sign_data(
                name=self._section.signing_key, hash_input=_b64(message), mount_point=self._section.transit_mount
            )
        )
        # Vault's form is vault:v<version>:<base64>.
        _, version, signature = str(_data(answer)["signature"]).split(":", 2)
        return Seal(
            key=self._section.signing_key, key_version=int(version.removeprefix("v")), signature=_unb64(signature)
        )

    async def public_keys(self) -> dict[int, bytes]:
        """See `Keys.public_keys`."""
        answer = await self._call(
            lambda: self._client.secrets.transit.read_key(
                name=self._section.signing_key, mount_point=self._section.transit_mount
            )
        )
        return {int(version): _unb64(key["public_key"]) for version, key in _data(answer)["keys"].items()}

    async def check(self) -> None:
        """See `Keys.check`: a token is had and Vault says it is good."""
        await self._call(self._client.auth.token.lookup_self)

    async def _call(self, call: Callable[[], T]) -> T:
        return await asyncio.to_thread(self._run, call)

    def _run(self, call: Callable[[], T]) -> T:
        try:
            self._ensure_token()
            try:
                return call()
            except hvac.exceptions.Forbidden:
                # The token may have been revoked, or the policy widened since it was issued: one fresh login tells.
                with self._lock:
                    self._log_in()
                return call()
        except (hvac.exceptions.VaultError, requests.RequestException, OSError) as error:
            raise _translated(error) from error

    def _ensure_token(self) -> None:
        now = time.monotonic()
        if now < self._renew_at:
            return
        with self._lock:
            if now < self._renew_at:
                return
            if now < self._dies_at and self._renewed():
                return
            self._log_in()

    def _renewed(self) -> bool:
        try:
            self._keep(self._client.auth.token.renew_self()["auth"])
        except hvac.exceptions.VaultError as error:
            log.info("the Vault token was not renewed, logging in anew: %s", type(error).__name__)
            return False
        return True

    def _log_in(self) -> None:
        # Read anew at each login: the kubelet replaces the projected token every few minutes.
        answer = self._client.auth.jwt.jwt_login(
            role=self._role, jwt=read_secret(self._section.token_file), path=self._section.auth_mount
        )
        self._keep(answer["auth"])

    def _keep(self, auth: Mapping[str, Any]) -> None:
        lease = float(auth.get("lease_duration") or 60)
        now = time.monotonic()
        self._renew_at, self._dies_at = now + lease * RENEW_AT, now + lease * 0.95


def _translated(error: Exception) -> AppError:
    # The exception's text may quote the request, so only its type is told.
    if isinstance(error, hvac.exceptions.Forbidden | hvac.exceptions.InvalidRequest | hvac.exceptions.InvalidPath):
        return VaultRefused(f"The key service refused ({type(error).__name__}).")
    return VaultAway("The key service does not answer. Documents cannot be opened or stored until it does.")


def _data(answer: Any) -> Any:  # hvac's answers are untyped JSON
    return answer["data"]


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _unb64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise VaultRefused("The key service answered something that cannot be read.") from error
