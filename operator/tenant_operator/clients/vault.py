"""Vault as the operator uses it: transit keys, policies and login roles, and the few operations on keys that offboarding needs.

What is there is read, compared and only then changed, so a lost reply or a kill between two calls leaves nothing half known:
Vault's key creation is an upsert (one key, version 1, however often it is asked for), and a rotation is decided on a read
made just before it. A missing key is a 404 on read, a 400 on decrypt, rotate and configuration, a 500 on delete and a 403 on
encrypt (which would create it, given the right); only the list and the read are believed about absence.
"""

import base64
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from tenant_operator.api.reasons import Reason
from tenant_operator.clients.vault_calls import ROLE_FIELDS, delete_key, names_at, read_key, read_policy, read_role
from tenant_operator.clients.vault_client import VaultAccess, VaultClient, data
from tenant_operator.errors import Refused, Retryable
from tenant_operator.stack.part import Context, External, ExternalKey

AccessFor = Callable[[Context], Awaitable[VaultAccess]]


class Vault:
    """The OutsideSystem `vault`, kinds `key`, `policy` and `role`, over one client per Vault."""

    def __init__(self, access_for: AccessFor) -> None:
        self._access_for = access_for
        self._clients: dict[VaultAccess, VaultClient] = {}

    async def client(self, ctx: Context) -> VaultClient:
        """Return the client of the tenant's Region."""
        access = await self._access_for(ctx)
        if access not in self._clients:
            for old in [one for one in self._clients if replace(one, ca="") == replace(access, ca="")]:
                self._clients.pop(old)  # its CA was replaced; calls under way finish on the old one
            self._clients[access] = VaultClient(access)
        return self._clients[access]

    def close(self) -> None:
        """Close every client."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    async def observe(self, ctx: Context, wanted: External) -> Mapping[str, Any] | None:
        """Return what is there in the shape of `wanted.spec`, with facts beside it; None when it is seen to be absent."""
        client = await self.client(ctx)
        mount, auth, name = client.access.transit_mount, client.access.auth_mount, wanted.key.name
        match wanted.key.kind:
            case "key":
                found = await client.call(f"read key {name}", lambda v: read_key(v, mount, name))
                return None if found is None else _key_facts(found, wanted.spec, ctx.now)
            case "policy":
                return await client.call(f"read policy {name}", lambda v: read_policy(v, name))
            case "role":
                return await client.call(f"read role {name}", lambda v: read_role(v, auth, name))
            case _:
                raise Refused(f"Vault has no kind {wanted.key.kind}", reason=Reason.VAULT_REFUSED)

    async def ensure(self, ctx: Context, wanted: External, seen: Mapping[str, Any] | None) -> str:
        """Create it or bring it to `wanted.spec`; return create, update or rotate. Raises Refused for a foreign key."""
        client = await self.client(ctx)
        auth, name = client.access.auth_mount, wanted.key.name
        match wanted.key.kind:
            case "key":
                return await self._ensure_key(ctx, client, wanted)
            case "policy":
                rules = str(wanted.spec["rules"])
                await client.call(f"write policy {name}", lambda v: v.sys.create_or_update_acl_policy(name, rules))
            case "role":
                body = {theirs: wanted.spec[ours] for ours, theirs in ROLE_FIELDS.items()}
                path = f"/v1/auth/{auth}/role/{name}"
                await client.call(f"write role {name}", lambda v: v.adapter.post(path, json=body))
            case _:
                raise Refused(f"Vault has no kind {wanted.key.kind}", reason=Reason.VAULT_REFUSED)
        return "create" if seen is None else "update"

    async def delete(self, ctx: Context, key: ExternalKey) -> None:
        """Destroy it. A key goes with all its versions; what is already gone is fine. Raises Retryable when it remains."""
        client = await self.client(ctx)
        mount, auth, name = client.access.transit_mount, client.access.auth_mount, key.name
        match key.kind:
            case "key":
                await client.call(f"delete key {name}", lambda v: delete_key(v, mount, name))
                if name in await self.list_keys(ctx, name):
                    raise Retryable(f"key {name} is still listed after its deletion", reason=Reason.VAULT_REFUSED)
            case "policy":
                await client.call(f"delete policy {name}", lambda v: v.adapter.delete(f"/v1/sys/policies/acl/{name}"))
            case "role":
                await client.call(f"delete role {name}", lambda v: v.adapter.delete(f"/v1/auth/{auth}/role/{name}"))
            case _:
                raise Refused(f"Vault has no kind {key.kind}", reason=Reason.VAULT_REFUSED)

    async def is_absent(self, ctx: Context, key: ExternalKey) -> bool:
        """Tell by Vault's own lists that it is gone."""
        client = await self.client(ctx)
        mount, auth = client.access.transit_mount, client.access.auth_mount
        paths = {"key": f"/v1/{mount}/keys", "policy": "/v1/sys/policies/acl", "role": f"/v1/auth/{auth}/role"}
        if key.kind not in paths:
            raise Refused(f"Vault has no kind {key.kind}", reason=Reason.VAULT_REFUSED)
        return key.name not in await client.call(f"list {key.kind}s", lambda v: names_at(v, paths[key.kind]))

    async def list_keys(self, ctx: Context, prefix: str = "cloister-") -> list[str]:
        """Return the names of the transit keys that begin with the prefix."""
        client = await self.client(ctx)
        found = await client.call("list keys", lambda v: names_at(v, f"/v1/{client.access.transit_mount}/keys"))
        return sorted(name for name in found if name.startswith(prefix))

    async def encrypt(self, ctx: Context, key: str, plaintext: bytes) -> str:
        """Return the plaintext sealed with a key."""
        body = {"plaintext": base64.b64encode(plaintext).decode()}
        return str((await self._transit(ctx, "encrypt", key, body))["ciphertext"])

    async def decrypt(self, ctx: Context, key: str, ciphertext: str) -> bytes:
        """Return the plaintext. Raises Refused when the key is gone or the ciphertext is not the key's."""
        return base64.b64decode((await self._transit(ctx, "decrypt", key, {"ciphertext": ciphertext}))["plaintext"])

    async def opens(self, ctx: Context, key: str, ciphertext: str) -> bool:
        """Tell whether a ciphertext can still be opened, by rewrapping it: the operator needs no right to decrypt.

        Only Vault's own "no such key" counts as False; anything else it may say is raised, never taken for a proof.
        """
        try:
            await self._transit(ctx, "rewrap", key, {"ciphertext": ciphertext})
        except Refused as error:
            if "encryption key not found" in error.message:
                return False
            raise
        return True

    async def datakey(self, ctx: Context, key: str) -> tuple[bytes, str]:
        """Return a fresh 256-bit data key, and the same sealed with the transit key."""
        found = await self._transit(ctx, "datakey/plaintext", key, {"bits": 256})
        return base64.b64decode(found["plaintext"]), str(found["ciphertext"])

    async def sign(self, ctx: Context, key: str, message: bytes) -> str:
        """Return the signature in Vault's form, `vault:v1:base64`."""
        body = {"input": base64.b64encode(message).decode()}
        return str((await self._transit(ctx, "sign", key, body))["signature"])

    async def verify(self, ctx: Context, key: str, message: bytes, signature: str) -> bool:
        """Tell whether a signature in Vault's form is the key's."""
        body = {"input": base64.b64encode(message).decode(), "signature": signature}
        return bool((await self._transit(ctx, "verify", key, body))["valid"])

    async def public_keys(self, ctx: Context, key: str) -> dict[int, bytes]:
        """Return a signing key's raw public keys by version; empty when there is no such key."""
        client = await self.client(ctx)
        found = await client.call(f"read key {key}", lambda v: read_key(v, client.access.transit_mount, key))
        versions = (found or {}).get("keys", {})
        return {int(number): base64.b64decode(version["public_key"]) for number, version in versions.items()}

    async def _transit(self, ctx: Context, verb: str, key: str, body: Mapping[str, Any]) -> dict[str, Any]:
        client = await self.client(ctx)
        path = f"/v1/{client.access.transit_mount}/{verb}/{key}"
        return await client.call(f"{verb} with key {key}", lambda v: data(v.adapter.post(path, json=dict(body))))

    async def _ensure_key(self, ctx: Context, client: VaultClient, wanted: External) -> str:
        mount, name, spec = client.access.transit_mount, wanted.key.name, wanted.spec
        found = await client.call(f"read key {name}", lambda v: read_key(v, mount, name))
        verb = "update"
        if found is None:
            verb = "create"
            body = {"type": spec["type"], "exportable": False, "allow_plaintext_backup": False}
            await client.call(f"create key {name}", lambda v: v.adapter.post(f"/v1/{mount}/keys/{name}", json=body))
            found = await client.call(f"read key {name}", lambda v: read_key(v, mount, name))
            if found is None:
                raise Retryable(f"key {name} was created but cannot be read yet", reason=Reason.VAULT_UNREACHABLE)
        facts = _key_facts(found, spec, ctx.now)
        _refuse_foreign(name, facts, spec)
        config = {"deletion_allowed": False, "auto_rotate_period": 0}
        if any(found.get(field) != value for field, value in config.items()):
            await client.call(
                f"configure key {name}", lambda v: v.adapter.post(f"/v1/{mount}/keys/{name}/config", json=config)
            )
        if facts["rotationDue"]:
            await client.call(f"rotate key {name}", lambda v: v.adapter.post(f"/v1/{mount}/keys/{name}/rotate"))
            verb = "rotate"
        return verb


def _refuse_foreign(name: str, facts: Mapping[str, Any], spec: Mapping[str, Any]) -> None:
    if facts["type"] != spec["type"]:
        raise Refused(
            f"key {name} exists with type {facts['type']}, not {spec['type']}; it was not made by this operator and is left "
            "alone. Move it away in Vault; the right one is then made",
            reason=Reason.VAULT_REFUSED,
        )
    if facts["exportable"] or facts["allowPlaintextBackup"]:
        raise Refused(
            f"key {name} can leave Vault (exportable or allow_plaintext_backup), and Vault cannot take that back",
            reason=Reason.VAULT_REFUSED,
        )


def _key_facts(found: Mapping[str, Any], spec: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    latest = int(found["latest_version"])
    made = _made_at(found["keys"][str(latest)])
    period = int(spec.get("rotationPeriodSeconds", 0))
    return {
        "type": found["type"],
        "exportable": bool(found["exportable"]),
        "allowPlaintextBackup": bool(found["allow_plaintext_backup"]),
        "deletionAllowed": bool(found["deletion_allowed"]),
        "autoRotateSeconds": int(found.get("auto_rotate_period") or 0),
        "rotationPeriodSeconds": period,
        "rotationDue": period > 0 and (now - made).total_seconds() >= period,
        "latestVersion": latest,
        "latestVersionAt": made.isoformat(timespec="seconds"),
    }


def _made_at(version: Any) -> datetime:
    """Vault gives seconds for a symmetric key's version, and an object with a time for an asymmetric one's."""
    if isinstance(version, int):
        return datetime.fromtimestamp(version, UTC)
    return datetime.fromisoformat(str(version["creation_time"])[:19]).replace(tzinfo=UTC)
