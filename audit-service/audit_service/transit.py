"""Vault's transit engine: an Ed25519 key that never leaves it, and one that seals the keys this service must hold itself."""

import asyncio
import base64
import binascii
from collections.abc import Callable
from typing import Any, Final, TypeVar

import hvac
import requests
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hvac.exceptions import Forbidden, InvalidRequest, VaultDown, VaultError

from audit_service.settings import VaultKeys, secret

_SECONDS: Final = 5
_SIGNATURE: Final = 64
_T = TypeVar("_T")


class TransitError(Exception):
    """Vault did not do it; asking again later may help. The message says what to do."""


class OtherSealError(TransitError):
    """What was to be unsealed was sealed by another key, or for another purpose."""


class Transit:
    """One login, for all keys. Logs in with the service account's token when it must, and again when Vault says so."""

    def __init__(self, settings: VaultKeys) -> None:
        self.settings = settings
        self._client: hvac.Client | None = None
        self._turn = asyncio.Lock()  # hvac's client is for one thread at a time

    async def ask(self, question: Callable[[hvac.Client], _T]) -> _T:
        """Ask in a thread. Raises TransitError."""
        try:
            async with self._turn:
                return await asyncio.to_thread(self._with_login, question)
        except (VaultError, requests.RequestException, OSError, KeyError, ValueError, binascii.Error) as error:
            said = f"vault at {self.settings.address}: {type(error).__name__}: {error}"
            raise TransitError(f"{said}; {_advice(error)}") from error

    def _with_login(self, question: Callable[[hvac.Client], _T]) -> _T:
        """Ask, and once more with a new login when the old one has run out."""
        if self._client is not None:
            try:
                return question(self._client)
            except Forbidden:
                self._client = None
        settings = self.settings
        verify: bool | str = True if settings.ca_file is None else str(settings.ca_file)
        client = hvac.Client(url=settings.address, verify=verify, timeout=_SECONDS)
        token = secret(settings.token_file)
        client.auth.jwt.jwt_login(role=settings.role, jwt=token, path=settings.auth_mount)
        self._client = client
        return question(client)


def _advice(error: Exception) -> str:
    if isinstance(error, VaultDown):
        return "unseal it"
    if isinstance(error, (Forbidden, InvalidRequest)):
        return "compare its keys, policy and role with charts/cloister/files/vault-audit-policy.hcl"
    return "it is asked again by itself: look at its address, certificate and the network policy"


class TransitKey:
    """One version of the key that signs."""

    def __init__(self, transit: Transit, version: int) -> None:
        self._transit, self.version = transit, version
        self._name = transit.settings.signing_key
        self._public: Ed25519PublicKey | None = None

    async def public(self) -> Ed25519PublicKey:
        """Return the public key, asked for once. Raises TransitError."""
        if self._public is None:
            self._public = await self._transit.ask(self._read_public)
        return self._public

    async def sign(self, message: bytes) -> bytes:
        """Return the signature of a message, checked. Raises TransitError."""
        public = await self.public()
        signature = await self._transit.ask(lambda client: self._sign(client, message))
        try:
            public.verify(signature, message)
        except InvalidSignature as error:
            raise TransitError("vault: what it signed does not verify by the key it showed") from error
        return signature

    def _read_public(self, client: hvac.Client) -> Ed25519PublicKey:
        said = client.secrets.transit.read_key(  # type: ignore[no-untyped-call]
            self._name, mount_point=self._transit.settings.transit_mount
        )["data"]
        if said["type"] != "ed25519":
            raise TransitError(f"vault: {self._name} is of type {said['type']}, ed25519 is needed")
        if str(self.version) not in said["keys"]:
            raise TransitError(
                f"vault: {self._name} has no version {self.version}: rotate it there, then name the version"
            )
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(said["keys"][str(self.version)]["public_key"]))

    def _sign(self, client: hvac.Client, message: bytes) -> bytes:
        said = client.secrets.transit.sign_data(  # type: ignore[no-untyped-call]
            self._name,
            base64.b64encode(message).decode(),
            key_version=self.version,
            mount_point=self._transit.settings.transit_mount,
        )
        prefix, _, encoded = said["data"]["signature"].rpartition(":")
        signature = base64.b64decode(encoded, validate=True)
        if prefix != f"vault:v{self.version}" or len(signature) != _SIGNATURE:
            raise TransitError("vault: its answer is not a signature by the version asked for")
        return signature


class TransitSealer:
    """Seals short secrets with a key of Vault's (aes256-gcm96), each for one purpose: for another it does not open.

    The purpose is the AEAD's associated data (`associated_data` of transit/encrypt, Vault 1.9 and OpenBao).
    """

    def __init__(self, transit: Transit) -> None:
        self._transit = transit

    async def seal(self, secret_bytes: bytes, purpose: str) -> str:
        """Return the ciphertext, as Vault writes it: `vault:v<version>:…`. Raises TransitError."""
        said = await self._call("encrypt", {"plaintext": base64.b64encode(secret_bytes).decode()}, purpose)
        return str(said["ciphertext"])

    async def unseal(self, sealed: str, purpose: str) -> bytes:
        """Return the secret. Raises TransitError or OtherSealError."""
        try:
            return base64.b64decode((await self._call("decrypt", {"ciphertext": sealed}, purpose))["plaintext"])
        except TransitError as error:
            if isinstance(error.__cause__, InvalidRequest):
                raise OtherSealError(
                    f"{purpose} does not open: {error}. If this Vault or its key {self._transit.settings.sealing_key} is "
                    "another than the one that sealed it, restore Vault from its backup: nothing else opens it"
                ) from error
            raise

    async def _call(self, verb: str, body: dict[str, str], purpose: str) -> dict[str, Any]:
        settings = self._transit.settings
        path = f"{settings.transit_mount}/{verb}/{settings.sealing_key}"
        data = {
            **body,
            "associated_data": base64.b64encode(purpose.encode()).decode(),
        }  # hvac's own method has no such field

        def question(client: hvac.Client) -> dict[str, Any]:
            said = client.write_data(path, data=data)
            if not isinstance(said, dict):
                raise TransitError(f"vault: {path} answers {said.status_code} without a body")
            return dict(said["data"])

        return await self._transit.ask(question)
