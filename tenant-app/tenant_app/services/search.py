"""Search and folders: an index in memory, built from sealed columns, never on a disk.

It covers numbers, titles, kinds, projects, references, fields, folders, file names, reasons, remarks, and the words of PDFs and
texts. Before each search it takes up what changed since the last one, as the trail tells it: every change has its entry there,
whichever replica made it.
"""

import asyncio
import logging
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from heapq import nlargest
from itertools import islice, takewhile

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
from tenant_app.storage import outbox, records
from tenant_app.storage.database import Database, Row

log = logging.getLogger(__name__)
LIMIT = 50
# Up to this many words of one prefix are asked one by one.
_FEW = 16
# What is done with documents most and changes no word of them.
_NO_WORDS = (
    Action.DOCUMENT_READ, Action.DOCUMENT_PRINTED, Action.DOCUMENT_EXPORTED, Action.TRAIL_VIEWED, Action.WORKFLOW_MOVED,
    Action.WORKFLOW_REFUSED, Action.REVIEWER_ASSIGNED, Action.SIGNED, Action.SIGNING_FAILED, Action.SIGNATURE_REVOKED,
)  # fmt: skip
# Documents that are read again before other requests get their turn.
_BATCH = 200


class Index:
    """Words to documents' numbers. A query's words are prefixes, and all of them must be found."""

    def __init__(self) -> None:
        self._postings: defaultdict[str, set[int]] = defaultdict(set)
        self._sorted: list[str] = []
        self._fresh: list[str] = []

    def add(self, number: int, text: str) -> None:
        """Add a document's words; adding the same again changes nothing."""
        for word in words_of(text):
            if word not in self._postings:
                self._fresh.append(word)
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
        if self._fresh:
            # Every new document brings a new number: two sorted runs are merged, where all the words would be sorted anew.
            self._sorted += sorted(self._fresh)
            self._sorted.sort()
            self._fresh = []
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
        # How much of the trail the index knows; None before it was built.
        self._seen: int | None = None
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
        """Take up what was added or changed since the last look; everything at the first."""
        await self._columns.ready()
        async with self._lock, self._database.transaction() as conn:
            if self._seen is None:
                # The chain's length first: what is written while the rest is read is read again at the next look.
                _, head, _ = await outbox.head(conn)
                async for rows in records.all_words(conn):
                    self._take(rows)
                    await asyncio.sleep(0)
            else:
                head, documents = await outbox.touched(conn, self._seen, _NO_WORDS)
                for start in range(0, len(documents), _BATCH):
                    self._take_again(await records.words_of(conn, documents[start : start + _BATCH]))
                    await asyncio.sleep(0)
            self._seen = head

    def _take_again(self, rows: Sequence[Row]) -> None:
        """Take up all the words of some documents; where a description is another now, none of the old words stay."""
        described = {row["number"]: row["changed_at"] for row in rows if row["what"] == "document"}
        edited = {number for number, at in described.items() if self._changed.get(number, at) != at}
        if edited:
            self._index.forget(edited)
        self._take(rows)

    def _take(self, rows: Iterable[Row]) -> None:
        for row in rows:
            number = row["number"]
            if row["what"] == "document":
                self._changed[number] = row["changed_at"]
                self.tree.put(number, self._rows.folder(row))
            self._index.add(number, self._text(row))

    async def _documents(self, numbers: list[int]) -> list[Document]:
        async with self._database.transaction() as conn:
            return self._rows.documents(await records.find_many(conn, numbers))

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
