"""What the signing services share."""

from dataclasses import dataclass

from tenant_app.adapters.ports import Directory, Keys
from tenant_app.services.candidates import Candidates
from tenant_app.services.columns import Columns
from tenant_app.services.delegations import Delegations
from tenant_app.services.documents import Documents
from tenant_app.services.keyring import Keyring
from tenant_app.services.progress import Progress
from tenant_app.services.readiness import Readiness
from tenant_app.services.recorder import Recorder
from tenant_app.services.rows import Rows
from tenant_app.storage.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The services and ports that a signature needs. `system` is what runs now, as it goes into every record."""

    database: Database
    columns: Columns
    recorder: Recorder
    keys: Keys
    keyring: Keyring
    directory: Directory
    documents: Documents
    progress: Progress
    readiness: Readiness
    delegations: Delegations
    candidates: Candidates
    rows: Rows
    tenant: str
    system: dict[str, str]
