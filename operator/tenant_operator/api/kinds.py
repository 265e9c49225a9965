"""The kinds of the API group, with what their CRDs say beside the schema: scope, columns, rules on the whole object."""

from dataclasses import dataclass, field

from pydantic import JsonValue

from tenant_operator.api.common import ApiModel, cel
from tenant_operator.api.offboarding import (
    TenantApprovalSpec,
    TenantHoldSpec,
    TenantOffboardingSpec,
    TenantOffboardingStatus,
)
from tenant_operator.api.record import TenantRecordSpec, TenantRecordStatus
from tenant_operator.api.region import RegionSpec, RegionStatus
from tenant_operator.api.tenant import TenantSpec, TenantStatus
from tenant_operator.api.tenant_class import TenantClassSpec


@dataclass(frozen=True)
class Column:
    """One printer column."""

    name: str
    path: str
    type: str = "string"
    priority: int = 0


@dataclass(frozen=True)
class Kind:
    """One kind: cluster-scoped, like everything here; a tenant's own namespace is not a place to define tenants."""

    kind: str
    plural: str
    spec: type[ApiModel]
    status: type[ApiModel] | None
    description: str
    columns: tuple[Column, ...] = ()
    rules: tuple[dict[str, JsonValue], ...] = field(default=())

    @property
    def singular(self) -> str:
        """Lower-case singular."""
        return self.kind.lower()


def _condition(name: str, kind: str, priority: int = 0) -> Column:
    return Column(name, f'.status.conditions[?(@.type=="{kind}")].status', priority=priority)


_AGE = Column("Age", ".metadata.creationTimestamp", "date")

KINDS: tuple[Kind, ...] = (
    Kind(
        "Region",
        "regions",
        RegionSpec,
        RegionStatus,
        "Where tenants' data may live.",
        (
            Column("Jurisdiction", ".spec.jurisdiction"),
            Column("Storage", ".spec.storageClassName"),
            Column("Vault", ".spec.vault.address", priority=1),
            _AGE,
        ),
    ),
    Kind(
        "TenantClass",
        "tenantclasses",
        TenantClassSpec,
        None,
        "Sizes and limits of tenants.",
        (
            Column("Replicas", ".spec.app.replicas", "integer"),
            Column("Storage", ".spec.database.storage"),
            Column("Description", ".spec.description", priority=1),
            _AGE,
        ),
    ),
    Kind(
        "Tenant",
        "tenants",
        TenantSpec,
        TenantStatus,
        "One customer's isolated, audited stack.",
        (
            _condition("Ready", "Ready"),
            Column("Phase", ".status.phase"),
            Column("Region", ".spec.region"),
            Column("Class", ".spec.class"),
            _condition("Database", "DatabaseReady"),
            _condition("Backup", "BackupCurrent"),
            _condition("Isolated", "IsolationProven"),
            _condition("Audit", "AuditCurrent"),
            _AGE,
            Column("Namespace", ".status.namespace", priority=1),
            Column("URL", ".status.url", priority=1),
            Column("Message", '.status.conditions[?(@.type=="Ready")].message', priority=1),
        ),
        (
            cel(
                "self.metadata.name.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$') && size(self.metadata.name) <= 40",
                "a Tenant's name has at most 40 characters: lower-case letters, digits and dashes",
            ),
        ),
    ),
    Kind(
        "TenantRecord",
        "tenantrecords",
        TenantRecordSpec,
        TenantRecordStatus,
        "The operator's ledger entry of a tenant; outlives the Tenant.",
        (
            Column("State", ".spec.state"),
            Column("ID", ".spec.id"),
            Column("Region", ".spec.region"),
            Column("Since", ".spec.since", "date"),
        ),
        (
            cel(
                "!has(oldSelf.spec) || (self.spec.id == oldSelf.spec.id && self.spec.tenant == oldSelf.spec.tenant)",
                "a record stays with its tenant",
            ),
            cel(
                "oldSelf.spec.state != 'Destroyed' || self.spec.state == 'Destroyed'",
                "a destroyed tenant does not come back: choose another name",
            ),
        ),
    ),
    Kind(
        "TenantOffboarding",
        "tenantoffboardings",
        TenantOffboardingSpec,
        TenantOffboardingStatus,
        "A request to export a tenant's data and destroy the rest.",
        (
            Column("Tenant", ".spec.tenant"),
            Column("Phase", ".status.phase"),
            Column("Requested-By", ".spec.requestedBy"),
            Column("Approvals", ".status.approvals"),
            Column("Destroy-After", ".status.destroyAfter", "date"),
            _AGE,
        ),
    ),
    Kind(
        "TenantApproval",
        "tenantapprovals",
        TenantApprovalSpec,
        None,
        "One person's approval of one offboarding.",
        (Column("Offboarding", ".spec.offboarding"), Column("Approver", ".spec.approver"), _AGE),
    ),
    Kind(
        "TenantHold",
        "tenantholds",
        TenantHoldSpec,
        None,
        "A legal hold on a tenant.",
        (Column("Tenant", ".spec.tenant"), Column("Matter", ".spec.matter"), _AGE),
    ),
)

BY_KIND: dict[str, Kind] = {kind.kind: kind for kind in KINDS}
