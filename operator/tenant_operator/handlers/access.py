"""How the outside is reached for a tenant: the Region's Vault and object store, the tenant's database, and the offboarding."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tenant_operator.api.reasons import ConditionType, Reason
from tenant_operator.clients.audit import AuditRecorder
from tenant_operator.clients.cluster import KubernetesCluster
from tenant_operator.clients.objectstore import ObjectStores, StoreAccess
from tenant_operator.clients.postgres import Postgres
from tenant_operator.clients.vault import Vault
from tenant_operator.clients.vault_client import VaultAccess
from tenant_operator.errors import Retryable
from tenant_operator.offboarding import Offboarder
from tenant_operator.offboarding.state import offboarding_blocks
from tenant_operator.ports import Clock, OutsideSystem
from tenant_operator.reconcile.contexts import Contexts
from tenant_operator.stack.part import Context, Finding, Manifest


@dataclass
class Access:
    """Resolves addresses and credentials from Regions and from Secrets of the operator's own namespace."""

    cluster: KubernetesCluster
    recorder: AuditRecorder
    clock: Clock
    contexts: Contexts
    vault_token: Path
    systems: Mapping[str, OutsideSystem] = field(init=False)

    def __post_init__(self) -> None:
        self._vault = Vault(self._vault_access)
        self._stores = ObjectStores(self._store_access)
        self.systems = {"vault": self._vault, "postgres": Postgres(), "objectstore": self._stores}

    async def _vault_access(self, ctx: Context) -> VaultAccess:
        vault = ctx.region.vault
        return VaultAccess(
            vault.address, ctx.platform.vault_ca, vault.transit_mount, vault.auth_mount, vault.role, self.vault_token
        )

    async def _store_access(self, ctx: Context) -> StoreAccess:
        store = ctx.region.object_store
        found = self.contexts.home.secret_values(store.credentials_secret)
        if not found or not {"accessKey", "secretKey"} <= set(found):
            where = f"{self.contexts.home.namespace}/{store.credentials_secret}"
            said = f"Secret {where} with keys accessKey and secretKey does not exist; Region {ctx.spec.region} names it"
            raise Retryable(said, reason=Reason.OBJECT_STORE_REFUSED)
        return StoreAccess(
            store.endpoint, store.region, found["accessKey"], found["secretKey"], ctx.platform.object_store_ca
        )

    def hands_off(self, tenant: str, record: Manifest | None) -> Finding | None:  # noqa: ARG002 - the record names it
        """Tell whether an offboarding has taken the tenant over."""
        if not offboarding_blocks(record, self.cluster.list("TenantOffboarding")):
            return None
        said = "an offboarding has taken this tenant over: see kubectl get tenantoffboardings"
        return Finding(ConditionType.READY, "False", Reason.OFFBOARDING, said)

    def offboarder(self) -> Offboarder:
        """Return the offboarding's reconciler."""
        raise NotImplementedError
