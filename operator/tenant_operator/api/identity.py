"""Who may sign in to a tenant's app: the customer's directory, its groups' roles, what is asked for beside it."""

from typing import Literal

from pydantic import ConfigDict, Field

from tenant_operator.api.common import ApiModel, cel
from tenant_operator.api.conduct import AppRole, Oidc


class LdapTls(ApiModel):
    """How the directory's certificate is checked. It always is."""

    start_tls: bool = Field(default=False, alias="startTLS", description="Upgrade an ldap:// connection with StartTLS.")
    ca_secret_key: str = Field(
        default="ca.crt", max_length=253, description="Key of the bind secret that holds the directory's CA."
    )


class Ldap(ApiModel):
    """The customer's directory."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                cel(
                    "self.url.startsWith('ldaps://') || (has(self.tls) && has(self.tls.startTLS) && self.tls.startTLS)",
                    "the directory must be reached over TLS: use an ldaps:// url, or ldap:// with tls.startTLS: true",
                    fieldPath=".url",
                )
            ]
        }
    )

    url: str = Field(
        max_length=253,
        pattern=r"^ldaps?://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?/?$",
        description="ldaps://host[:port], or ldap:// with StartTLS.",
    )
    base_dn: str = Field(
        alias="baseDN", min_length=3, max_length=512, pattern=r"^[^=,]+=.+", description="Where people are searched."
    )
    bind_secret: str = Field(
        max_length=253,
        pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$",
        description="Secret in the operator's namespace, labelled cloister.dev/tenant=<this tenant>, "
        "with keys bindDN, password and the CA.",
    )
    user_attribute: str = Field(
        default="uid", max_length=64, pattern=r"^[A-Za-z][A-Za-z0-9-]*$", description="What people type to sign in."
    )
    tls: LdapTls = Field(default_factory=LdapTls)


class GroupRole(ApiModel):
    """Members of a directory group have a role in the app."""

    group: str = Field(min_length=3, max_length=512, description="Distinguished name of the group.")
    role: AppRole = Field(description="What its members may do.")


class Identity(ApiModel):
    """Who may sign in, and as what."""

    ldap: Ldap
    groups: list[GroupRole] = Field(min_length=1, max_length=64, description="Group to role. No group, no access.")
    oidc: Oidc | None = Field(default=None, description="OpenID Connect beside the directory.")
    second_factor: Literal["off", "optional", "required"] = Field(
        default="off", description="One-time codes (TOTP) at sign-in and at the first signing of a period."
    )
