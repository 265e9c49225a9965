"""TenantRecord: the operator's ledger of tenants. It outlives the Tenant and can be rebuilt from the namespace's labels."""

from typing import Any, Literal

from pydantic import Field

from tenant_operator.api.common import ApiModel
from tenant_operator.api.tenant import InventoryItem

RecordState = Literal["Live", "Retained", "Destroyed"]


class TenantRecordSpec(ApiModel):
    """What must be remembered about a tenant for as long as its name or its data exist."""

    tenant: str = Field(max_length=63, description="Name of the Tenant.")
    id: str = Field(max_length=36, description="The tenant's id, a UUID given at first onboarding.")
    region: str = Field(max_length=63, description="The Region its data lies in.")
    state: RecordState = Field(description="Live, Retained (deleted, everything kept) or Destroyed (tombstone).")
    since: str = Field(description="When it came into this state (RFC 3339).")
    last_spec: dict[str, Any] | None = Field(
        default=None,
        description="The last spec of the Tenant.",
        json_schema_extra={"x-kubernetes-preserve-unknown-fields": True},
    )
    certificate: dict[str, Any] | None = Field(
        default=None,
        description="The signed certificate of destruction.",
        json_schema_extra={"x-kubernetes-preserve-unknown-fields": True},
    )


class TenantRecordStatus(ApiModel):
    """What was last observed."""

    inventory: list[InventoryItem] = Field(default_factory=list)
