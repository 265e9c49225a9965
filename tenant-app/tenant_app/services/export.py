"""The export: every document in its original bytes, for the customer to take away (11.10(b), AT-04).

Beside the bytes lie a sealed PDF of each version, and each document's trail with its signatures, which verify with the public
keys that are exported too.
"""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tenant_app.domain.actions import Action
from tenant_app.domain.audit import Actor as AuditActor
from tenant_app.domain.audit import Change, Entry, ObjectRef, stamp
from tenant_app.domain.documents import Document, Version
from tenant_app.errors import AppError
from tenant_app.services import renditions
from tenant_app.services.columns import Columns
from tenant_app.services.documents import Documents
from tenant_app.services.evidence import public_pem
from tenant_app.services.keyring import Keyring
from tenant_app.services.printing import Printing
from tenant_app.services.recorder import Recorder
from tenant_app.services.rows import Rows
from tenant_app.storage import records
from tenant_app.storage.database import Database

log = logging.getLogger(__name__)
EXPORTER = AuditActor(type="service", sub="export", name="The export job")
_PAGE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """How much was written."""

    documents: int
    versions: int
    size: int


class Export:
    """Reads everything with the export role and writes it under a folder. One version is in memory at a time."""

    def __init__(
        self,
        database: Database,
        columns: Columns,
        recorder: Recorder,
        documents: Documents,
        printing: Printing,
        keyring: Keyring,
        *,
        tenant: str,
    ) -> None:
        self._database = database
        self._columns = columns
        self._recorder = recorder
        self._documents = documents
        self._printing = printing
        self._keyring = keyring
        self._rows = Rows(columns, tenant)
        self._tenant = tenant

    async def run(self, out: Path) -> Exported:
        """Write, under `out`, everything there is.

        `documents/<id>/<version>/<file name>` in original bytes, `renditions/<id>/<version>.pdf`, `trails/<id>.json`,
        `keys/` with what verifies signatures and seals, and `documents.json`, which says what each document is.

        Raises IntegrityViolation at the first version whose bytes are not what was recorded, and OSError.
        """
        await self._columns.ready()
        listed: list[dict[str, Any]] = []
        versions = size = 0
        for document in await self._all():
            described = await self._write(out, document)
            listed.append(described)
            versions += len(described["versions"])
            size += sum(version["size"] for version in described["versions"])
        await self._write_keys(out / "keys")
        manifest = {"tenant": self._tenant, "documents": listed}
        _put(out / "documents.json", _json(manifest))
        done = Exported(documents=len(listed), versions=versions, size=size)
        await self._record(done)
        return done

    async def _all(self) -> list[Document]:
        found: list[Document] = []
        before = None
        while True:
            async with self._database.transaction() as conn:
                rows = await records.list_documents(conn, limit=_PAGE, before=before)
            if not rows:
                return list(reversed(found))
            found.extend(self._rows.documents(rows))
            before = rows[-1]["number"]

    async def _write(self, out: Path, document: Document) -> dict[str, Any]:
        async with self._database.transaction() as conn:
            rows = await records.list_versions(conn, document.id)
        described = []
        for version in (self._rows.version(row) for row in reversed(rows)):
            if document.disposed:
                described.append({**_described(version, None), "destroyed": True})
                continue
            _, content = await self._documents.fetch(document.id, version.number, actor=EXPORTER)
            relative = Path("documents") / str(document.id) / str(version.number) / version.file_name
            _put(out / relative, content)
            described.append({**_described(version, relative), **await self._rendition(out, version)})
        trail = renditions.trail_json(await self._printing.history(document.id))
        _put(out / "trails" / f"{document.id}.json", _json(trail))
        return {
            "id": str(document.id),
            "number": document.label,
            "metadata": document.metadata.as_json(),
            "folder": document.folder,
            "trail": f"trails/{document.id}.json",
            "createdAt": stamp(document.created_at),
            "createdBy": document.created_by,
            "versions": described,
        }

    async def _rendition(self, out: Path, version: Version) -> dict[str, str]:
        relative = Path("renditions") / str(version.document) / f"{version.number}.pdf"
        try:
            _, _, pdf = await self._printing.make(version.document, version.number, actor=EXPORTER)
        except AppError:
            raise
        except Exception as error:
            # A file that cannot be set as pages is exported all the same: its original bytes are the record.
            log.warning("version %d of %s has no rendition: %s", version.number, version.document, type(error).__name__)
            return {"renditionProblem": type(error).__name__}
        _put(out / relative, pdf)
        return {"rendition": relative.as_posix()}

    async def _write_keys(self, out: Path) -> None:
        for number, raw in (await self._keyring.public_keys()).items():
            _put(out / f"signing-key-v{number}.pem", public_pem(raw))
        _put(out / "pdf-seal-issuer.cer", await self._printing.seal.issuer())

    async def _record(self, done: Exported) -> None:
        await self._recorder.alone(
            Entry(
                action=Action.TENANT_EXPORTED,
                actor=EXPORTER,
                object=ObjectRef(type="Tenant", id=self._tenant),
                changes=(
                    Change(path="/documents", new=done.documents),
                    Change(path="/versions", new=done.versions),
                    Change(path="/bytes", new=done.size),
                ),
            )
        )


def _put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _json(value: object) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode()


def _described(version: Version, relative: Path | None) -> dict[str, Any]:
    return {
        "version": version.number,
        "file": relative.as_posix() if relative else None,
        "fileName": version.file_name,
        "mediaType": version.media_type,
        "sha256": version.sha256,
        "size": version.size,
        "sealedSize": version.sealed_size,
        "state": version.state.value,
        "reason": version.reason,
        "createdAt": stamp(version.created_at),
        "createdBy": version.author,
        "createdByName": version.author_name,
    }
