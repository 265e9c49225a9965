"""What the calls work with."""

import asyncio
from dataclasses import dataclass, field

from audit_service.http.errors import ApiError
from audit_service.http.identity import TokenChecker
from audit_service.http.reads import ReadBook
from audit_service.log.batch import Outcome, Request
from audit_service.log.books import Books
from audit_service.log.sealing import ValueSealer
from audit_service.log.writer import Writer
from audit_service.pages.sessions import Sessions
from audit_service.settings import Identity, Settings
from audit_service.store.reading import ReadingStore
from audit_service.store.records import LogRecord


@dataclass(frozen=True, slots=True)
class State:
    """One for the process."""

    settings: Settings
    reading: ReadingStore
    books: Books
    writer: Writer
    tokens: TokenChecker
    reads: ReadBook = field(default_factory=ReadBook)
    large: asyncio.Lock = field(default_factory=asyncio.Lock)
    sessions: Sessions = field(default_factory=Sessions)

    @property
    def identity(self) -> Identity:
        """Return whose tokens are believed, and who is who."""
        return self.settings.identity

    def sealer(self, log: LogRecord) -> ValueSealer:
        """Return what seals the log's values. Raises SignerAwayError, or UnsealError when the sealing key is another."""
        return self.books.sealer(log)

    async def submit(self, request: Request, _body: bytes = b"") -> Outcome:
        """Wait until the request is durable. Raises SequenceError's children or StoreError's."""
        return await self.writer.desk.sequencer.submit(request)

    async def find_log(self, name: str) -> LogRecord:
        """Return the log with this name. Raises ApiError 404."""
        found = await self.books.find(name)
        if found is None:
            raise ApiError(404, f"there is no log {name}")
        return found
