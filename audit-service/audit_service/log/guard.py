"""The fork guard: what was signed is also remembered outside the database, and a database set back is never signed again.

A restored database that goes on signing would show two trees under one name, and every proof given before would be worth
nothing. So the last checkpoint of each log is kept in a folder on another volume, and the service does not become the writer
while the database is behind it or leads to another root.
"""

import asyncio
import logging
from pathlib import Path

from audit_contract.checkpoint import Checkpoint, from_text
from audit_contract.merkle import leaf_hash
from audit_contract.note import NoteError, parse
from audit_contract.tiles import TileError
from audit_service.log.tree import GrowingTree, edge
from audit_service.slots import SlotError, TwoSlots, newest
from audit_service.store.errors import DamagedError
from audit_service.store.reading import ReadingStore
from audit_service.store.records import LogRecord, Signed

_log = logging.getLogger(__name__)


class ForkError(Exception):
    """The database is not one that continues what was signed."""


class Guard:
    """The folder of remembered checkpoints, one file a log; without a folder nothing is remembered."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._kept: dict[str, int] = {}
        self._files: dict[str, TwoSlots] = {}
        self.refusal = ""

    async def keep(self, log: str, signed: Signed) -> None:
        """Remember a checkpoint before anyone is shown it.

        Raises OSError when it cannot be written, SlotError when the file was damaged since it was read: neither place can
        be given up then.
        """
        if self._folder is not None and signed.size > self._kept.get(log, -1):
            file = self._files.setdefault(log, TwoSlots(self._folder / f"{log}.checkpoint"))
            await asyncio.to_thread(file.write, signed.note)
            self._kept[log] = signed.size

    async def check(self, reading: ReadingStore) -> None:
        """Compare what is remembered with the database. Raises ForkError saying what is wrong and how to go on."""
        try:
            remembered = await asyncio.to_thread(_read, self._folder) if self._folder is not None else {}
            logs = {log.name: log for log in await reading.logs()}
            for name, point in remembered.items():
                await compare(reading, logs.get(name), name, point)
        except ForkError as error:
            self.refusal = str(error)
            raise
        self.refusal = ""
        self._kept = {name: point.size for name, point in remembered.items()}
        self._files = {}


async def compare(reading: ReadingStore, log: LogRecord | None, name: str, point: Checkpoint) -> None:
    """Compare a log with a checkpoint that was signed of it. Raises ForkError unless the log continues that tree."""
    size = await reading.size(log.number) if log is not None else 0
    if log is None or size < point.size:
        raise ForkError(
            f"{name}: {point.size} entries were signed and the database has {size}: it was set back. Restore a state that has "
            f"them all, from a backup or the WORM copy. If there is none, the log has ended: keep it to read, and onboard under "
            f"a new log name"
        )
    if await _root_at(reading, log.number, point.size) != point.root:
        raise ForkError(
            f"{name}: the database has other entries than the {point.size} that were signed: it is not this log's"
        )


async def _root_at(reading: ReadingStore, log: int, size: int) -> bytes:
    """Return the root of the log's first `size` entries. Raises ForkError when the store cannot show it.

    The remembered checkpoint may be ahead of the stored one: a process can end between remembering and storing it.
    """
    start = min(size, (await reading.checkpoint(log)).size)
    try:
        tree = GrowingTree(start, await reading.tiles(log, edge(start)))
        for leaf in await reading.leaves(log, start, size):
            tree.append(leaf_hash(leaf.data))
    except (TileError, DamagedError, KeyError) as error:
        raise ForkError(f"the stored tree is not whole: {error}") from error
    return tree.root()


def _read(folder: Path) -> dict[str, Checkpoint]:
    found = {}
    for file in sorted(folder.glob("*.checkpoint")):
        try:
            found[file.stem] = from_text(parse(newest(file.read_bytes()).data).text)
        except (NoteError, SlotError) as error:
            raise ForkError(f"{file}: {error}. It was written by something else, or its disk is failing") from error
    return found
