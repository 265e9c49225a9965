"""The proof of one entry, step by step, computed here in front of the reader and never taken for granted."""

from dataclasses import dataclass

from audit_contract.checkpoint import OpenCheckpoint, open_checkpoint
from audit_contract.keys import KeyVerifier
from audit_contract.merkle import ProofError, inclusion_ranges, leaf_hash, node_hash, verify_inclusion
from audit_contract.note import NoteError, SignatureError, UnsignedError
from audit_contract.proof import parse
from audit_service.http.state import State
from audit_service.log.proving import proofs_of
from audit_service.store.records import LogRecord, Signed, Stored


@dataclass(frozen=True, slots=True)
class Step:
    """One step up the tree: the other hash, over which entries, on which side it goes, and what comes out. Hashes in hex."""

    other: str
    first: int
    last: int
    on_left: bool
    result: str


@dataclass(frozen=True, slots=True)
class Signer:
    """A signature of the checkpoint: by whom, of which kind; whether the key is this log's, known here, and it verified."""

    name: str
    key_id: str
    kind: str
    known: bool


@dataclass(frozen=True, slots=True)
class ProofView:
    """Everything between an entry and the signatures over its log. `problem` is empty when every step holds."""

    index: int
    leaf_hash: str
    steps: tuple[Step, ...]
    root: str
    size: int
    checkpoint: str
    signers: tuple[Signer, ...]
    problem: str
    text: bytes


async def explain(state: State, log: LogRecord, stored: Stored, signed: Signed) -> ProofView:
    """Return the proof of this entry under the checkpoint."""
    text = (await proofs_of(state.reading, log.number, signed, [stored.index]))[0]
    path = parse(text).path
    hashed = leaf_hash(stored.data)
    node, steps = hashed, []
    for (begin, end), other in zip(inclusion_ranges(stored.index, signed.size), path, strict=True):
        on_left = begin < stored.index
        node = node_hash(other, node) if on_left else node_hash(node, other)
        steps.append(Step(other.hex(), begin, end - 1, on_left, node.hex()))
    keys = await state.books.verifiers(log.origin, log)
    problem = ""
    signers: tuple[Signer, ...] = ()
    try:
        opened = open_checkpoint(signed.note, log.origin, keys)
        signers = _signers(opened)
        verify_inclusion(hashed, stored.index, opened.checkpoint.size, path, opened.checkpoint.root)
    except (NoteError, SignatureError, UnsignedError, ProofError) as error:
        problem = str(error)
    return ProofView(
        stored.index,
        hashed.hex(),
        tuple(steps),
        node.hex(),
        signed.size,
        signed.note.decode().partition("\n\n")[0],
        signers,
        problem,
        text,
    )


def _signers(opened: OpenCheckpoint) -> tuple[Signer, ...]:
    known = {(each.name, each.key_id): each for each in opened.signed_by if isinstance(each, KeyVerifier)}
    found = []
    for signature in opened.note.signatures:
        key = known.get((signature.name, signature.key_id))
        found.append(Signer(signature.name, signature.key_id.hex(), key.kind.name if key else "", key is not None))
    return tuple(found)
