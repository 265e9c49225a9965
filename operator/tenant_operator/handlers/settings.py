"""What the operator is told: one JSON file from the chart, and four facts from the pod. Values only, no I/O but the file."""

import os
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import Field

from tenant_operator.api.common import ApiModel
from tenant_operator.stack.part import Images, Platform


class ImageNames(ApiModel):
    """Image references of everything the stack runs."""

    app: str
    postgres: str
    jobs: str
    pdfa_judge: str = ""


class AdmissionConfig(ApiModel):
    """The admission webhook as the chart registered it; the operator says when it is otherwise."""

    configurations: list[dict[str, Any]] = Field(description="Both webhook configurations, without caBundle.")
    puts_trust: bool = Field(default=True, description="Whether the operator puts its authority into them.")


class OperatorConfig(ApiModel):
    """The file that CLOISTER_OPERATOR_CONFIG names (charts/cloister/templates/_operator.tpl)."""

    images: ImageNames
    version: str
    operator_namespace: str = "cloister-system"
    audit_namespace: str = "cloister-audit"
    witness_namespace: str = Field(default="", description="Where the chart's witness runs; empty when there is none.")
    audit_keys_in_vault: bool = Field(default=False, description="The audit service's keys are not derived here.")
    audit_url: str = "https://audit.cloister-audit.svc:8443"
    cluster_domain: str = "cluster.local"
    dns: dict[str, str] = Field(default_factory=lambda: {"k8s-app": "kube-dns"})
    image_pull_policy: str = "IfNotPresent"
    ingress_class: str | None = None
    extra_ingress_cidrs: list[str] = Field(default_factory=list)
    cert_manager_issuer: str | None = None
    log_level: str = "info"
    admission: AdmissionConfig | None = None
    workers: int = Field(default=8, ge=1, le=64, description="Tenants reconciled at once.")

    def platform(self) -> Platform:
        """Return what the stack's parts need of it."""
        return Platform(
            images=Images(self.images.app, self.images.postgres, self.images.jobs, self.images.pdfa_judge),
            version=self.version,
            operator_namespace=self.operator_namespace,
            audit_namespace=self.audit_namespace,
            audit_url=self.audit_url,
            cluster_domain=self.cluster_domain,
            dns=MappingProxyType(dict(self.dns)),
            image_pull_policy=self.image_pull_policy,
            ingress_class=self.ingress_class,
            cert_manager_issuer=self.cert_manager_issuer,
            extra_ingress_cidrs=tuple(self.extra_ingress_cidrs),
        )


class Pod(ApiModel):
    """Who this process is, and where its tokens lie."""

    name: str = "cloister-operator"
    uid: str = "local"
    vault_token: Path = Path("/var/run/cloister/tokens/vault")
    audit_token: Path = Path("/var/run/cloister/tokens/audit")
    scratch: Path = Path("/tmp")  # noqa: S108 - the pod's own emptyDir; the root file system is read-only


def load() -> tuple[OperatorConfig, Pod]:
    """Read the file and the environment. Raises OSError or ValidationError, which name the file or the field."""
    config = OperatorConfig.model_validate_json(Path(os.environ["CLOISTER_OPERATOR_CONFIG"]).read_bytes())
    environment = {
        "name": os.environ.get("CLOISTER_POD_NAME"),
        "uid": os.environ.get("CLOISTER_POD_UID"),
        "vault_token": os.environ.get("CLOISTER_VAULT_TOKEN_FILE"),
        "audit_token": os.environ.get("CLOISTER_AUDIT_TOKEN_FILE"),
    }
    return config, Pod.model_validate({key: value for key, value in environment.items() if value})
