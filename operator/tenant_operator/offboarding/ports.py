"""What an offboarding needs from the outside beyond `tenant_operator.ports`. Clients implement these; tests fake them."""

from collections.abc import AsyncIterator
from typing import Protocol

from tenant_operator.ports import OutsideSystem, Stored
from tenant_operator.stack.part import Context, Manifest

__all__ = ["ContextFor", "ExportStore", "KeyVault", "Stored"]


class ExportStore(Protocol):
    """The object storage of the tenant's Region, as far as exports go. Raises Retryable or Refused."""

    async def ensure_export_bucket(self, ctx: Context) -> str:
        """Make sure that the Region's export bucket exists; return its name."""

    async def presign(self, ctx: Context, method: str, bucket: str, key: str, seconds: int) -> str:
        """Return an address that allows one method on one object for a while: all that a tenant's pod ever gets."""

    async def stat(self, ctx: Context, bucket: str, key: str) -> Stored | None:
        """Return what a HEAD says; None when the object does not exist."""

    def stream(self, ctx: Context, bucket: str, key: str) -> AsyncIterator[bytes]:
        """Yield the object's bytes."""


class KeyVault(OutsideSystem, Protocol):
    """Vault, with the operations on keys that prove a destruction and sign its certificate."""

    async def encrypt(self, ctx: Context, key: str, plaintext: bytes) -> str:
        """Return the plaintext sealed with a key."""

    async def opens(self, ctx: Context, key: str, ciphertext: str) -> bool:
        """Tell whether a ciphertext can still be opened; False only on Vault's own word that there is no such key."""

    async def sign(self, ctx: Context, key: str, message: bytes) -> str:
        """Return a signature in Vault's form, `vault:v1:base64`."""

    async def public_keys(self, ctx: Context, key: str) -> dict[int, bytes]:
        """Return a signing key's raw public keys by version."""


class ContextFor(Protocol):
    """Builds the context of a tenant that may be deleted already, from its record."""

    async def __call__(self, tenant: Manifest | None, record: Manifest) -> Context:
        """Return the context. Raises Refused when its Region or class is gone, Retryable when they cannot be read."""
