"""The one JSON file that the pod finds (docs/contracts.md, "What the app's pod finds").

It holds paths to secrets, never a secret: secrets are read anew at each use, so that a rotation needs no restart.
"""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self
from uuid import UUID
from zoneinfo import available_timezones

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.alias_generators import to_camel

DEFAULT_PATH = "/etc/cloister/app/config.json"

Role = Literal["reader", "author", "reviewer", "approver", "publisher", "administrator"]
RightName = Literal["view", "author", "annotate", "review", "approve", "publish", "administer"]


class Section(BaseModel):
    """Base of all sections: camelCase in the file, frozen, unknown keys ignored so that an operator may be newer."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")


class TenantSection(Section):
    """Whom this app serves."""

    id: UUID
    name: str
    display_name: str
    region: str


class Listen(Section):
    """Where HTTPS is served."""

    host: str = "0.0.0.0"  # noqa: S104  # inside the pod; the network policy decides who reaches it
    port: int = 8443
    cert_file: Path
    key_file: Path


class DatabaseUser(Section):
    """A role of the tenant's own PostgreSQL."""

    user: str
    password_file: Path


class DatabaseSection(Section):
    """The tenant's own PostgreSQL server, TLS verified."""

    host: str
    port: int = 5432
    name: str = "app"
    ca_file: Path
    app: DatabaseUser
    audit_writer: DatabaseUser
    owner: DatabaseUser | None = None
    pool_size: int = Field(default=8, ge=2, le=64)


class VaultSection(Section):
    """The tenant's keys."""

    address: str
    ca_file: Path | None = None
    auth_mount: str = "jwt"
    role: str
    transit_mount: str = "transit"
    key: str
    signing_key: str
    token_file: Path


class AuditSection(Section):
    """Where the trail is delivered, and how long changes go on while that is away."""

    url: str
    ca_file: Path
    log: str
    token_file: Path
    max_lag_seconds: int = Field(default=120, ge=0, description="0: no change while anything waits for delivery.")


class GroupRole(Section):
    """Members of a directory group have a role."""

    group: str
    role: Role


class LdapSection(Section):
    """The customer's directory."""

    url: str
    start_tls: bool = Field(default=False, alias="startTLS")
    base_dn: str = Field(alias="baseDN")
    user_attribute: str = "uid"
    bind_dn_file: Path = Field(alias="bindDNFile")
    password_file: Path
    ca_file: Path
    groups: tuple[GroupRole, ...]


class LockoutSection(Section):
    """What wrong passwords cost (11.300(d)): free failures, and the longest wait after more of them."""

    sign_in_failures: int = Field(default=10, ge=3, le=100)
    sign_in_wait_seconds: int = Field(default=30, ge=1, le=3600)
    signing_failures: int = Field(default=5, ge=3, le=10)
    signing_wait_seconds: int = Field(default=900, ge=60, le=86400)


class SessionsSection(Section):
    """How long a sign-in lasts (11.10(d))."""

    idle_seconds: int = Field(default=900, ge=60, le=86400)
    absolute_seconds: int = Field(default=43200, ge=300, le=86400 * 7)
    max_concurrent: int = Field(default=3, ge=1, le=100)
    lockout: LockoutSection = LockoutSection()


class UploadsSection(Section):
    """What may be uploaded."""

    max_bytes: int = Field(default=64 * 1024 * 1024, ge=1024, le=512 * 1024 * 1024)
    pdfa_for: tuple[str, ...] = Field(default=(), description="Kinds of documents whose PDFs must be PDF/A; * for all.")
    pdfa_judge: tuple[str, ...] = Field(
        default=(), description="veraPDF's command line, or a program that ends like it. {flavour} is the claimed one."
    )
    pdfa_judge_url: str = Field(
        default="", pattern="^(https://.+)?$", description="Where `tenant_app.judge` answers, in a pod of its own."
    )
    pdfa_judge_ca_file: Path | None = None
    pdfa_judge_seconds: float = Field(default=60, gt=0, le=600)

    @model_validator(mode="after")
    def _one_judge(self) -> Self:
        if self.pdfa_judge and self.pdfa_judge_url:
            raise ValueError("name pdfaJudge or pdfaJudgeUrl, not both: one validator decides")
        return self


class MetadataField(Section):
    """One more thing that people enter about a document, checked at entry (ALCOA+)."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,30}$")
    label: str = Field(min_length=1, max_length=60)
    type: Literal["text", "date", "number", "choice"] = "text"
    required: bool = False
    pattern: str = Field(
        default="", max_length=200, description="A regular expression that the whole value must match."
    )
    hint: str = Field(default="", max_length=120)
    choices: tuple[str, ...] = ()
    kinds: tuple[str, ...] = Field(default=(), description="Kinds of documents that have it; none named: all.")

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(f"{self.name}: the pattern is no regular expression: {error}") from error
        if (self.type == "choice") != bool(self.choices):
            raise ValueError(f"{self.name}: choices belong to the type choice, and it needs some")
        return self


class RecordsSection(Section):
    """How long a document is kept, what is asked for about it, and in which zone times are printed beside UTC (AT-58)."""

    retention_days: int = Field(default=3650, ge=1, le=36525, description="Kept so long after its first version.")
    metadata: tuple[MetadataField, ...] = ()
    time_zone: str = "UTC"

    @field_validator("time_zone")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError(f"{value} is no time zone of the IANA database, such as Europe/Berlin")
        return value


class SinkSection(Section):
    """One place that alerts go to: a webhook (https) or a mail server (smtp, STARTTLS when it offers it)."""

    kind: Literal["webhook", "smtp"]
    url: str
    sender: str = "cloister@localhost"
    recipients: tuple[str, ...] = ()
    token_file: Path | None = None
    ca_file: Path | None = None


class SigningSection(Section):
    """How long one continuous period of signings lasts (11.200(a)(1))."""

    idle_seconds: int = Field(default=600, ge=30, le=3600)
    longest_seconds: int = Field(default=7200, ge=60, le=43200)
    enrolment: Literal["directory", "required"] = Field(
        default="directory", description="directory: its groups count as verified; required: only after a record here."
    )
    meanings: dict[str, str] = Field(
        default_factory=dict,
        description="Statements by meaning code, in place of the workflow's; the codes are closed.",
    )
    max_password_age_days: int | None = Field(
        default=None, ge=1, le=3650, description="An older password signs nothing, nor does one whose age is not told."
    )


class TrainingSection(Section):
    """Which roles and rights need a valid training record to be held (11.10(i))."""

    required: tuple[Role | RightName, ...] = ()


class GrantsSection(Section):
    """Extra grants beside the directory's groups."""

    longest_days: int = Field(default=366, ge=1, le=3660)


class AccessReviewSection(Section):
    """How often who has which right is reviewed (11.300(b))."""

    every_days: int = Field(default=180, ge=1, le=3660)


class TwoPersonSection(Section):
    """How long an act that two administrators agreed on waits, so that its owner can object (11.200(a)(3))."""

    cool_off_seconds: int = Field(default=3600, ge=0, le=86400 * 30)


class WorkflowSection(Section):
    """The tenant's own workflow, as a mounted JSON file like the package's domain/workflow.json; checked at start."""

    file: Path | None = None


class OidcSection(Section):
    """An OpenID Connect provider beside the directory.

    With `subjectClaim`, that claim names the person's account in the directory, which stays the authority for identity, roles and
    being alive. Without it, people are issuer and sub, and `groups` maps the groups claim to roles.
    """

    issuer: str = Field(pattern=r"^https://[^?#\s]+$")
    client_id: str
    client_secret_file: Path | None = None
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    groups_claim: str = "groups"
    subject_claim: str | None = None
    groups: tuple[GroupRole, ...] = ()
    ca_file: Path | None = None
    label: str = "Sign in with your organisation"


class SecondFactorSection(Section):
    """Time-based codes beside the password, at sign-in and at the first signing of a period (11.200, 11.300(e))."""

    policy: Literal["off", "optional", "required"] = "off"
    retest_days: int = Field(default=180, ge=1, le=3650)


class SystemSection(Section):
    """What is running, as the operator deployed it."""

    image: str = "unknown"
    version: str = "unknown"


class Settings(Section):
    """All of it."""

    tenant: TenantSection
    hostname: str
    listen: Listen
    database: DatabaseSection
    vault: VaultSection
    audit: AuditSection
    ldap: LdapSection
    sessions: SessionsSection = SessionsSection()
    uploads: UploadsSection = UploadsSection()
    records: RecordsSection = RecordsSection()
    signing: SigningSection = SigningSection()
    oidc: OidcSection | None = None
    second_factor: SecondFactorSection = SecondFactorSection()
    alerts: tuple[SinkSection, ...] = ()
    system: SystemSection = SystemSection()
    training: TrainingSection = TrainingSection()
    grants: GrantsSection = GrantsSection()
    workflow: WorkflowSection = WorkflowSection()
    access_review: AccessReviewSection = AccessReviewSection()
    two_person: TwoPersonSection = TwoPersonSection()


def load(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the configuration file that CLOISTER_APP_CONFIG names.

    Raises OSError when it cannot be read and pydantic's ValidationError, naming each field, when it is wrong.
    """
    path = Path(environ.get("CLOISTER_APP_CONFIG", DEFAULT_PATH))
    return Settings.model_validate(json.loads(path.read_text(encoding="utf-8")))


def read_secret(path: Path) -> str:
    """Return a mounted secret, without the newline that editors add."""
    return path.read_text(encoding="utf-8").rstrip("\r\n")
