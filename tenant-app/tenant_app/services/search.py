"""Search and folders: an index in memory, built from sealed columns, never on a disk.

It covers numbers, titles, kinds, projects, references, fields, folders, file names, reasons, remarks, and the words of PDFs and
texts. It is brought up to date from the database before each search, so that several replicas find the same.
"""

import asyncio
import logging
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from heapq import nlargest
from itertools import islice, takewhile
from uuid import UUID

from tenant_app.domain.access import Right
from tenant_app.domain.actions import Action
from tenant_app.domain.audit import Change, Entry, ObjectRef
from tenant_app.domain.documents import Document
from tenant_app.errors import AppError
from tenant_app.services.caller import Caller
from tenant_app.services.columns import Columns
from tenant_app.services.recorder import Recorder
from tenant_app.services.rows import Rows
from tenant_app.services.tree import Tree
from tenant_app.services.words import words_of
from tenant_app.storage import records
from tenant_app.storage.database import Database, Row

log = logging.getLogger(__name__)
LIMIT = 50
# Up to this many words of one prefix are asked one by one.
_FEW = 16
# A row's time is set before its commit: a look this far back finds those that were on their way at the last look.
OVERLAP = timedelta(seconds=30)


class Index:
    """Words to documents' numbers. A query's words are prefixes, and all of them must be found."""

    def __init__(self) -> None:
        self._postings: defaultdict[str, set[int]] = defaultdict(set)
        self._sorted: list[str] = []

    def add(self, number: int, text: str) -> None:
        """Add a document's words; adding the same again changes nothing."""
        for word in words_of(text):
            if word not in self._postings:
                self._sorted = []
            self._postings[word].add(number)

    def forget(self, numbers: set[int]) -> None:
        """Take documents out, word by word: edits are rare, and an index from documents to words would double the memory."""
        for found in self._postings.values():
            found.difference_update(numbers)

    def find(self, query: str, limit: int) -> list[int]:
        """Return the newest documents that have every word of the query, each as a prefix."""
        groups = sorted((self._matching(prefix) for prefix in words_of(query)), key=lambda group: sum(map(len, group)))
        if not groups or not groups[0]:
            return []
        # From the rarest word on, so that a common one is only asked, never copied.
        found = groups[0][0] if len(groups[0]) == 1 else set[int]().union(*groups[0])
        for group in groups[1:]:
            sets = group if len(group) <= _FEW else [set[int]().union(*group)]
            found = {number for number in found if any(number in each for each in sets)}
        return nlargest(limit, found)

    def _matching(self, prefix: str) -> list[set[int]]:
        if not self._sorted:
            self._sorted = sorted(self._postings)
        start = bisect_left(self._sorted, prefix)
        words = takewhile(lambda word: word.startswith(prefix), islice(self._sorted, start, None))
        return [self._postings[word] for word in words]


class Search:
    """Finds documents that a person may see, and knows in which folder each lies."""

    def __init__(self, database: Database, columns: Columns, recorder: Recorder, *, tenant: str) -> None:
        self._database = database
        self._columns = columns
        self._recorder = recorder
        self._rows = Rows(columns, tenant)
        self._tenant = tenant
        self._index = Index()
        self._changed: dict[int, datetime] = {}
        self._seen = datetime(1970, 1, 1, tzinfo=UTC)
        self._lock = asyncio.Lock()
        self.tree = Tree()

    async def find(self, caller: Caller, query: str) -> list[Document]:
        """Return at most 50 documents, newest first. The search is recorded before it is answered."""
        caller.require(Right.VIEW)
        await self._record(caller, Change(path="/search", new=query[:200]))
        await self.refresh()
        return await self._documents(self._index.find(query, LIMIT))

    async def in_folder(self, caller: Caller, folder: str, *, before: int | None = None) -> list[Document]:
        """Return at most 50 documents that lie in a folder itself, newest first. The look is recorded."""
        caller.require(Right.VIEW)
        await self._record(caller, Change(path="/folder", new=folder))
        await self.refresh()
        return await self._documents(self.tree.newest(folder, LIMIT, before))

    async def warm(self) -> None:
        """Build the index at start, so that the first search need not; a part that is away is left to that search."""
        try:
            await self.refresh()
        except AppError as error:
            log.info("the search index is built later: %s", error.code)

    async def refresh(self) -> None:
        """Take up what was added or changed since the last look."""
        await self._columns.ready()
        async with self._lock:
            since, now = self._seen - OVERLAP, datetime.now(UTC)
            again: dict[UUID, int] = {}
            async with self._database.transaction() as conn:
                async for rows in records.words_since(conn, since):
                    again |= self._take(rows)
                    await asyncio.sleep(0)
                if again:
                    self._index.forget(set(again.values()))
                    self._take(await records.words_of(conn, list(again)))
            self._seen = now

    def _take(self, rows: Iterable[Row]) -> dict[UUID, int]:
        """Add rows to the index; return the documents whose description was known and is another now."""
        again = {}
        for row in rows:
            number = row["number"]
            if row["what"] == "document":
                known = self._changed.get(number)
                if known is not None and known != row["changed_at"]:
                    again[row["document"]] = number
                self._changed[number] = row["changed_at"]
                self.tree.put(number, self._rows.folder(row))
            self._index.add(number, self._text(row))
        return again

    async def _documents(self, numbers: list[int]) -> list[Document]:
        async with self._database.transaction() as conn:
            return [self._rows.document(row) for row in await records.find_many(conn, numbers)]

    async def _record(self, caller: Caller, change: Change) -> None:
        entry = Entry(
            action=Action.DOCUMENT_LISTED,
            actor=caller.actor,
            object=ObjectRef(type="Documents", id=self._tenant),
            changes=(change,),
            request=caller.request,
        )
        await self._recorder.alone(entry)

    def _text(self, row: Row) -> str:
        document = str(row["document"])
        match row["what"]:
            case "document":
                words = self._columns.open(row["sealed"], "documents", document)
                values = [*words.pop("fields", {}).values(), *words.values(), self._rows.folder(row)]
                return f"DOC-{row['number']:06d} {row['number']} {' '.join(str(value) for value in values)}"
            case "version":
                words = self._columns.open(row["sealed"], "versions", document, row["key"])
                return f"{words['file_name']} {words['reason']}"
            case "content":
                return str(self._columns.open(row["sealed"], "version_texts", document, row["key"])["words"])
            case _:
                return str(self._columns.open(row["sealed"], "annotations", row["key"], document)["text"])
