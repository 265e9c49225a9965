"""Everything the service is told, in one JSON file: `/etc/cloister/audit/config.json`, or what CLOISTER_AUDIT_CONFIG names.

The file holds paths to secrets, never a secret. Keys are camelCase; unknown ones are refused with their name.
"""

import os
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

CONFIG_VARIABLE: Final = "CLOISTER_AUDIT_CONFIG"
DEFAULT_CONFIG: Final = Path("/etc/cloister/audit/config.json")
PLATFORM_LOG: Final = "platform"


class Part(BaseModel):
    """A frozen piece of the settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class Listen(Part):
    """Where to serve. Without a certificate plain HTTP is served, for tests on one machine only."""

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
    platform_auditors: tuple[str, ...] = ("system:serviceaccount:cloister-audit:platform-auditor",)


class Keys(Part):
    """The keys that sign checkpoints (PEM, PKCS 8) and the one that seals values (32 bytes, base64)."""

    ed25519_file: Path = Path("/var/run/cloister/audit-keys/ed25519.pem")
    ml_dsa44_file: Path | None = Path("/var/run/cloister/audit-keys/ml-dsa-44.pem")
    sealing_file: Path = Path("/var/run/cloister/audit-keys/sealing.key")


class Pace(Part):
    """How work is grouped. Milliseconds and counts."""

    checkpoint_ms: int = Field(50, ge=1, le=10_000, description="Least time between two checkpoints of one log.")
    record_seconds: float = Field(30, gt=0, le=60, description="How often tenant checkpoints enter the platform log.")
    round_drafts: int = Field(512, ge=256, description="Drafts committed in one transaction at most.")
    unsigned_drafts: int = Field(
        2048, ge=1, description="Durable entries without a checkpoint before a round waits a moment."
    )
    waiting_drafts: int = Field(32_768, ge=256, description="Drafts waiting to be committed before 503 is answered.")


class Settings(Part):
    """The whole. `install` names this installation in every log's origin: `<install>/audit/<log>`."""

    install: str = Field("cloister.localhost", pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")
    listen: Listen = Listen()
    database: Database = Database()
    identity: Identity = Identity()
    keys: Keys = Keys()
    pace: Pace = Pace()
    guard_folder: Path | None = Field(
        None,
        description="On another volume than the database: the last signed checkpoints, so that a database that was set back "
        "is noticed. Without it only a witness notices.",
    )

    def origin(self, log: str) -> str:
        """Return the origin line of a log's checkpoints."""
        return f"{self.install}/audit/{log}"


def load() -> Settings:
    """Read the settings. Raises OSError or pydantic's ValidationError, which name the file or the field."""
    return Settings.model_validate_json(Path(os.environ.get(CONFIG_VARIABLE, DEFAULT_CONFIG)).read_bytes())


def secret(path: Path | None) -> str | None:
    """Return a secret file's text without its final newline, read anew each time."""
    return None if path is None else path.read_text().rstrip("\n")
