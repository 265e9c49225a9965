"""The export: every document in its original bytes, for the customer to take away (11.10(b), AT-04)."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tenant_app.domain.actions import Action
from tenant_app.domain.audit import Actor as AuditActor
from tenant_app.domain.audit import Change, Entry, ObjectRef, stamp
from tenant_app.domain.documents import Document, Version
from tenant_app.services.columns import Columns
from tenant_app.services.documents import Documents
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
        self, database: Database, columns: Columns, recorder: Recorder, documents: Documents, *, tenant: str
    ) -> None:
        self._database = database
        self._columns = columns
        self._recorder = recorder
        self._documents = documents
        self._rows = Rows(columns, tenant)
        self._tenant = tenant

    async def run(self, out: Path) -> Exported:
        """Write `documents/<id>/<version>/<file name>` and `documents.json` under `out`.

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
        manifest = {"tenant": self._tenant, "documents": listed}
        (out / "documents.json").write_text(json.dumps(manifest, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
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
            found.extend(self._rows.document(row) for row in rows)
            before = rows[-1]["number"]

    async def _write(self, out: Path, document: Document) -> dict[str, Any]:
        async with self._database.transaction() as conn:
            rows = await records.list_versions(conn, document.id)
        described = []
        for version in (self._rows.version(row) for row in reversed(rows)):
            _, content = await self._documents.fetch(document.id, version.number, actor=EXPORTER)
            relative = Path("documents") / str(document.id) / str(version.number) / version.file_name
            target = out / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            described.append(_described(version, relative))
        return {
            "id": str(document.id),
            "number": document.label,
            "metadata": document.metadata.as_json(),
            "createdAt": stamp(document.created_at),
            "createdBy": document.created_by,
            "versions": described,
        }

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


def _described(version: Version, relative: Path) -> dict[str, Any]:
    return {
        "version": version.number,
        "file": relative.as_posix(),
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
