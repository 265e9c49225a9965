"""Every name that is derived from a tenant: one place, pure, so that no two parts disagree.

Names of things inside the tenant's namespace are fixed words; names outside it (Vault, object storage) carry the tenant's
id, so a name that is used again never meets what an earlier tenant left.
"""

from dataclasses import dataclass

from tenant_operator.api.common import GROUP

LABEL_TENANT = f"{GROUP}/tenant"
LABEL_TENANT_ID = f"{GROUP}/tenant-id"
LABEL_REGION = f"{GROUP}/region"
LABEL_PART = f"{GROUP}/part"
LABEL_COMPONENT = "app.kubernetes.io/component"
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGED_BY = "cloister"
LABEL_PART_OF = "app.kubernetes.io/part-of"
PART_OF = "cloister"

ANNOTATION_REGION_SELECTOR = f"{GROUP}/region-selector"
ANNOTATION_SPEC = f"{GROUP}/tenant-spec"
ANNOTATION_WITH = f"{GROUP}/rolled-with"
ANNOTATION_REASON = f"{GROUP}/reason"
"""On an object of ours, by whoever changes it: why, in words. It goes into the admission entry."""
ANNOTATION_TICKET = f"{GROUP}/ticket"
"""Likewise: the ticket or change request that the edit belongs to."""
ANNOTATION_ADMISSION = f"{GROUP}/admission"
"""On an object of ours, by the admission webhook only: which entry admitted it as it is (stack/stamp.py)."""

FIELD_MANAGER = "cloister-operator"

ADMISSION = "cloister-admission"
"""The admission webhook: its Deployment, Service, Secret, service account and both webhook configurations."""

PLATFORM_LOG = "platform"
VAULT_AUDIENCE = "vault"
AUDIT_AUDIENCE = "cloister-audit"

UID = 65532
"""The user every container of ours runs as."""


@dataclass(frozen=True)
class Names:
    """The names that belong to one tenant."""

    tenant: str
    id: str

    @property
    def namespace(self) -> str:
        """The tenant's namespace."""
        return f"tenant-{self.tenant}"

    @property
    def transit_key(self) -> str:
        """The Vault transit key that seals the tenant's data."""
        return f"cloister-{self.id}"

    @property
    def signing_key(self) -> str:
        """The Vault transit key that signs the tenant's records."""
        return f"cloister-{self.id}-signing"

    def vault_role(self, service_account: str) -> str:
        """The Vault policy and JWT role of one of the tenant's service accounts."""
        return f"cloister-{self.id}-{service_account}"

    @property
    def bucket(self) -> str:
        """The tenant's bucket, and its object storage user."""
        return f"cloister-{self.id}"

    @property
    def audit_log(self) -> str:
        """The tenant's audit log."""
        return f"tenant-{self.id}"

    def labels(self, part: str, component: str | None = None) -> dict[str, str]:
        """Labels of an object that the given part of the stack renders."""
        labels = {
            LABEL_MANAGED_BY: MANAGED_BY,
            LABEL_TENANT: self.tenant,
            LABEL_TENANT_ID: self.id,
            LABEL_PART: part,
        }
        if component:
            labels[LABEL_COMPONENT] = component
        return labels

    def service_host(self, service: str) -> str:
        """The in-cluster host name of one of the tenant's Services."""
        return f"{service}.{self.namespace}.svc"
