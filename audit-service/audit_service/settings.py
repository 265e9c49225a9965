"""Everything the service is told, in one JSON file: `/etc/cloister/audit/config.json`, or what CLOISTER_AUDIT_CONFIG names.

The file holds paths to secrets, never a secret. Keys are camelCase; unknown ones are refused with their name.
"""

import os
from pathlib import Path
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from audit_contract.keys import parse_vkey

CONFIG_VARIABLE: Final = "CLOISTER_AUDIT_CONFIG"
DEFAULT_CONFIG: Final = Path("/etc/cloister/audit/config.json")
PLATFORM_LOG: Final = "platform"


class Part(BaseModel):
    """A frozen piece of the settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class Listen(Part):
    """Where to serve, by how many processes that take entries in. One and the writer keep two cores busy.

    Without a certificate plain HTTP is served, for tests on one machine only.
    """

    fronts: int = Field(1, ge=1, le=64)
    host: str = "0.0.0.0"  # noqa: S104  # a pod serves on all its addresses; the NetworkPolicy says who reaches it
    port: int = 8443
    cert_file: Path | None = None
    key_file: Path | None = None


class Login(Part):
    """A PostgreSQL role and where its password lies. An empty path means that none is needed."""

    user: str
    password_file: Path | None = None
    database: str = "postgres"


class Database(Part):
    """The service's own PostgreSQL. `admin` is a superuser, used by `migrate` only and mounted only there."""

    host: str = "database.cloister-audit.svc"
    port: int = 5432
    name: str = "audit"
    user: str = "audit_service"
    password_file: Path | None = None
    ca_file: Path | None = Field(None, description="With it the connection is TLS, and the server's name is checked.")
    admin: Login | None = None
    connections: int = Field(8, ge=4, le=100)


class Identity(Part):
    """Whose tokens are believed, and who is who."""

    issuer: str = "https://kubernetes.default.svc.cluster.local"
    audience: str = "cloister-audit"
    jwks_url: str = "https://kubernetes.default.svc/openid/v1/jwks"
    jwks_ca_file: Path | None = Path("/var/run/secrets/kubernetes.io/serviceaccount/ca.crt")
    jwks_token_file: Path | None = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
    operator: str = "system:serviceaccount:cloister-system:cloister-operator"
    admission: str = "system:serviceaccount:cloister-system:cloister-admission"
    platform_auditors: tuple[str, ...] = ("system:serviceaccount:cloister-audit:platform-auditor",)


class Keys(Part):
    """The keys that sign checkpoints (PEM, PKCS 8) and the one that seals values (32 bytes, base64).

    Without `mlDsa44File` nothing is signed with ML-DSA-44, also where the keys are in Vault.
    """

    ed25519_file: Path = Path("/var/run/cloister/audit-keys/ed25519.pem")
    ml_dsa44_file: Path | None = Path("/var/run/cloister/audit-keys/ml-dsa-44.pem")
    sealing_file: Path = Path("/var/run/cloister/audit-keys/sealing.key")
    next_folder: Path | None = Field(
        None,
        description="The keys that take over: announced in every log, from then on both sign, until this is unset again.",
    )


class VaultKeys(Part):
    """The keys in Vault's transit engine: an Ed25519 key that signs there, and one that seals what is held here.

    Then nothing of `keys` is needed: files that are still there only hand over to Vault's keys.
    """

    address: str = Field(pattern=r"^https?://")
    ca_file: Path | None = None
    auth_mount: str = "jwt"
    role: str
    token_file: Path
    transit_mount: str = "transit"
    signing_key: str = Field(description="Of type ed25519.")
    sealing_key: str = Field(description="Of type aes256-gcm96: seals the ML-DSA-44 keys and the values' key.")
    key_version: int = Field(
        1,
        ge=1,
        description="Of the signing key, pinned: a rotation in Vault changes nothing here by itself. The ML-DSA-44 key of the "
        "same number signs beside it.",
    )
    next_key_version: int | None = Field(
        None,
        ge=1,
        description="The version that takes over, as keys.nextFolder does for files; its ML-DSA-44 key is made.",
    )


class WitnessPeer(Part):
    """A witness that cosigns checkpoints (C2SP tlog-witness)."""

    name: str = Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$", description="What the policy calls it.")
    url: str = Field(pattern=r"^https?://", description="Its submission and monitoring prefix.")
    vkeys: tuple[str, ...] = Field(
        (), description="Its verifier keys. Without them those it shows at the first meeting are kept in guardFolder."
    )
    ca_file: Path | None = Field(None, description="Who signed its certificate; the system's authorities without it.")
    timeout_seconds: float = Field(5, gt=0, le=60)


class Authority(Part):
    """A time-stamp authority (RFC 3161)."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$", description="Names its files in a bundle.")
    url: str = Field(
        pattern=r"^https?://", description="Replies are signed, so plain HTTP, which many offer, is enough."
    )
    roots_file: Path = Field(description="Certificates (PEM) that its replies must lead to.")
    timeout_seconds: float = Field(20, gt=0, le=120)


class Timestamps(Part):
    """Which authorities stamp the checkpoints, and how often each log that has grown."""

    authorities: tuple[Authority, ...] = Field((), max_length=8)
    every_seconds: float = Field(3600, gt=0)


class Pace(Part):
    """How work is grouped. Milliseconds and counts."""

    checkpoint_ms: int = Field(100, ge=1, le=10_000, description="Least time between two checkpoints of one log.")
    checkpoint_drafts: int = Field(
        1024, ge=1, description="So many durable entries without a checkpoint are not kept waiting for that time."
    )
    record_seconds: float = Field(30, gt=0, le=60, description="How often tenant checkpoints enter the platform log.")
    witness_ms: int = Field(500, ge=1, le=60_000, description="Least time between two rounds of asking the witnesses.")
    round_drafts: int = Field(512, ge=256, description="Drafts committed in one transaction at most.")
    unsigned_drafts: int = Field(
        1536, ge=1, description="So many durable entries without a checkpoint let no round wait, however old they are."
    )
    unsigned_ms: float = Field(
        75,
        gt=0,
        description="When there are more: how long the first of them may wait before a round waits for signing.",
    )
    waiting_drafts: int = Field(32_768, ge=256, description="Drafts waiting to be committed before 503 is answered.")


class WormStore(Part):
    """A bucket with Object Lock, for the copies of the logs of one Region. Paths may be relative to the file they are in."""

    region: str = Field(min_length=1, description="The Region whose logs are copied here, as a log names it.")
    endpoint: str = Field(pattern=r"^https://")
    store_region: str = Field("us-east-1", description="What the store itself calls the place it is in.")
    bucket: str = Field(min_length=3)
    access_key_file: Path
    secret_key_file: Path
    ca_file: Path | None = None


class WormStores(Part):
    """The buckets there are. `platformRegion` says which of them has the platform's log; the first one when empty."""

    stores: tuple[WormStore, ...] = ()
    platform_region: str = ""


class Worm(WormStores):
    """The second copy of each log, under Object Lock in its Region's bucket."""

    stores_file: Path | None = Field(
        None, description="A WormStores file, read anew at each round and used instead of `stores` once it is there."
    )
    platform_retention_days: int = Field(3650, ge=1, description="How long the platform log's copy stays locked.")
    lag_seconds: float = Field(60, gt=0, description="How old an entry may get that is not in the copy yet.")
    tick_seconds: float = Field(5, gt=0, description="How often it is looked at what is to be copied.")


class Settings(Part):
    """The whole. `install` names this installation in every log's origin: `<install>/audit/<log>`."""

    install: str = Field("cloister.localhost", pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")
    listen: Listen = Listen()
    database: Database = Database()
    identity: Identity = Identity()
    keys: Keys = Keys()
    vault: VaultKeys | None = None
    pace: Pace = Pace()
    worm: Worm = Worm()
    guard_folder: Path | None = Field(
        None,
        description="On another volume than the database: the last signed checkpoints, so that a database that was set back "
        "is noticed. Without it only a witness notices.",
    )

    witnesses: tuple[WitnessPeer, ...] = Field((), max_length=16)
    quorum: int = Field(
        1, ge=1, description="How many witnesses must have cosigned; nothing is asked without witnesses."
    )

    timestamps: Timestamps = Timestamps()

    @model_validator(mode="after")
    def _one_way_to_change_keys(self) -> Self:
        if self.vault is not None and self.keys.next_folder is not None:
            raise ValueError("keys.nextFolder: with keys in Vault, vault.nextKeyVersion names those that take over")
        return self

    @model_validator(mode="after")
    def _witnessing(self) -> Self:
        if len({each.name for each in self.witnesses}) < len(self.witnesses):
            raise ValueError("witnesses: each has a name of its own")
        if self.witnesses and self.quorum > len(self.witnesses):
            raise ValueError(f"quorum: {self.quorum} of {len(self.witnesses)} witnesses cannot sign")
        if self.guard_folder is None and not all(each.vkeys for each in self.witnesses):
            raise ValueError(
                "witnesses: give their vkeys, or a guardFolder to keep those they show at the first meeting"
            )
        keys = [parse_vkey(vkey).key.public_bytes_raw() for each in self.witnesses for vkey in each.vkeys]
        if len(set(keys)) < len(keys):
            raise ValueError("witnesses: a key is there twice; one witness under two names would count twice")
        return self

    def origin(self, log: str) -> str:
        """Return the origin line of a log's checkpoints."""
        return f"{self.install}/audit/{log}"


def load() -> Settings:
    """Read the settings. Raises OSError or pydantic's ValidationError, which name the file or the field."""
    return Settings.model_validate_json(Path(os.environ.get(CONFIG_VARIABLE, DEFAULT_CONFIG)).read_bytes())


def secret(path: Path | None) -> str | None:
    """Return a secret file's text without its final newline, read anew each time."""
    return None if path is None else path.read_text().rstrip("\n")
