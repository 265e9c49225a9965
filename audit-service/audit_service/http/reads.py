"""Reading is recorded too: an auditor's token leaves one entry in each log it is used to read, and every export leaves one.

One entry a token and log, not one a page: a token lives an hour at most in practice, its id leads to the person who asked for it
(see `Caller`), and a reader's clicks would otherwise drown what they look at. The operator's own look-ups are a program's and
are not recorded; its exports are.
"""

import asyncio
import logging
from typing import Final

from audit_contract.entry import Actor
from audit_service.http.identity import Caller
from audit_service.log.batch import SequenceError
from audit_service.log.own import log_read
from audit_service.log.writer import Writer
from audit_service.store.errors import StoreError
from audit_service.store.records import LogRecord

_log = logging.getLogger(__name__)
_REMEMBERED: Final = 4096
_WAIT_SECONDS: Final = 5.0


class ReadBook:
    """Remembers which readings are recorded. What cannot be recorded now is tried again at the next call."""

    def __init__(self) -> None:
        self._recorded: dict[tuple[str, str, str], float] = {}

    async def first(self, writer: Writer, log: LogRecord, caller: Caller, how: str) -> None:
        """Record that this token reads this log, once."""
        key = (log.name, caller.subject, caller.token or str(caller.expires))
        if key in self._recorded:
            return
        if len(self._recorded) >= _REMEMBERED:
            self._recorded.clear()
        if await self.record(writer, log, caller, how):
            self._recorded[key] = caller.expires

    async def record(self, writer: Writer, log: LogRecord, caller: Caller, how: str) -> bool:
        """Record one reading; tell whether it is.

        A log that cannot be written is still readable: an incident is when people must look. The process's own output then
        says who read.
        """
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                await writer.desk.own.append(log, log_read(log, reader_of(caller), how))
        except (SequenceError, StoreError, TimeoutError) as error:
            _log.warning("%s read %s (%s), which could not be recorded: %s", caller.subject, log.name, how, error)
            return False
        return True


def reader_of(caller: Caller) -> Actor:
    """Return the actor of a reading: the service account, and the id of the token by which a person was let in."""
    auth: dict[str, object] = {"method": "service-account-token"}
    if caller.token:
        auth["token"] = caller.token
    return Actor.model_validate({"type": "service", "sub": caller.subject, "auth": auth})
