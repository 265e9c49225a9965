"""A real Vault with the audit service's keys, role and the very policy that the chart ships."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from audit_contract.client import AuditClient
from audit_service.settings import Keys, Settings, VaultKeys
from tests.audit_service.service import TENANT_LOG
from tests.tenant_app.support.vault import Vault, vault

POLICY = Path(__file__).parents[2] / "charts" / "cloister" / "files" / "vault-audit-policy.hcl"
SIGNING, SEALING = "cloister-audit-signing", "cloister-audit-sealing"


@contextmanager
def audit_vault(folder: Path, *, seconds: int = 900) -> Iterator[Vault]:
    """Have a Vault; a login at it lives for so many seconds."""
    with vault(folder) as found:
        found.root.secrets.transit.create_key(SIGNING, key_type="ed25519")
        found.root.secrets.transit.create_key(SEALING, key_type="aes256-gcm96")
        found.root.sys.create_or_update_policy("audit", POLICY.read_text())
        found.root.write_data(
            "auth/jwt/role/audit",
            data={
                "role_type": "jwt", "user_claim": "sub", "bound_audiences": ["vault"], "token_policies": ["audit"],
                "bound_subject": "system:serviceaccount:tenant-x:app", "token_ttl": seconds, "token_max_ttl": seconds,
            },
        )  # fmt: skip
        yield found


def keys_at(server: Vault, **more: object) -> VaultKeys:
    facts = {"address": server.address, "role": "audit", "token_file": server.token_file}
    return VaultKeys(**{**facts, "signing_key": SIGNING, "sealing_key": SEALING, **more})


def in_vault(settings: Settings, server: Vault, *, files: bool = False, **more: object) -> Settings:
    """The settings with their keys in Vault; with `files` those from before are still there."""
    keys = keys_in(settings, settings.keys.ed25519_file.parent if files else Path("/nowhere"))
    return settings.model_copy(update={"keys": keys, "vault": keys_at(server, **more)})


def keys_in(settings: Settings, folder: Path) -> Keys:
    """The settings' keys, in another folder."""
    names = {"ed25519_file": "ed25519.pem", "ml_dsa44_file": "ml-dsa-44.pem", "sealing_file": "sealing.key"}
    return settings.keys.model_copy(update={field: folder / name for field, name in names.items()})


async def other_keys(client: AuditClient, old: list[str]) -> list[str]:
    """Wait until the tenant's log is signed by other keys than these; return them."""
    for _ in range(1500):
        new: list[str] = (await client.log(TENANT_LOG))["keys"]
        if new != old:
            return new
        await asyncio.sleep(0.02)
    raise AssertionError("no other keys took over")
