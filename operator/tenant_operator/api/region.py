"""Region: where a tenant's data may live, and with what it is served there."""

from typing import Annotated

from pydantic import ConfigDict, Field

from tenant_operator.api.common import ApiModel, Condition, ConfigMapKeyRef, cel

HttpsUrl = Annotated[
    str,
    Field(max_length=253, pattern=r"^https://[A-Za-z0-9.-]+(:[0-9]{1,5})?/?$", description="An https:// address."),
]


class ObjectStore(ApiModel):
    """An S3 endpoint whose bytes stay in the Region. Needs Object Lock and versioning."""

    endpoint: HttpsUrl
    region: str = Field(description="The region name to sign requests with.", max_length=63)
    credentials_secret: str = Field(
        description="Secret in the operator's namespace with keys accessKey and secretKey.", max_length=253
    )
    ca_bundle: ConfigMapKeyRef | None = Field(default=None, description="Where the CA of the endpoint is to be found.")
    export_bucket: str = Field(
        default="cloister-exports",
        pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
        description="Bucket for the exports of offboarded tenants; it outlives them.",
    )


class VaultServer(ApiModel):
    """The Vault (or OpenBao) that holds the Region's tenant keys."""

    address: HttpsUrl
    ca_bundle: ConfigMapKeyRef | None = Field(default=None, description="Where the CA of the address is to be found.")
    transit_mount: str = Field(default="transit", description="Mount of the transit engine.", max_length=63)
    auth_mount: str = Field(default="jwt", description="Mount of the JWT auth method.", max_length=63)
    role: str = Field(default="cloister-operator", description="JWT role the operator logs in with.", max_length=63)


class RegionSpec(ApiModel):
    """Where data may live."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                cel(
                    "self.nodeSelector == oldSelf.nodeSelector && self.storageClassName == oldSelf.storageClassName",
                    "nodeSelector and storageClassName are immutable: tenants' data lies where they say. Make a new Region.",
                )
            ]
        }
    )

    display_name: str = Field(description="Name for people.", min_length=1, max_length=128)
    jurisdiction: str = Field(description="The law the data is under, such as EU or US.", min_length=1, max_length=64)
    node_selector: dict[str, str] = Field(
        description="Labels that every node holding this Region's data carries.", min_length=1, max_length=8
    )
    storage_class_name: str = Field(description="StorageClass whose volumes stay in the Region.", max_length=253)
    object_store: ObjectStore = Field(description="Where backups and exports go.")
    vault: VaultServer = Field(description="Where the tenants' keys are.")


class RegionStatus(ApiModel):
    """What the operator observed of the Region."""

    observed_generation: int | None = None
    conditions: list[Condition] = Field(default_factory=list)
