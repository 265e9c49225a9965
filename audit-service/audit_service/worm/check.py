"""A copy is believed in nothing: every entry is hashed into a tree of our own, and that must be the tree that was signed.

Values must open with the log's key and fit their commitments; one that is gone must be gone by a recorded act.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from audit_contract.actions import SERVICE_SOURCE, Action
from audit_contract.commitment import holds
from audit_contract.leaf import Leaf, LeafError, field_number, read_leaf
from audit_contract.merkle import HASH_SIZE, Frontier, leaf_hash
from audit_contract.report import Exit
from audit_service.log.sealing import UnsealError, ValueSealer
from audit_service.store.records import LogRecord, NewLeaf, Signed, SourceHead, Value
from audit_service.worm.reading import BadCopyError, Block, Copy


@dataclass(frozen=True, slots=True)
class Checked:
    """Entries of one block as they may be stored, and values beside them that were erased before they were copied."""

    leaves: list[NewLeaf]
    erased: list[Value]


@dataclass
class Walk:
    """Walks a copy once, from entry 0 to its signed checkpoint, and knows at the end what the log's books say."""

    copy: Copy
    signed: Signed
    sealer: ValueSealer
    sources: dict[tuple[str, str], SourceHead] = field(default_factory=dict)
    erasures: dict[tuple[str, str], int] = field(default_factory=dict)
    """(entry id, field) → the entry that says it was erased."""

    def __post_init__(self) -> None:
        self._tree = Frontier()
        self._sizes = {size for size in self.copy.sizes if size <= self.signed.size}
        self._roots: dict[int, bytes] = {}
        self._suspect: int | None = None
        self._gone: list[tuple[int, str, str]] = []

    async def blocks(self) -> AsyncIterator[Checked]:
        """Yield what was read. Nothing of it may be relied on until this ends without BadCopyError."""
        async for block in self.copy.blocks(self.signed.size):
            try:
                checked = self._block(block)
            except BadCopyError as error:
                raise await self._first_bad(error) from error
            yield checked
        if self._tree.root() != self.signed.root:
            said = "the entries do not lead to the root that was signed"
            raise await self._first_bad(BadCopyError(Exit.TAMPERED, None, said))
        if self._suspect is not None:
            said = "the tile of hashes does not fit the entry, and the entry is the one that was signed"
            raise BadCopyError(Exit.TAMPERED, self._suspect, said)
        for index, entry, name in self._gone:
            if self.erasures.get((entry, name), -1) <= index:
                raise BadCopyError(Exit.INCOMPLETE, index, f"the value of {name} is missing and no entry says so")

    def _block(self, block: Block) -> Checked:
        beside: dict[int, dict[int, Value]] = {}
        for value in block.values:
            beside.setdefault(value.index, {})[value.field] = value
        checked = Checked([], [])
        for at, data in enumerate(block.entries):
            index, hashed = block.begin + at, leaf_hash(data)
            if block.hashes is not None and hashed != block.hashes[at * HASH_SIZE : (at + 1) * HASH_SIZE]:
                self._suspect = index if self._suspect is None else self._suspect
            self._tree.append(hashed)
            if self._tree.size in self._sizes:
                self._roots[self._tree.size] = self._tree.root()
            leaf = self._leaf(index, data, hashed)
            sealed = self._values(index, leaf, beside.pop(index, {}), checked.erased)
            checked.leaves.append(NewLeaf(0, index, leaf.id, hashed, data, sealed))
        if beside:
            index = min(beside)
            raise BadCopyError(Exit.TAMPERED, index, "a value lies beside it that belongs to no entry of its block")
        return checked

    def _leaf(self, index: int, data: bytes, hashed: bytes) -> Leaf:
        try:
            leaf = read_leaf(data)
        except LeafError as error:
            raise BadCopyError(Exit.TAMPERED, index, str(error)) from error
        if leaf.log != self.copy.log.origin:
            raise BadCopyError(Exit.TAMPERED, index, f"it is an entry of {leaf.log}")
        if index == 0:
            _check_identity(leaf, self.copy.log)
        self.sources[leaf.source] = SourceHead(leaf.seq + 1, hashed)
        if leaf.action == Action.VALUE_ERASE and leaf.source[0] == SERVICE_SOURCE:
            target = leaf.data["object"]
            self.erasures.setdefault((target["id"], str(target.get("version"))), index)
        return leaf

    def _values(
        self, index: int, leaf: Leaf, found: dict[int, Value], erased: list[Value]
    ) -> tuple[tuple[int, bytes], ...]:
        """Return the sealed values of an entry, each opened and compared with what the entry commits to."""
        sealed = []
        for name, commitment in leaf.commitments():
            number = field_number(name)
            value = found.pop(number, None)
            if value is None or value.sealed is None:
                self._gone.append((index, leaf.id, name))
                if value is not None:
                    erased.append(value)
                continue
            try:
                salt, plain = self.sealer.open(leaf.id, number, value.sealed)
            except UnsealError as error:
                raise BadCopyError(Exit.TAMPERED, index, str(error)) from error
            if not holds(commitment, salt, plain):
                raise BadCopyError(Exit.TAMPERED, index, f"the value of {name} is not the one committed to")
            sealed.append((number, value.sealed))
        if found:
            raise BadCopyError(Exit.TAMPERED, index, f"a value lies beside it that it does not commit to: {min(found)}")
        return tuple(sealed)

    async def _first_bad(self, error: BadCopyError) -> BadCopyError:
        """Return the error with the first bad index as well as it can be known.

        Every signed checkpoint that still fits proves all before it; the first that does not fit bounds the damage. Where an
        entry differs from the tile that was copied with it, that is the one.
        """
        good, bad = await self._bounds()
        if error.index is not None and error.index < good:
            return error  # the entry is as it was signed; it is a value of it that is not
        suspects = [index for index in (self._suspect, error.index) if index is not None and good <= index]
        if suspects and (bad is None or min(suspects) < bad):
            return BadCopyError(error.code, min(suspects), error.text)
        if bad is None:
            return error
        said = f"the first entry that was altered lies between {good} and {bad - 1}: the tree of {good} entries is as signed"
        return BadCopyError(Exit.TAMPERED, good, said)

    async def _bounds(self) -> tuple[int, int | None]:
        """Return the largest size whose signed root fits what was read, and the smallest one whose root does not."""
        sizes = sorted(self._roots)
        good, bad = 0, None
        low, high = 0, len(sizes)
        while low < high:
            middle = (low + high) // 2
            signed = await self.copy.checkpoint(sizes[middle])
            if signed is not None and signed.root != self._roots[sizes[middle]]:
                high, bad = middle, sizes[middle]
            else:  # one that is not signed says nothing, and is passed over
                low, good = middle + 1, sizes[middle] if signed is not None else good
        return good, bad


def _check_identity(first: Leaf, log: LogRecord) -> None:
    """Compare the copy's identity, which nobody signed, with the log's first entry, which is in the signed tree."""
    said = first.data.get("system", {})
    facts = {
        "kind": log.kind,
        "tenant": log.tenant,
        "namespace": log.namespace,
        "region": log.region,
        "retentionDays": str(log.retention_days),
    }
    for name, value in facts.items():
        if said.get(name, "") != value:
            raise BadCopyError(Exit.TAMPERED, 0, f"the log is of {name} {said.get(name)!r}, the copy says {value!r}")
