"""C2SP tlog-proof: one text that proves, offline, that an entry is in a log. Pure."""

import base64
import re
from dataclasses import dataclass
from typing import Final

from audit_contract.checkpoint import Checkpoint, open_checkpoint
from audit_contract.merkle import HASH_SIZE, MAX_PROOF, leaf_hash, verify_inclusion
from audit_contract.note import NoteError, Verifier, decode_base64

HEADER: Final = "c2sp.org/tlog-proof@v1"
_INDEX: Final = re.compile(r"index (0|[1-9][0-9]{0,18})")


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """An entry's index, its audit path from the leaf to the root, and the signed checkpoint it leads to."""

    index: int
    path: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes = b""

    def encode(self) -> bytes:
        """Return the `.tlog-proof` text."""
        lines = [HEADER]
        if self.extra:
            lines.append(f"extra {base64.b64encode(self.extra).decode()}")
        lines.append(f"index {self.index}")
        lines += [base64.b64encode(each).decode() for each in self.path]
        return "".join(f"{line}\n" for line in lines).encode() + b"\n" + self.checkpoint


def parse(data: bytes) -> InclusionProof:
    """Read a `.tlog-proof`. Raises NoteError for anything else."""
    head, empty, checkpoint = data.partition(b"\n\n")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise NoteError("a tlog-proof's first lines are ASCII") from error
    if not empty or lines.pop(0) != HEADER:
        raise NoteError(f"not a {HEADER}")
    extra = b""
    if lines and lines[0].startswith("extra "):
        extra = decode_base64(lines.pop(0).removeprefix("extra "))
        if not extra:
            raise NoteError("a tlog-proof without extra data has no line for it")
    found = _INDEX.fullmatch(lines.pop(0)) if lines else None
    if found is None or len(lines) > MAX_PROOF:
        raise NoteError("a tlog-proof names one index and at most 63 hashes")
    path = tuple(decode_base64(line) for line in lines)
    if any(len(each) != HASH_SIZE for each in path):
        raise NoteError("a tlog-proof's hashes have 32 bytes")
    return InclusionProof(int(found[1]), path, checkpoint, extra)


def verify_proof(data: bytes, leaf: bytes, origin: str, verifiers: list[Verifier]) -> tuple[int, Checkpoint]:
    """Check that the entry `leaf` is in the log `origin`; return its index and the checkpoint that says so.

    Raises NoteError, SignatureError, UnsignedError (see `open_checkpoint`) or ProofError.
    """
    proof = parse(data)
    point = open_checkpoint(proof.checkpoint, origin, verifiers).checkpoint
    verify_inclusion(leaf_hash(leaf), proof.index, point.size, proof.path, point.root)
    return proof.index, point
