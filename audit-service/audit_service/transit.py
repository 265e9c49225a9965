"""An Ed25519 key that stays in Vault's transit engine: it signs there, and only its public half is ever seen here."""

import asyncio
import base64
import binascii
from collections.abc import Callable
from typing import Final, TypeVar

import hvac
import requests
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hvac.exceptions import Forbidden, VaultError

from audit_service.settings import VaultSigning, secret

_SECONDS: Final = 5
_SIGNATURE: Final = 64
_T = TypeVar("_T")


class TransitError(Exception):
    """Vault did not sign; asking again later may help."""


class TransitKey:
    """One version of one key. Logs in with the service account's token when it must, and again when Vault says so."""

    def __init__(self, settings: VaultSigning, version: int) -> None:
        self._settings, self.version = settings, version
        self._client: hvac.Client | None = None
        self._public: Ed25519PublicKey | None = None
        self._turn = asyncio.Lock()  # hvac's client is for one thread at a time

    async def public(self) -> Ed25519PublicKey:
        """Return the public key, asked for once. Raises TransitError."""
        if self._public is None:
            self._public = await self._asked(self._read_public)
        return self._public

    async def sign(self, message: bytes) -> bytes:
        """Return the signature of a message, checked. Raises TransitError."""
        public = await self.public()
        signature = await self._asked(lambda client: self._sign(client, message))
        try:
            public.verify(signature, message)
        except InvalidSignature as error:
            raise TransitError("vault: what it signed does not verify by the key it showed") from error
        return signature

    async def _asked(self, question: Callable[[hvac.Client], _T]) -> _T:
        try:
            async with self._turn:
                return await asyncio.to_thread(self._with_login, question)
        except (VaultError, requests.RequestException, OSError, KeyError, ValueError, binascii.Error) as error:
            raise TransitError(f"vault at {self._settings.address}: {type(error).__name__}: {error}") from error

    def _with_login(self, question: Callable[[hvac.Client], _T]) -> _T:
        """Ask, and once more with a new login when the old one has run out."""
        if self._client is not None:
            try:
                return question(self._client)
            except Forbidden:
                self._client = None
        settings = self._settings
        verify: bool | str = True if settings.ca_file is None else str(settings.ca_file)
        client = hvac.Client(url=settings.address, verify=verify, timeout=_SECONDS)
        token = secret(settings.token_file)
        client.auth.jwt.jwt_login(role=settings.role, jwt=token, path=settings.auth_mount)
        self._client = client
        return question(client)

    def _read_public(self, client: hvac.Client) -> Ed25519PublicKey:
        settings = self._settings
        said = client.secrets.transit.read_key(  # type: ignore[no-untyped-call]
            settings.signing_key, mount_point=settings.transit_mount
        )["data"]
        if said["type"] != "ed25519":
            raise TransitError(f"vault: {settings.signing_key} is of type {said['type']}, ed25519 is needed")
        if str(self.version) not in said["keys"]:
            raise TransitError(f"vault: {settings.signing_key} has no version {self.version}")
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(said["keys"][str(self.version)]["public_key"]))

    def _sign(self, client: hvac.Client, message: bytes) -> bytes:
        settings = self._settings
        said = client.secrets.transit.sign_data(  # type: ignore[no-untyped-call]
            settings.signing_key,
            base64.b64encode(message).decode(),
            key_version=self.version,
            mount_point=settings.transit_mount,
        )
        prefix, _, encoded = said["data"]["signature"].rpartition(":")
        signature = base64.b64decode(encoded, validate=True)
        if prefix != f"vault:v{self.version}" or len(signature) != _SIGNATURE:
            raise TransitError("vault: its answer is not a signature by the version asked for")
        return signature
