"""From rows to records: opens sealed columns and puts the parts together."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from tenant_app.domain.documents import Document, Kind, Metadata, State, Version
from tenant_app.domain.sealing import context
from tenant_app.services.columns import Columns
from tenant_app.storage.database import Row


class Rows:
    """Knows where each sealed value belongs; a value from elsewhere does not open."""

    def __init__(self, columns: Columns, tenant: str) -> None:
        self._columns = columns
        self._tenant = tenant

    def bound(self, document: UUID, number: int, sha256: str) -> bytes:
        """Return what a version's content and its data key are bound to."""
        return context(self._tenant, "contents", str(document), str(number), sha256)

    def document(self, row: Row) -> Document:
        """Return a document from a row of `records.find_document` or `records.list_documents`."""
        return self._document(row, {})

    def documents(self, rows: Iterable[Row]) -> list[Document]:
        """Return the documents of one query's rows. Whoever wrote many of them is opened once."""
        names: dict[str, str] = {}
        return [self._document(row, names) for row in rows]

    def _document(self, row: Row, names: dict[str, str]) -> Document:
        words: dict[str, Any] = self._columns.open(row["sealed"], "documents", str(row["id"]))
        latest = self._version(
            {
                **row,
                "document": row["id"],
                "number": row["version"],
                "sealed": row["version_sealed"],
                "created_at": row["version_at"],
                "created_by": row["version_by"],
            },
            names,
        )
        return Document(
            id=row["id"],
            number=row["number"],
            metadata=Metadata(**{**words, "kind": Kind(words["kind"])}),
            created_at=row["created_at"],
            created_by=row["created_by"],
            latest=latest,
            retain_until=row["retain_until"],
            folder=self.folder(row),
            held=row["held_at"] is not None,
            disposed=row["disposed_at"] is not None,
        )

    def folder(self, row: Row) -> str:
        """Return where a document lies, from a row that has its `folder_sealed` and its id as `id` or `document`."""
        sealed = row["folder_sealed"]
        place = str(row.get("id") or row["document"])
        return str(self._columns.open(sealed, "folders", place)["path"]) if sealed else ""

    def sealed_folder(self, document: UUID, folder: str) -> bytes | None:
        """Return a folder's path as it is stored; None for the top."""
        return self._columns.seal({"path": folder}, "folders", str(document)) if folder else None

    def version(self, row: Row) -> Version:
        """Return a version from a row of `records.find_version` or `records.list_versions`."""
        return self._version(row, {})

    def _version(self, row: Row, names: dict[str, str]) -> Version:
        words = self._columns.open(row["sealed"], "versions", str(row["document"]), str(row["number"]))
        author = row["created_by"]
        if author not in names:
            names[author] = self._columns.open(row["author_sealed"], "people", author)["name"]
        return Version(
            document=row["document"],
            number=row["number"],
            sha256=row["sha256"],
            size=row["size"],
            sealed_size=row["sealed_size"],
            media_type=row["media_type"],
            file_name=words["file_name"],
            reason=words["reason"],
            author=author,
            author_name=names[author],
            created_at=row["created_at"],
            state=State(row["state"]),
        )
