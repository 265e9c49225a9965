"""Documents: upload, list, read, new version. Every read and every change has its entry (11.10(a) to (e))."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from tenant_app.adapters.ports import Keys
from tenant_app.domain import media
from tenant_app.domain.access import Right
from tenant_app.domain.actions import Action
from tenant_app.domain.audit import SYSTEM, Actor, Change, Entry, ObjectRef, Reason
from tenant_app.domain.documents import Document, Metadata, Version, checked_reason
from tenant_app.domain.ids import uuid7
from tenant_app.domain.sealing import Sealer, new_key, sha256_hex
from tenant_app.errors import Conflict, IntegrityViolation, NotFound, TooLarge
from tenant_app.services.caller import Caller
from tenant_app.services.columns import Columns
from tenant_app.services.document_entries import found_row, read_entry, violation_entry
from tenant_app.services.inspection import Inspection
from tenant_app.services.recorder import Recorded, Recorder
from tenant_app.services.rows import Rows
from tenant_app.storage import records
from tenant_app.storage.database import Conn, Database

FIRST_REASON = "First version"
PAGE = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file as a browser sent it."""

    file_name: str
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """A version ready to be stored: everything that needs Vault or time is done before the transaction begins."""

    row: dict[str, Any]
    content: bytes
    ref: ObjectRef
    changes: tuple[Change, ...]
    words: str
    pages: int


class Documents:
    """The tenant's records."""

    def __init__(
        self,
        database: Database,
        columns: Columns,
        recorder: Recorder,
        keys: Keys,
        inspection: Inspection,
        *,
        tenant: str,
        max_bytes: int,
        retention: timedelta,
    ) -> None:
        self._database = database
        self._columns = columns
        self._recorder = recorder
        self._keys = keys
        self._inspection = inspection
        self._tenant = tenant
        self._rows = Rows(columns, tenant)
        self.max_bytes = max_bytes
        self._retention = retention

    async def create(self, caller: Caller, metadata: Metadata, upload: Upload, *, folder: str = "") -> Document:
        """Store a new document with its first version.

        Raises Forbidden, InvalidInput, TooLarge, AuditAway, VaultAway, DependencyAway; then nothing is stored.
        """
        caller.require(Right.AUTHOR)
        await self._columns.ready()
        document, now = uuid7(), datetime.now(UTC)
        prepared = await self._prepare(caller, document, 1, upload, FIRST_REASON, now, kind=metadata.kind.value)
        sealed = self._columns.seal(metadata.as_json(), "documents", str(document))
        async with self._database.transaction() as conn:
            await self._recorder.refuse_when_behind(conn)
            number = await records.insert_document(
                conn,
                {
                    "id": document,
                    "sealed": sealed,
                    "folder": self._rows.sealed_folder(document, folder),
                    "at": now,
                    "by": caller.session.sub,
                    "until": now + self._retention,
                },
            )
            await self._insert(conn, prepared)
            described = {**metadata.flat(), "/folder": folder}
            words = tuple(Change(path=path, new=value) for path, value in described.items() if value)
            entry = Entry(
                action=Action.DOCUMENT_CREATED,
                actor=caller.actor,
                object=prepared.ref,
                changes=(Change(path="/number", new=number), *words, *prepared.changes),
                request=caller.request,
            )
            await self._recorder.with_change(conn, entry)
            return self._rows.document(await found_row(conn, document))

    async def add_version(self, caller: Caller, document: UUID, upload: Upload, reason: str, expected: int) -> Document:
        """Store the version after `expected`, which must be the newest; nothing is overwritten (AT-50).

        Raises Conflict when somebody else was first or the bytes are those of the newest version; else as `create`.
        """
        caller.require(Right.AUTHOR)
        await self._columns.ready()
        why = checked_reason(reason)
        async with self._database.transaction() as conn:
            kind = self._rows.document(await found_row(conn, document)).metadata.kind.value
        prepared = await self._prepare(caller, document, expected + 1, upload, why, datetime.now(UTC), kind=kind)
        async with self._database.transaction() as conn:
            await self._recorder.refuse_when_behind(conn)
            row = await records.lock_document(conn, document)
            if row is None:
                raise NotFound("There is no such document.")
            if row["version"] != expected:
                raise Conflict(f"Version {row['version']} is the newest by now. Look at it before you add another.")
            if row["sha256"] == prepared.row["sha256"]:
                raise Conflict("These are exactly the bytes of the newest version: there is nothing to add.")
            await self._insert(conn, prepared)
            newest = self._rows.document(row).latest
            before = {
                "/version": newest.number,
                "/fileName": newest.file_name,
                "/mediaType": newest.media_type,
                "/size": newest.size,
                "/sha256": newest.sha256,
            }
            entry = Entry(
                action=Action.DOCUMENT_CHANGED,
                actor=caller.actor,
                object=prepared.ref,
                changes=tuple(
                    Change(path=change.path, old=before.get(change.path), new=change.new) for change in prepared.changes
                ),
                reason=Reason(code="new_version", text=why),
                request=caller.request,
            )
            await self._recorder.with_change(conn, entry)
            return self._rows.document(await found_row(conn, document))

    async def page(self, caller: Caller, *, before: int | None = None) -> list[Document]:
        """Return up to 50 documents, newest first. The look is recorded before it is answered."""
        caller.require(Right.VIEW)
        await self._recorder.alone(
            Entry(
                action=Action.DOCUMENT_LISTED,
                actor=caller.actor,
                object=ObjectRef(type="Documents", id=self._tenant),
                changes=(Change(path="/before", new=before),) if before else (),
                request=caller.request,
            )
        )
        async with self._database.transaction() as conn:
            return self._rows.documents(await records.list_documents(conn, limit=PAGE, before=before))

    async def open(self, caller: Caller, document: UUID) -> tuple[Document, list[Version]]:
        """Return a document and its versions, newest first. Raises NotFound."""
        caller.require(Right.VIEW)
        await self._columns.ready()
        async with self._database.transaction() as conn:
            found = self._rows.document(await found_row(conn, document))
            versions = [self._rows.version(row) for row in await records.list_versions(conn, document)]
        await self._recorder.alone(read_entry(Action.DOCUMENT_READ, caller, found.latest, part="description"))
        return found, versions

    async def read(self, caller: Caller, document: UUID, number: int, *, download: bool) -> tuple[Version, bytes]:
        """Return one version's original bytes, checked against their recorded hash at this read (11.10(a)).

        Raises NotFound, VaultAway, and IntegrityViolation, which is itself recorded.
        """
        caller.require(Right.VIEW)
        version, content = await self.fetch(document, number, actor=caller.actor, request=caller.request)
        action = Action.DOCUMENT_EXPORTED if download else Action.DOCUMENT_READ
        await self._recorder.alone(read_entry(action, caller, version, part="content"))
        return version, content

    async def picture(self, caller: Caller, document: UUID, number: int, page: int) -> bytes:
        """Return one page of a PDF version as a PNG; each page that is looked at is an entry. Raises NotFound and as `read`."""
        caller.require(Right.VIEW)
        version, content = await self.fetch(document, number, actor=caller.actor, request=caller.request)
        if version.media_type != media.PDF:
            raise NotFound("Only PDFs are drawn page by page.")
        picture = await self._inspection.picture(content, page)
        await self._recorder.alone(read_entry(Action.DOCUMENT_READ, caller, version, part=f"page {page}"))
        return picture

    async def pages(self, version: Version) -> int:
        """Return how many pages a version has, 0 when it is no PDF or was stored before pages were counted."""
        async with self._database.transaction() as conn:
            sealed = await records.text_of(conn, version.document, version.number)
        if sealed is None:
            return 0
        found = self._columns.open(sealed, "version_texts", str(version.document), str(version.number))
        return int(found.get("pages", 0))

    async def fetch(
        self, document: UUID, number: int, *, actor: Actor = SYSTEM, request: str = ""
    ) -> tuple[Version, bytes]:
        """Return a version's bytes after unsealing and checking them. For services that record the read themselves."""
        await self._columns.ready()
        async with self._database.transaction() as conn:
            row = await records.find_version(conn, document, number)
            sealed = await records.content(conn, document, number)
        if row is None or sealed is None:
            raise NotFound("There is no such version.")
        bound = self._rows.bound(document, number, row["sha256"])
        try:
            content = Sealer(await self._keys.unwrap(row["wrapped_key"], bound)).unseal(sealed, bound)
            if sha256_hex(content) != row["sha256"]:
                raise IntegrityViolation("The bytes do not have the hash that was recorded.")  # noqa: TRY301
        except IntegrityViolation as error:
            await self._recorder.alone(violation_entry(row, actor, request, str(error)))
            raise
        return self._rows.version(row), content

    async def trail(self, caller: Caller, document: UUID) -> list[Recorded]:
        """Return the document's entries, newest first; looking at it is an entry too (AT-59)."""
        return await self._entries(caller, document, Action.TRAIL_VIEWED, "trail")

    async def copy_trail(self, caller: Caller, document: UUID, form: str) -> list[Recorded]:
        """Return the document's entries for a copy that leaves the system, recorded as such."""
        return await self._entries(caller, document, Action.DOCUMENT_EXPORTED, f"trail.{form}")

    async def _entries(self, caller: Caller, document: UUID, action: Action, part: str) -> list[Recorded]:
        caller.require(Right.VIEW)
        await self._columns.ready()
        async with self._database.transaction() as conn:
            latest = self._rows.document(await found_row(conn, document)).latest
        await self._recorder.alone(read_entry(action, caller, latest, part=part))
        async with self._database.transaction() as conn:
            return await self._recorder.of_object(conn, str(document))

    async def _insert(self, conn: Conn, prepared: _Prepared) -> None:
        await records.insert_version(conn, prepared.row, prepared.content)
        if prepared.words or prepared.pages:
            document, number = prepared.row["document"], prepared.row["number"]
            read = {"words": prepared.words, "pages": prepared.pages}
            sealed = self._columns.seal(read, "version_texts", str(document), str(number))
            await records.insert_text(conn, document, number, sealed)

    async def _prepare(
        self, caller: Caller, document: UUID, number: int, upload: Upload, reason: str, now: datetime, *, kind: str
    ) -> _Prepared:
        if len(upload.content) > self.max_bytes:
            raise TooLarge(f"The file is over the limit of {self.max_bytes // (1024 * 1024)} MiB.", field="file")
        name = media.safe_file_name(upload.file_name)
        found = media.recognise(name, upload.content)
        pages = await self._inspection.check(found.name, upload.content, kind)
        digest = sha256_hex(upload.content)
        bound, key = self._rows.bound(document, number, digest), new_key()
        wrapped = await self._keys.wrap(key, bound)
        sealed = Sealer(key).seal(upload.content, bound)
        names = {"file_name": name, "reason": reason}
        row = {
            "document": document,
            "number": number,
            "sha256": digest,
            "size": len(upload.content),
            "sealed_size": len(sealed),
            "sealed_sha256": sha256_hex(sealed),
            "media_type": found.name,
            "sealed": self._columns.seal(names, "versions", str(document), str(number)),
            "wrapped_key": wrapped,
            "at": now,
            "by": caller.session.sub,
        }
        changes = (
            Change(path="/version", new=number),
            Change(path="/fileName", new=name),
            Change(path="/mediaType", new=found.name),
            Change(path="/size", new=len(upload.content)),
            Change(path="/sha256", new=digest),
        )
        ref = ObjectRef(type="Document", id=str(document), version=str(number), sha256=digest)
        words = await self._inspection.words(found.name, upload.content)
        return _Prepared(row=row, content=sealed, ref=ref, changes=changes, words=words, pages=pages)
