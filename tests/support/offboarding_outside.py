"""Vault, the object store and the audit log of the offboarding's tests, in memory."""

import base64
import json
from collections.abc import Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit_contract.checkpoint import Checkpoint
from audit_contract.merkle import inclusion_ranges, leaf_hash, root_of
from audit_contract.proof import InclusionProof
from tenant_operator.api.reasons import Reason
from tenant_operator.errors import Missing, Retryable
from tenant_operator.offboarding.ports import Stored
from tenant_operator.stack.part import ExternalKey
from tests.support.offboarding_effects import Effects


@dataclass
class FakeVault(Effects):
    """Vault's keys and what they do; what else is outside is only there or not."""

    keys: dict[str, str] = field(default_factory=dict)
    sealed: dict[str, str] = field(default_factory=dict)
    outside: set[ExternalKey] = field(default_factory=set)
    signing: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    canaries: Any = field(default_factory=lambda: count(1))

    async def observe(self, ctx: Any, wanted: Any) -> Mapping[str, Any] | None:
        return {"type": self.keys[wanted.key.name]} if wanted.key.name in self.keys else None

    async def ensure(self, ctx: Any, wanted: Any, seen: Any) -> str:
        self.effect(f"ensure {wanted.key}", lambda: self.keys.setdefault(wanted.key.name, wanted.spec["type"]))
        return "create"

    async def is_absent(self, ctx: Any, key: ExternalKey) -> bool:
        return key.name not in self.keys if key.kind == "key" else key not in self.outside

    async def encrypt(self, ctx: Any, key: str, plaintext: bytes) -> str:
        def act() -> str:
            text = f"vault:v1:{next(self.canaries)}"
            self.sealed[text] = key
            return text

        return self.effect(f"encrypt {key}", act)

    async def opens(self, ctx: Any, key: str, ciphertext: str) -> bool:
        return key in self.keys and self.sealed[ciphertext] == key

    async def sign(self, ctx: Any, key: str, message: bytes) -> str:
        return "vault:v1:" + base64.b64encode(self.signing.sign(message)).decode()

    async def public_keys(self, ctx: Any, key: str) -> dict[int, bytes]:
        raw = self.signing.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return {1: raw} if key in self.keys else {}


@dataclass
class FakeLog(Effects):
    """The recorder over logs whose proofs verify."""

    logs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    audit_down: bool = False
    checkpoint_lags: int = 0

    async def open_log(self, ctx: Any) -> None:
        pass

    def _append(self, log: str, body: dict[str, Any]) -> int:
        if self.audit_down:
            raise Retryable("the audit service cannot be reached", reason=Reason.AUDIT_UNAVAILABLE)
        entries = self.logs.setdefault(log, [])
        entries.append(body)
        return len(entries) - 1

    @asynccontextmanager
    async def acts(self, log: str, planned: Sequence[Any]):
        for item in planned:
            self._append(log, {"phase": "intent", "action": item.action, "object": item.object_id})
        held = [_Act() for _ in planned]
        try:
            yield held
        finally:
            for item, act in zip(planned, held, strict=True):
                self._append(
                    log, {"phase": "outcome", "action": item.action, "object": item.object_id, "result": act.result}
                )

    async def note(self, log: str, observed: Any, result: str = "ok") -> Mapping[str, Any]:
        body = {
            "phase": "single",
            "action": observed.action,
            "text": observed.text,
            "actor": observed.actor,
            "result": result,
        }
        index = self.effect(f"note {observed.action}", lambda: self._append(log, body))
        return {"id": f"{log}-{index}", "index": index, "leafHash": _leaf(body).hex()}

    async def proof(self, log: str, index: int) -> bytes:
        if self.checkpoint_lags:
            self.checkpoint_lags -= 1
            raise Missing("a tree of that size has no such leaf")
        leaves = [_leaf(body) for body in self.logs[log]]
        path = tuple(root_of(leaves[begin:end]) for begin, end in inclusion_ranges(index, len(leaves)))
        point = Checkpoint(f"cloister.example/{log}", len(leaves), root_of(leaves)).text()
        signature = "— cloister.example " + base64.b64encode(b"\0" * 68).decode()
        return InclusionProof(index, path, f"{point}\n{signature}\n".encode()).encode()


class _Act:
    result = "error"

    def done(self, result: str = "ok", text: str = "") -> None:
        self.result = result


def _leaf(body: Mapping[str, Any]) -> bytes:
    return leaf_hash(json.dumps(body, sort_keys=True).encode())


@dataclass
class FakeOutside:
    """Vault's or the object store's side of OutsideSystem; their deletions differ."""

    world: Any

    async def observe(self, ctx: Any, wanted: Any) -> Any:
        return await self.world.observe(ctx, wanted)

    async def ensure(self, ctx: Any, wanted: Any, seen: Any) -> str:
        return await self.world.ensure(ctx, wanted, seen)

    async def is_absent(self, ctx: Any, key: ExternalKey) -> bool:
        return await self.world.is_absent(ctx, key)

    async def delete(self, ctx: Any, key: ExternalKey) -> None:
        def act() -> None:
            self.world.keys.pop(key.name, None) if key.kind == "key" else self.world.outside.discard(key)

        self.world.effect(f"delete {key}", act, destroys=True)


@dataclass
class FakeStore:
    """The export store."""

    world: Any

    async def ensure_export_bucket(self, ctx: Any) -> str:
        return ctx.region.object_store.export_bucket

    async def presign(self, ctx: Any, method: str, bucket: str, key: str, seconds: int) -> str:
        return f"https://store/{bucket}/{key}?{method}"

    async def stat(self, ctx: Any, bucket: str, key: str) -> Stored | None:
        found = self.world.stored.get((bucket, key))
        return None if found is None else Stored(len(found))

    async def stream(self, ctx: Any, bucket: str, key: str):
        yield self.world.stored[bucket, key]
