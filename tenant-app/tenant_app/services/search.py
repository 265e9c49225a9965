"""Search: an index in memory, built from sealed columns, never on a disk.

It covers numbers, titles, kinds, projects, references, file names, reasons and remarks. It is brought up to date from
the database before each search, so that several replicas find the same.
"""

import asyncio
import logging
import re
import unicodedata
from bisect import bisect_left
from collections import defaultdict
from datetime import UTC, datetime, timedelta
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
from tenant_app.storage import records
from tenant_app.storage.database import Database, Row

log = logging.getLogger(__name__)
LIMIT = 50
# Up to this many words of one prefix are asked one by one.
_FEW = 16
# A row's time is set before its commit: a look this far back finds those that were on their way at the last look.
OVERLAP = timedelta(seconds=30)
_WORD = re.compile(r"\w+")


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
        found = self._index.find(query, LIMIT)
        async with self._database.transaction() as conn:
            return [self._rows.document(row) for row in await records.find_many(conn, found)]

    async def warm(self) -> None:
        """Build the index at start, so that the first search need not; a part that is away is left to that search."""
        try:
            await self.refresh()
        except AppError as error:
            log.info("the search index is built later: %s", error.code)

    async def refresh(self) -> None:
        """Take up what was added since the last look."""
        await self._columns.ready()
        async with self._lock:
            since, now = self._seen - OVERLAP, datetime.now(UTC)
            async with self._database.transaction() as conn:
                async for rows in records.words_since(conn, since):
                    for row in rows:
                        self._index.add(row["number"], self._text(row))
                    await asyncio.sleep(0)
            self._seen = now

    def _text(self, row: Row) -> str:
        document = str(row["document"])
        match row["what"]:
            case "document":
                words = self._columns.open(row["sealed"], "documents", document)
                return f"DOC-{row['number']:06d} {row['number']} {' '.join(str(value) for value in words.values())}"
            case "version":
                words = self._columns.open(row["sealed"], "versions", document, row["key"])
                return f"{words['file_name']} {words['reason']}"
            case _:
                return str(self._columns.open(row["sealed"], "annotations", row["key"], document)["text"])
