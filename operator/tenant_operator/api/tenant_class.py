"""TenantClass: sizes and limits a platform team offers, as a StorageClass does for volumes."""

from typing import Annotated

from pydantic import Field

from tenant_operator.api.common import ApiModel

Quantity = Annotated[
    str,
    Field(
        pattern=r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$",
        max_length=20,
        description="A Kubernetes quantity, such as 250m or 2Gi.",
    ),
]


class Amounts(ApiModel):
    """An amount of CPU and memory."""

    cpu: Quantity
    memory: Quantity


class Resources(ApiModel):
    """Requests and limits of one container."""

    requests: Amounts
    limits: Amounts


class AppSize(ApiModel):
    """How much the app gets."""

    replicas: int = Field(default=1, ge=1, le=10, description="Number of app pods.")
    resources: Resources


class DatabaseSize(ApiModel):
    """How much the database server gets."""

    storage: Quantity = Field(description="Volume size when the Tenant names none.")
    max_storage: Quantity = Field(description="The most a Tenant may ask for.")
    max_connections: int = Field(default=100, ge=10, le=5000, description="PostgreSQL's max_connections.")
    resources: Resources


class Quota(ApiModel):
    """The most that all pods of a tenant may use together, the reserve for Cloister's own jobs included."""

    cpu: Quantity
    memory: Quantity
    pods: int = Field(ge=6, le=1000)
    storage: Quantity


class TenantClassSpec(ApiModel):
    """Sizes and limits."""

    description: str = Field(default="", description="What this class is for.", max_length=512)
    app: AppSize
    database: DatabaseSize
    jobs: Resources = Field(description="What backup, export and probe jobs get each.")
    quota: Quota
