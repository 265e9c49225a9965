"""Search: an index in memory, built from sealed columns, never on a disk.

It covers numbers, titles, kinds, projects, references, file names, reasons and remarks. It is brought up to date from
the database before each search, so that several replicas find the same.
"""

import asyncio
import re
import unicodedata
from bisect import bisect_left
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from tenant_app.domain.access import Right
from tenant_app.domain.actions import Action
from tenant_app.domain.audit import Change, Entry, ObjectRef
from tenant_app.domain.documents import Document
from tenant_app.services.caller import Caller
from tenant_app.services.columns import Columns
from tenant_app.services.recorder import Recorder
from tenant_app.services.rows import Rows
from tenant_app.storage import records
from tenant_app.storage.database import Database

LIMIT = 50
# A row's time is set before its commit: a look this far back finds those that were on their way at the last look.
OVERLAP = timedelta(seconds=30)
_WORD = re.compile(r"\w+")


class Index:
    """Words to documents. A query's words are prefixes, and all of them must be found."""

    def __init__(self) -> None:
        self._postings: defaultdict[str, set[UUID]] = defaultdict(set)
        self._sorted: list[str] = []

    def add(self, document: UUID, text: str) -> None:
        """Add a document's words; adding the same again changes nothing."""
        for word in words_of(text):
            if word not in self._postings:
                self._sorted = []
            self._postings[word].add(document)

    def find(self, query: str) -> set[UUID]:
        """Return the documents that have every word of the query, each as a prefix."""
        if not self._sorted:
            self._sorted = sorted(self._postings)
        found: set[UUID] | None = None
        for prefix in words_of(query):
            matching: set[UUID] = set()
            for at in range(bisect_left(self._sorted, prefix), len(self._sorted)):
                if not self._sorted[at].startswith(prefix):
                    break
                matching |= self._postings[self._sorted[at]]
            found = matching if found is None else found & matching
        return found or set()


def words_of(text: str) -> list[str]:
    """Return the words of a text as they are compared: case-folded, without accents."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return _WORD.findall("".join(char for char in plain if not unicodedata.combining(char)))


class Search:
    """Finds documents that a person may see."""

    def __init__(self, database: Database, columns: Columns, recorder: Recorder, *, tenant: str) -> None:
        self._database = database
        self._columns = columns
        self._recorder = recorder
        self._rows = Rows(columns, tenant)
        self._tenant = tenant
        self._index = Index()
        self._seen = datetime(1970, 1, 1, tzinfo=UTC)
        self._lock = asyncio.Lock()

    async def find(self, caller: Caller, query: str) -> list[Document]:
        """Return at most 50 documents, newest first. The search is recorded before it is answered."""
        caller.require(Right.VIEW)
        entry = Entry(
            action=Action.DOCUMENT_LISTED,
            actor=caller.actor,
            object=ObjectRef(type="Documents", id=self._tenant),
            changes=(Change(path="/search", new=query[:200]),),
            request=caller.request,
        )
        await self._recorder.alone(entry)
        await self.refresh()
        found = list(self._index.find(query))
        async with self._database.transaction() as conn:
            return [self._rows.document(row) for row in (await records.find_many(conn, found[:2000]))[:LIMIT]]

    async def refresh(self) -> None:
        """Take up what was added since the last look."""
        await self._columns.ready()
        async with self._lock:
            since, now = self._seen - OVERLAP, datetime.now(UTC)
            async with self._database.transaction() as conn:
                rows = await records.words_since(conn, since)
                remarks = await records.remarks_since(conn, since)
            for start in range(0, len(rows), 2000):
                for row in rows[start : start + 2000]:
                    self._index.add(row["document"], self._text(row))
                # A first look may open a hundred thousand rows: others get their turn in between.
                await asyncio.sleep(0)
            for row in remarks:
                words = self._columns.open(row["sealed"], "annotations", str(row["id"]), str(row["document"]))
                self._index.add(row["document"], words["text"])
            self._seen = now

    def _text(self, row: dict[str, Any]) -> str:
        if row["what"] == "document":
            words = self._columns.open(row["sealed"], "documents", str(row["document"]))
            return f"DOC-{row['key']:06d} {row['key']} {' '.join(str(value) for value in words.values())}"
        words = self._columns.open(row["sealed"], "versions", str(row["document"]), str(row["key"]))
        return f"{words['file_name']} {words['reason']}"
