"""A log's copy as it is read: what it is, the checkpoint it reaches, and its entries block by block."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

from audit_contract.checkpoint import Checkpoint, open_checkpoint
from audit_contract.keys import KeyVerifier
from audit_contract.note import NoteError, SignatureError, UnsignedError
from audit_contract.report import Exit
from audit_contract.tiles import WIDTH, Tile, TileError, split_entries
from audit_service.store.records import Generation, LogRecord, Signed, Value
from audit_service.worm import layout
from audit_service.worm.source import Source


class BadCopyError(Exception):
    """The copy cannot be restored: `code` says in which way, `index` names the first bad entry where one is known."""

    def __init__(self, code: Exit, index: int | None, text: str) -> None:
        super().__init__(text if index is None else f"entry {index}: {text}")
        self.code, self.index, self.text = code, index, text


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive entries with the values beside them; `hashes` is the bundle's own tile, None for a tail."""

    begin: int
    entries: Sequence[bytes]
    values: Sequence[Value]
    hashes: bytes | None


@dataclass
class Copy:
    """One log's copy. Methods raise BadCopyError and CopyStoreError."""

    source: Source
    log: LogRecord
    verifiers: Sequence[KeyVerifier]
    objects: Mapping[str, str] = field(repr=False)
    """Names within the log's prefix, with their first versions."""

    @property
    def sizes(self) -> list[int]:
        """Return the sizes that the copy has checkpoints of, in order; whether they are signed is seen when read."""
        return sorted(size for name in self.objects if (size := layout.checkpoint_size(name)) is not None)

    async def read(self, name: str) -> bytes:
        """Return an object's content."""
        version = self.objects.get(name)
        if version is None:
            raise BadCopyError(Exit.INCOMPLETE, None, f"{self.log.name}/{name} is missing in {self.source.where}")
        return await self.source.read(f"{self.log.name}/{name}", version)

    async def checkpoint(self, size: int) -> Signed | None:
        """Return the checkpoint of this size when this log's keys signed it; None when they did not."""
        note = await self.read(layout.checkpoint_name(size))
        try:
            said: Checkpoint = open_checkpoint(note, self.log.origin, self.verifiers).checkpoint
        except (NoteError, SignatureError, UnsignedError):
            return None
        return Signed(said.size, said.root, note) if said.size == size else None

    async def generations(self) -> list[Generation]:
        """Return the generations of keys that the copy knows of, in order."""
        found = []
        for name in sorted(name for name in self.objects if name.startswith(layout.KEYS)):
            try:
                found.append(layout.decode_generation(await self.read(name)))
            except layout.LayoutError as error:
                raise BadCopyError(Exit.TAMPERED, None, f"{self.log.name}/{name}: {error}") from error
        return found

    async def last(self) -> tuple[Signed, list[int]]:
        """Return the largest signed checkpoint, and the sizes of larger ones that are not signed by this log's keys."""
        ignored: list[int] = []
        for size in reversed(self.sizes):
            signed = await self.checkpoint(size)
            if signed is not None:
                return signed, ignored
            ignored.append(size)
        said = f"{self.log.name} has no checkpoint signed by {', '.join(key.vkey[:60] for key in self.verifiers)}"
        raise BadCopyError(Exit.POLICY if ignored else Exit.INCOMPLETE, None, said)

    async def blocks(self, size: int) -> AsyncIterator[Block]:
        """Yield the first `size` entries in order."""
        full = size // WIDTH
        for bundle in range(full):
            begin = bundle * WIDTH
            hashes = await self.read(Tile(0, bundle, WIDTH).path)
            entries = self._split(begin, WIDTH, await self.read(layout.entries_name(bundle)))
            yield Block(begin, entries, await self._values(begin, layout.values_name(bundle)), hashes)
        found = (layout.read_tail(name) for name in self.objects if name.startswith(layout.TAILS))
        tails = layout.chain([tail for tail in found if tail is not None], full * WIDTH, size)
        if tails is None:
            said = f"the entries from {full * WIDTH} to {size - 1} are not all in the copy"
            raise BadCopyError(Exit.INCOMPLETE, None, f"{self.log.name}: {said}")
        for tail in tails:
            entries = self._split(tail.begin, tail.end - tail.begin, await self.read(tail.name))
            yield Block(tail.begin, entries, await self._values(tail.begin, layout.values_beside(tail)), None)

    def _split(self, begin: int, count: int, data: bytes) -> list[bytes]:
        try:
            entries = split_entries(data)
        except TileError as error:
            raise BadCopyError(Exit.TAMPERED, begin, f"{self.log.name}: {error}") from error
        if len(entries) != count:
            said = f"{self.log.name}: {count} entries from {begin} on are expected and {len(entries)} are there"
            raise BadCopyError(Exit.TAMPERED, begin + min(count, len(entries)), said)
        return entries

    async def _values(self, begin: int, name: str) -> list[Value]:
        try:
            return layout.decode_values(await self.read(name))
        except layout.LayoutError as error:
            raise BadCopyError(Exit.TAMPERED, begin, f"{self.log.name}/{name}: {error}") from error


async def open_copy(source: Source, log: str, origin: str, verifiers: Sequence[KeyVerifier]) -> Copy:
    """Find a log's copy. Raises BadCopyError when there is none, or one of another log."""
    prefix = f"{log}/"
    objects = {name.removeprefix(prefix): version for name, version in (await source.listed(prefix)).items()}
    identities = sorted(name for name in objects if name.startswith(layout.IDENTITIES))
    if not identities:
        raise BadCopyError(Exit.INCOMPLETE, None, f"{source.where} holds no copy of {log}")
    data = await source.read(prefix + identities[-1], objects[identities[-1]])
    try:
        found = layout.decode_identity(data)
    except layout.LayoutError as error:
        raise BadCopyError(Exit.TAMPERED, None, f"{prefix}{identities[-1]}: {error}") from error
    if (found.name, found.origin) != (log, origin):
        said = f"the copy is of {found.origin}, not of {origin}; is `install` in the settings another?"
        raise BadCopyError(Exit.POLICY, None, said)
    return Copy(source, found, verifiers, objects)


async def logs_in(source: Source) -> list[str]:
    """Return the names of the logs that have a copy."""
    return sorted({name.partition("/")[0] for name in await source.listed("") if "/" in name})
