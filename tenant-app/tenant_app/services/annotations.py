"""Annotations on a version: made, settled, never rewritten."""

import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from tenant_app.domain.access import Right
from tenant_app.domain.actions import Action
from tenant_app.domain.audit import Change, Entry, ObjectRef
from tenant_app.domain.ids import uuid7
from tenant_app.errors import InvalidInput, NotFound
from tenant_app.services.caller import Caller
from tenant_app.services.columns import Columns
from tenant_app.services.recorder import Recorder
from tenant_app.storage import records, workflow
from tenant_app.storage.database import Database

MAX_TEXT = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """A remark. `place` is the author's own words for where, such as page 3."""

    id: UUID
    version: int
    author: str
    author_name: str
    text: str
    place: str
    created_at: datetime
    resolved_at: datetime | None


class Annotations:
    """The remarks on a document."""

    def __init__(self, database: Database, columns: Columns, recorder: Recorder) -> None:
        self._database = database
        self._columns = columns
        self._recorder = recorder

    async def of(self, caller: Caller, document: UUID) -> list[Annotation]:
        """Return a document's remarks, oldest first."""
        caller.require(Right.VIEW)
        await self._columns.ready()
        async with self._database.transaction() as conn:
            rows = await workflow.annotations(conn, document)
        found = []
        for row in rows:
            words = self._columns.open(row["sealed"], "annotations", str(row["id"]), str(document))
            found.append(
                Annotation(
                    id=row["id"],
                    version=row["version"],
                    author=row["author"],
                    author_name=words["author"],
                    text=words["text"],
                    place=words["place"],
                    created_at=row["created_at"],
                    resolved_at=row["resolved_at"],
                )
            )
        return found

    async def add(self, caller: Caller, document: UUID, number: int, text: str, place: str) -> UUID:
        """Store a remark. Raises Forbidden, InvalidInput, NotFound, AuditAway."""
        caller.require(Right.ANNOTATE)
        words = {"text": _checked(text), "place": _checked(place, least=0, most=80), "author": caller.session.name}
        made = uuid7()
        async with self._database.transaction() as conn:
            await self._recorder.refuse_when_behind(conn)
            if await records.find_version(conn, document, number) is None:
                raise NotFound("There is no such version.")
            row = {
                "id": made,
                "document": document,
                "version": number,
                "author": caller.session.sub,
                "sealed": self._columns.seal(words, "annotations", str(made), str(document)),
                "at": datetime.now(UTC),
            }
            await workflow.keep_annotation(conn, row)
            changes = (
                Change(path="/id", new=str(made)),
                Change(path="/annotation", new=words["text"]),
                *((Change(path="/place", new=words["place"]),) if words["place"] else ()),
            )
            await self._recorder.with_change(conn, _entry(Action.ANNOTATION_CREATED, caller, document, number, changes))
        return made

    async def resolve(self, caller: Caller, document: UUID, annotation: UUID) -> None:
        """Settle an open remark. Raises Forbidden, NotFound, AuditAway."""
        caller.require(Right.ANNOTATE)
        async with self._database.transaction() as conn:
            await self._recorder.refuse_when_behind(conn)
            row = await workflow.resolve_annotation(conn, document, annotation, caller.session.sub, datetime.now(UTC))
            if row is None:
                raise NotFound("There is no such open remark.")
            words = self._columns.open(row["sealed"], "annotations", str(annotation), str(document))
            changes = (
                Change(path="/id", old=str(annotation), new=str(annotation)),
                Change(path="/annotation", old=words["text"], new=words["text"]),
                Change(path="/resolved", old=False, new=True),
            )
            entry = _entry(Action.ANNOTATION_RESOLVED, caller, document, row["version"], changes)
            await self._recorder.with_change(conn, entry)


def _entry(action: Action, caller: Caller, document: UUID, number: int, changes: tuple[Change, ...]) -> Entry:
    ref = ObjectRef(type="Document", id=str(document), version=str(number))
    return Entry(action=action, actor=caller.actor, object=ref, changes=changes, request=caller.request)


def _checked(text: str, *, least: int = 1, most: int = MAX_TEXT) -> str:
    clean = unicodedata.normalize("NFC", text.replace("\r\n", "\n")).strip()
    if any(unicodedata.category(char) in {"Cc", "Cf", "Cs", "Co"} and char != "\n" for char in clean):
        raise InvalidInput("The remark holds characters that cannot be shown.", field="text")
    if not least <= len(clean) <= most:
        raise InvalidInput(f"A remark has {least} to {most} characters.", field="text")
    return clean
