"""Tenant: one customer's isolated stack, as a platform engineer writes it."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from tenant_operator.api.common import ApiModel, Condition, Duration, cel
from tenant_operator.api.conduct import Access, Lockout, Records, Signatures, Sink, Training
from tenant_operator.api.identity import Identity
from tenant_operator.api.tenant_class import Quantity

Cidr = Annotated[str, Field(max_length=43, description="An IPv4 or IPv6 CIDR, such as 10.20.0.0/16.")]
Port = Annotated[int, Field(ge=1, le=65535)]


class App(ApiModel):
    """Which build of the document platform runs."""

    version: str | None = Field(
        default=None,
        max_length=64,
        pattern=r"^[0-9A-Za-z][0-9A-Za-z.+_-]*$",
        description="Version of the app to run; the operator's own release when absent.",
    )
    image: str | None = Field(
        default=None, max_length=512, description="Full image reference; wins over version. Prefer a digest."
    )


class Sessions(ApiModel):
    """How long a sign-in lasts (Part 11 §11.10(d), §11.300)."""

    idle_timeout: Duration = Field(default="15m", description="Signed out after this long without a request.")
    absolute_timeout: Duration = Field(default="12h", description="Signed out after this long in any case.")
    max_concurrent: int = Field(default=3, ge=1, le=100, description="Sessions one person may hold at once.")
    lockout: Lockout = Field(default_factory=Lockout)


class Database(ApiModel):
    """The tenant's own PostgreSQL server."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                cel(
                    "!has(oldSelf.storage) || (has(self.storage)"
                    " && quantity(self.storage).compareTo(quantity(oldSelf.storage)) >= 0)",
                    "a database volume can grow but not shrink",
                    fieldPath=".storage",
                )
            ]
        }
    )

    storage: Quantity | None = Field(default=None, description="Volume size; the class's default when absent.")


class Credentials(ApiModel):
    """Passwords and keys that Cloister hands out inside the tenant's stack."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                cel(
                    "!has(self.epoch) || !has(oldSelf.epoch) || self.epoch >= oldSelf.epoch",
                    "an epoch is raised, never lowered: an old password stays old",
                )
            ]
        }
    )

    epoch: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description="Raise it by one to give every database role and the bucket's user a new password.",
    )


class Encryption(ApiModel):
    """The tenant's key in Vault."""

    rotation_period: Duration = Field(default="90d", description="A new key version is made when the newest is older.")


class Backup(ApiModel):
    """When backups are taken and how long they are kept."""

    schedule: str = Field(
        default="0 2 * * *", min_length=9, max_length=100, description="Cron expression of five fields."
    )
    time_zone: str = Field(
        default="Etc/UTC", max_length=64, pattern=r"^[A-Za-z][A-Za-z0-9_+/-]*$", description="IANA time zone."
    )
    retention: Duration = Field(default="30d", description="How long a backup is kept.")


class IngressPeer(ApiModel):
    """A source that may reach the app."""

    cidr: Cidr


class EgressPeer(ApiModel):
    """A destination that the app may reach besides its own database, Vault, audit log and directory."""

    cidr: Cidr
    ports: list[Port] = Field(min_length=1, max_length=16, description="TCP ports.")
    reason: str = Field(min_length=3, max_length=256, description="Why the app needs it; kept in the record.")


class Network(ApiModel):
    """Exceptions from deny by default."""

    ingress_from: list[IngressPeer] = Field(default_factory=list, max_length=32)
    egress_to: list[EgressPeer] = Field(default_factory=list, max_length=32)


class Isolation(ApiModel):
    """What the tenant shares with others."""

    nodes: Literal["shared", "dedicated"] = Field(
        default="shared", description="dedicated: only nodes labelled and tainted cloister.dev/tenant=<this tenant>."
    )


class Deletion(ApiModel):
    """What deleting the Tenant means. It never destroys data: only a TenantOffboarding does."""

    protection: bool = Field(default=False, description="Refuse `kubectl delete` while true.")
    grace_period: Duration = Field(
        default="7d", description="How long an approved TenantOffboarding waits before it destroys anything."
    )


class TenantSpec(ApiModel):
    """One customer's isolated stack."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                cel(
                    "self.region == oldSelf.region",
                    "region is immutable: moving data to another region is a migration, not an edit",
                    fieldPath=".region",
                ),
            ]
        }
    )

    display_name: str = Field(min_length=1, max_length=128, description="Name of the customer, for people.")
    region: str = Field(
        min_length=1,
        max_length=63,
        pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$",
        description="Region the data stays in.",
    )
    class_: str = Field(
        alias="class",
        min_length=1,
        max_length=63,
        pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$",
        description="TenantClass: sizes and limits.",
    )
    hostname: str = Field(
        max_length=253,
        pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$",
        description="Host name people use in the browser.",
    )
    identity: Identity
    app: App = Field(default_factory=App)
    sessions: Sessions = Field(default_factory=Sessions)
    signatures: Signatures = Field(default_factory=Signatures)
    access: Access = Field(default_factory=Access)
    training: Training = Field(default_factory=Training)
    records: Records = Field(default_factory=Records)
    alerts: list[Sink] = Field(default_factory=list, max_length=4, description="Where security alerts go, in order.")
    database: Database = Field(default_factory=Database)
    credentials: Credentials = Field(default_factory=Credentials)
    encryption: Encryption = Field(default_factory=Encryption)
    backup: Backup = Field(default_factory=Backup)
    network: Network = Field(default_factory=Network)
    isolation: Isolation = Field(default_factory=Isolation)
    suspend: bool = Field(default=False, description="Stop the workloads and keep everything else.")
    deletion: Deletion = Field(default_factory=Deletion)


class InventoryItem(ApiModel):
    """One place where bytes of the tenant lie (DESIGN §5)."""

    location: str = Field(description="What and where, such as volume tenant-acme-pharma/database-data.")
    kind: str = Field(description="Volume, Bucket, TransitKey, Secret or AuditLog.")
    region: str = Field(description="Region it was observed in; empty when unknown.")
    encrypted_by: str = Field(description="What encrypts it, or who is relied on for that.")


class TenantStatus(ApiModel):
    """What the operator observed."""

    observed_generation: int | None = None
    id: str | None = Field(default=None, description="The tenant's own id, a UUID that outlives this object.")
    phase: str | None = Field(default=None, description="Derived from the conditions, for people.")
    namespace: str | None = None
    url: str | None = None
    app_version: str | None = None
    conditions: list[Condition] = Field(default_factory=list)
    inventory: list[InventoryItem] = Field(default_factory=list)


def parse_spec(body: dict[str, Any]) -> TenantSpec:
    """Return the spec of a Tenant object as read from the API server."""
    return TenantSpec.model_validate(body.get("spec") or {})
