"""In-process stand-ins for Vault and the audit service, with the ports' own meaning and switches to make them fail."""

import asyncio
import base64
import hashlib
import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tenant_app.adapters.ports import Acknowledged, LogEvidence, Outgoing, Seal
from tenant_app.errors import AuditAway, VaultAway, VaultRefused


class FakeKeys:
    """Wraps under a key that lives in this object, as Vault's transit engine would."""

    def __init__(self, key: bytes | None = None, signing: bytes | None = None) -> None:
        self._key = AESGCM(key or os.urandom(32))
        self._signing = Ed25519PrivateKey.from_private_bytes(signing or os.urandom(32))
        self.away = False
        self.calls = 0

    @classmethod
    def of(cls, keys: str) -> "FakeKeys":
        """Return the same keys in another process: both in hex, one after the other."""
        raw = bytes.fromhex(keys)
        return cls(raw[:32], raw[32:])

    async def wrap(self, key: bytes, bound_to: bytes) -> str:
        self._reach()
        nonce = os.urandom(12)
        return "vault:v1:" + base64.b64encode(nonce + self._key.encrypt(nonce, key, bound_to)).decode()

    async def unwrap(self, wrapped: str, bound_to: bytes) -> bytes:
        self._reach()
        raw = base64.b64decode(wrapped.removeprefix("vault:v1:"))
        try:
            return self._key.decrypt(raw[:12], raw[12:], bound_to)
        except InvalidTag as error:
            raise VaultRefused("not ours") from error

    async def sign(self, message: bytes) -> Seal:
        self._reach()
        return Seal(key="signing", key_version=1, signature=self._signing.sign(message))

    async def public_keys(self) -> dict[int, bytes]:
        self._reach()
        return {1: self._signing.public_key().public_bytes_raw()}

    async def check(self) -> None:
        self._reach()

    def _reach(self) -> None:
        self.calls += 1
        if self.away:
            raise VaultAway("sealed")


class FakeAuditLog:
    """Keeps entries by id; the same id again is answered as before. `lose_answers` acknowledges and then fails."""

    def __init__(self) -> None:
        self.entries: list[dict] = []
        self._index: dict[str, int] = {}
        self.away = False
        self.lose_answers = 0

    async def deliver(self, chain: str, entries: Sequence[Outgoing]) -> list[Acknowledged]:
        await asyncio.sleep(0)
        if self.away:
            raise AuditAway("away")
        for entry in entries:
            if entry.body["id"] not in self._index:
                self._index[entry.body["id"]] = len(self.entries)
                self.entries.append({"seq": entry.seq, "chain": chain, **entry.body})
        if self.lose_answers:
            self.lose_answers -= 1
            raise AuditAway("the answer was lost")
        return [self._answer(entry.body["id"]) for entry in entries]

    def _answer(self, entry_id: str) -> Acknowledged:
        leaf = hashlib.sha256(entry_id.encode()).hexdigest()
        return Acknowledged(id=entry_id, log_index=self._index[entry_id], leaf_hash=leaf)

    async def evidence(self, log_index: int) -> LogEvidence:
        raise AuditAway("this log proves nothing")

    def verifier(self) -> bytes:
        return b""

    async def check(self) -> None:
        if self.away:
            raise AuditAway("away")

    async def close(self) -> None:
        pass

    def actions(self) -> list[str]:
        return [entry["action"] for entry in self.entries]
