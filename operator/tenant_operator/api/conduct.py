"""How a tenant's app behaves: signatures, training, records, alerts. The customer's quality people decide these."""

from typing import Literal

from pydantic import ConfigDict, Field

from tenant_operator.api.common import ApiModel, Duration, cel
from tenant_operator.api.tenant_class import Quantity

AppRole = Literal["reader", "author", "reviewer", "approver", "publisher", "administrator"]
MeaningCode = Literal[
    "authorship", "review", "approval", "publication", "rejection", "withdrawal", "revocation", "trail-review"
]

_SECRET_NAME = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"  # noqa: S105 - the pattern of a Secret's name


class Lockout(ApiModel):
    """What wrong passwords cost (Part 11 §11.300(d)). Waits grow, so that nobody can lock out everyone."""

    sign_in_failures: int = Field(
        default=10, ge=3, le=100, description="Failed sign-ins of an account that cost nothing."
    )
    sign_in_wait: Duration = Field(default="30s", description="The longest wait of an account after more of them.")
    signing_failures: int = Field(
        default=5, ge=3, le=10, description="Wrong components at signing that lock signing and alert the security unit."
    )
    signing_wait: Duration = Field(default="15m", description="How long signing stays locked.")


class Meaning(ApiModel):
    """What a signature of one kind says, in the customer's own words (Part 11 §11.50)."""

    code: MeaningCode = Field(description="Which signature.")
    statement: str = Field(min_length=10, max_length=500, description="The sentence that is signed.")


class Workflow(ApiModel):
    """The tenant's own workflow, stricter than the app's, as JSON in a ConfigMap (tenant-app/tenant_app/domain/workflow.json)."""

    config_map: str = Field(
        max_length=253,
        pattern=_SECRET_NAME,
        description="ConfigMap in the operator's namespace, labelled cloister.dev/tenant=<this tenant>.",
    )
    key: str = Field(default="workflow.json", min_length=1, max_length=253, description="Key in it.")


class Signatures(ApiModel):
    """Electronic signatures (Part 11 §11.50 to §11.200)."""

    idle_timeout: Duration = Field(
        default="10m", description="A continuous period of signings ends after this long without one (§11.200(a)(1))."
    )
    absolute_timeout: Duration = Field(
        default="2h", description="A continuous period ends after this long in any case."
    )
    max_password_age: Duration | None = Field(
        default=None, description="No signing with a directory password older than this (§11.300(b))."
    )
    enrolment: Literal["directory", "required"] = Field(
        default="directory",
        description="Who verifies a person before the first signature (§11.100(b)): the customer's own directory process, "
        "or an enrolment recorded in the app.",
    )
    meanings: list[Meaning] = Field(
        default_factory=list,
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["code"]},
        description="Statements that replace the app's own.",
    )
    workflow: Workflow | None = Field(default=None, description="The app's own workflow when absent.")


class Access(ApiModel):
    """How authority beside the directory's groups is handled (Part 11 §11.10(g), §11.200(a)(3), §11.300(b))."""

    longest_grant: Duration = Field(default="366d", description="The longest extra grant or delegation.")
    review_every: Duration = Field(default="180d", description="A review of who has which right is due this often.")
    cool_off: Duration = Field(
        default="1h", description="What two administrators agreed on waits this long, so that its owner can object."
    )


class Training(ApiModel):
    """Whose role needs a training record (Part 11 §11.10(i))."""

    required: list[AppRole] = Field(
        default_factory=list,
        max_length=6,
        json_schema_extra={"x-kubernetes-list-type": "set"},
        description="Roles that nobody holds without a valid training record.",
    )


class MetadataField(ApiModel):
    """A field that every document carries."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                cel(
                    "(has(self.type) && self.type == 'choice') == (has(self.choices) && size(self.choices) > 0)",
                    "choices belong to the type choice, and it needs some",
                    fieldPath=".choices",
                )
            ]
        }
    )

    name: str = Field(min_length=1, max_length=31, pattern=r"^[a-z][a-z0-9_]{0,30}$", description="Key of the field.")
    label: str = Field(min_length=1, max_length=60, description="What people read beside it.")
    type: Literal["text", "date", "number", "choice"] = Field(default="text", description="What a value is.")
    choices: list[str] = Field(default_factory=list, max_length=64, description="Values of a choice.")
    required: bool = Field(default=True, description="Refuse a document without it.")
    pattern: str | None = Field(
        default=None, max_length=200, description="Regular expression that the whole value must match."
    )


class Records(ApiModel):
    """What is asked of a record when it comes in, and how long it is kept (Part 11 §11.10(b), (c))."""

    retention: Duration = Field(default="3650d", description="How long a document is kept at least. Never shortened.")
    max_upload: Quantity = Field(default="64Mi", description="Largest file.")
    metadata: list[MetadataField] = Field(
        default_factory=list,
        max_length=24,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        description="Fields of every document.",
    )
    time_zone: str = Field(
        default="Etc/UTC",
        max_length=64,
        pattern=r"^[A-Za-z][A-Za-z0-9_+/-]*$",
        description="IANA time zone that is printed beside UTC.",
    )
    pdfa: Literal["off", "claimed"] = Field(
        default="off",
        description="claimed: a PDF must claim to be PDF/A (ISO 19005) and be it, as veraPDF or else the app itself can tell.",
    )


class Sink(ApiModel):
    """A place where security alerts go (Part 11 §11.300(d)). The first one that takes an alert has it."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                cel(
                    "self.kind == 'webhook' ? self.url.startsWith('https://') : self.url.startsWith('smtp')",
                    "a webhook has an https:// url, a mail server an smtp:// or smtps:// url",
                    fieldPath=".url",
                ),
                cel(
                    "self.kind == 'webhook' || (has(self.recipients) && size(self.recipients) > 0)",
                    "a mail server needs recipients",
                    fieldPath=".recipients",
                ),
                cel(
                    "has(self.secret) || !(has(self.tokenKey) || has(self.caKey))",
                    "tokenKey and caKey are keys of secret: name it",
                    fieldPath=".secret",
                ),
            ]
        }
    )

    kind: Literal["webhook", "mail"]
    url: str = Field(
        max_length=253,
        pattern=r"^(https|smtps?)://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?(/[^?#]*)?$",
        description="https://host/path, smtp://host:port or smtps://host:port.",
    )
    sender: str | None = Field(default=None, max_length=254, description="From address of mails.")
    recipients: list[str] = Field(default_factory=list, max_length=16, description="To addresses of mails.")
    secret: str | None = Field(
        default=None,
        max_length=253,
        pattern=_SECRET_NAME,
        description="Secret in the operator's namespace, labelled cloister.dev/tenant=<this tenant>, with the keys below.",
    )
    token_key: str | None = Field(
        default=None, min_length=1, max_length=253, description="Key whose value is sent to a webhook as bearer token."
    )
    ca_key: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        description="Key with the CA of the server's certificate, where it is not publicly trusted.",
    )


class ClaimRole(ApiModel):
    """People whose token names a group have a role in the app."""

    group: str = Field(min_length=1, max_length=256, description="The group as the token names it.")
    role: AppRole = Field(description="What its members may do.")


class Oidc(ApiModel):
    """OpenID Connect beside the directory."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                cel(
                    "has(self.subjectClaim) || (has(self.groups) && size(self.groups) > 0)",
                    "name the subjectClaim that leads to the directory, or the groups that have a role",
                    fieldPath=".groups",
                )
            ]
        }
    )

    issuer: str = Field(
        max_length=253,
        pattern=r"^https://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?(/[^?#]*)?$",
        description="The issuer's address, as in its tokens.",
    )
    client_id: str = Field(alias="clientID", min_length=1, max_length=128, description="This app's id at the issuer.")
    client_secret: str = Field(
        max_length=253,
        pattern=_SECRET_NAME,
        description="Secret in the operator's namespace, labelled cloister.dev/tenant=<this tenant>, with key "
        "clientSecret.",
    )
    ca_key: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        description="Key of that Secret with the CA of the issuer's certificate, where it is not publicly trusted.",
    )
    groups_claim: str = Field(default="groups", max_length=64, description="Claim that holds the person's groups.")
    groups: list[ClaimRole] = Field(
        default_factory=list, max_length=64, description="Value of the claim to role. No group, no access."
    )
    subject_claim: str | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        description="Claim with the person's account in the directory, which then decides who they are and what they may do.",
    )
