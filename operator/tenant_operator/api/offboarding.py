"""TenantOffboarding, TenantApproval, TenantHold: the only way anything of a tenant is destroyed, and what stops it."""

from typing import Any

from pydantic import ConfigDict, Field, JsonValue

from tenant_operator.api.common import ApiModel, Condition, Duration, cel

_IMMUTABLE: dict[str, JsonValue] = {
    "x-kubernetes-validations": [cel("self == oldSelf", "this cannot be changed; make a new one")]
}


class Recipient(ApiModel):
    """The customer's public key: the export is encrypted to it, and only the customer can open it."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                cel("has(self.age) != has(self.x509)", "give exactly one of age and x509"),
            ]
        }
    )

    age: str | None = Field(
        default=None, max_length=128, pattern=r"^age1[02-9ac-hj-np-z]{58}$", description="An age recipient (age1…)."
    )
    x509: str | None = Field(
        default=None,
        max_length=16384,
        pattern=r"^-----BEGIN CERTIFICATE-----",
        description="An X.509 certificate in PEM with an RSA or EC key.",
    )


class TenantOffboardingSpec(ApiModel):
    """A request to export a tenant's data to its owner and then to destroy the rest."""

    model_config = ConfigDict(json_schema_extra=_IMMUTABLE)

    tenant: str = Field(max_length=40, pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", description="Name of the tenant.")
    requested_by: str = Field(
        max_length=256, description="The user who asks; must be the one the API server authenticated."
    )
    reason: str = Field(min_length=3, max_length=1024, description="Why the tenant leaves, with a ticket.")
    recipient: Recipient = Field(description="Who the export is encrypted to.")
    grace_period: Duration | None = Field(
        default=None, description="Wait after the verified export; the Tenant's own when absent."
    )


class ExportReceipt(ApiModel):
    """The export, as it was read back and checked."""

    bucket: str
    key: str
    sha256: str
    size: int
    documents: int
    verified_at: str


class Step(ApiModel):
    """One step of the destruction, with what proved it."""

    name: str
    state: str
    evidence: str = ""
    at: str = ""


class TenantOffboardingStatus(ApiModel):
    """How far the offboarding is."""

    observed_generation: int | None = None
    phase: str | None = Field(default=None, description="Derived from the conditions, for people.")
    approvals: list[str] = Field(default_factory=list, description="Who approved.")
    export: ExportReceipt | None = None
    destroy_after: str | None = Field(default=None, description="When the grace period ends (RFC 3339).")
    steps: list[Step] = Field(default_factory=list)
    certificate: dict[str, Any] | None = Field(
        default=None,
        description="The signed certificate of destruction.",
        json_schema_extra={"x-kubernetes-preserve-unknown-fields": True},
    )
    conditions: list[Condition] = Field(default_factory=list)


class TenantApprovalSpec(ApiModel):
    """One person's approval of one offboarding. It cannot be changed, and counts for that very object only."""

    model_config = ConfigDict(json_schema_extra=_IMMUTABLE)

    offboarding: str = Field(max_length=253, description="Name of the TenantOffboarding.")
    offboarding_uid: str = Field(alias="offboardingUID", max_length=36, description="Its metadata.uid.")
    approver: str = Field(
        max_length=256, description="The user who approves; must be the one the API server authenticated."
    )
    statement: str = Field(min_length=3, max_length=1024, description="What is approved, in the approver's words.")


class TenantHoldSpec(ApiModel):
    """A legal hold: nothing of the tenant is destroyed while one exists."""

    tenant: str = Field(max_length=40, description="Name of the tenant.")
    matter: str = Field(min_length=3, max_length=256, description="The matter it is held for.")
    requested_by: str = Field(max_length=256, description="Who asked for the hold.")
