"""How the outside is reached for a tenant: the Region's Vault and object store, the tenant's database, and the offboarding."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tenant_operator.api.names import Names
from tenant_operator.api.reasons import ConditionType, Reason
from tenant_operator.api.region import ObjectStore, RegionSpec
from tenant_operator.clients.audit import AuditRecorder
from tenant_operator.clients.cluster import KubernetesCluster
from tenant_operator.clients.objectstore import ObjectStores
from tenant_operator.clients.objectstore_audit import AuditBuckets
from tenant_operator.clients.objectstore_calls import StoreAccess
from tenant_operator.clients.postgres import Postgres
from tenant_operator.clients.vault import Vault
from tenant_operator.clients.vault_client import VaultAccess
from tenant_operator.errors import Refused, Retryable
from tenant_operator.offboarding.offboarder import Offboarder
from tenant_operator.offboarding.state import offboarding_blocks
from tenant_operator.ports import Clock, OutsideSystem
from tenant_operator.reconcile.contexts import Contexts, NotReadyError
from tenant_operator.stack.part import Context, Finding, Manifest
from tenant_operator.stack.parts import PARTS


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
        return self._access_of(ctx.region.object_store, ctx.platform.object_store_ca)

    def _access_of(self, store: ObjectStore, ca: str) -> StoreAccess:
        found = self.contexts.home.secret_values(store.credentials_secret)
        if not found or not {"accessKey", "secretKey"} <= set(found):
            where = f"{self.contexts.home.namespace}/{store.credentials_secret}"
            said = f"Secret {where} with keys accessKey and secretKey does not exist; a Region names it for {store.endpoint}"
            raise Retryable(said, reason=Reason.OBJECT_STORE_REFUSED)
        return StoreAccess(store.endpoint, store.region, found["accessKey"], found["secretKey"], ca)

    def audit_buckets(self) -> AuditBuckets:
        """Return the buckets of the audit service's copies, reached with the Regions' own credentials."""
        return AuditBuckets(lambda region: self._access_of(region.object_store, self._store_ca(region)), self._store_ca)

    def _store_ca(self, region: RegionSpec) -> str:
        try:
            return self.contexts.ca(region.object_store.ca_bundle)
        except NotReadyError as error:
            raise Retryable(error.finding.message, reason=error.finding.reason) from error

    def hands_off(self, tenant: str, record: Manifest | None) -> Finding | None:  # noqa: ARG002 - the record names it
        """Tell whether an offboarding has taken the tenant over."""
        if not offboarding_blocks(record, self.cluster.list("TenantOffboarding")):
            return None
        said = "an offboarding has taken this tenant over: see kubectl get tenantoffboardings"
        return Finding(ConditionType.READY, "False", Reason.OFFBOARDING, said)

    def offboarder(self) -> Offboarder:
        """Return the offboarding's reconciler."""
        return Offboarder(
            cluster=self.cluster,
            outside=self.systems,
            keys=self._vault,
            store=self._stores,
            recorder=self.recorder,
            clock=self.clock,
            parts=PARTS,
            context_for=self.context_of_record,
            operator_namespace=self.contexts.home.namespace,
        )

    async def context_of_record(self, tenant: Manifest | None, record: Manifest) -> Context:
        """Return the context of a tenant that may be deleted already, from its record."""
        body = (tenant or {}).get("spec") or record["spec"].get("lastSpec")
        if not body:
            raise Refused(f"the record of {record['spec']['tenant']} holds no spec", reason=Reason.INVALID_SPEC)
        names = Names(record["spec"]["tenant"], record["spec"]["id"])
        try:
            spec = self.contexts.spec(body)
            return self.contexts.build(names, spec, 0, running=True, needs_directory=False)
        except NotReadyError as error:
            raise Refused(error.finding.message, reason=error.finding.reason) from error
