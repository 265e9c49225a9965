"""What a witness answers, call by call. No HTTP here; a call may come from any thread.

Source: c2sp.org/tlog-witness. What is stored is read, compared, replaced and made durable under one lock a log, so of two
submissions that continue the same tree one wins and the other is told the new size.
"""

import binascii
import logging
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from audit_contract.checkpoint import Checkpoint, from_text
from audit_contract.keys import KeySigner
from audit_contract.merkle import EMPTY_ROOT, MAX_PROOF, ProofError, verify_consistency
from audit_contract.note import Note, NoteError, SignatureError, UnsignedError, decode_base64, open_note, parse
from audit_service.witness.config import WitnessConfig
from audit_service.witness.storage import Storage

MAX_BODY: Final = 1 << 18
"""Bytes. 63 proof lines and a note of 16 post-quantum signatures take 90 kB."""
SIZE_TYPE: Final = "text/x.tlog.size"
TEXT_TYPE: Final = "text/plain; charset=utf-8"
_OLD: Final = re.compile(r"old (0|[1-9][0-9]{0,18})")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """A status of HTTP, a body and its type."""

    status: int
    body: bytes
    kind: str = TEXT_TYPE


@dataclass(frozen=True, slots=True)
class Submission:
    """A body of `add-checkpoint` that was read."""

    old_size: int
    proof: tuple[bytes, ...]
    note: bytes


def read_submission(body: bytes) -> Submission:
    """Read the body. Raises NoteError for anything that is not exactly one."""
    head, empty, note = body.partition(b"\n\n")
    try:
        first, *rest = head.decode("ascii").split("\n")
        found = _OLD.fullmatch(first)
        if not empty or found is None or len(rest) > MAX_PROOF:
            raise NoteError("a body is `old <size>`, at most 63 hashes, an empty line and a checkpoint")
        return Submission(int(found[1]), tuple(decode_base64(line) for line in rest), note)
    except (UnicodeDecodeError, binascii.Error) as error:
        raise NoteError("the lines before the checkpoint are ASCII") from error


class Witness:
    """Signs what continues. `clock` gives seconds since the epoch."""

    def __init__(
        self, config: WitnessConfig, storage: Storage, signers: Sequence[KeySigner], clock: Callable[[], float]
    ) -> None:
        self._config, self._storage, self._signers, self._clock = config, storage, signers, clock
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    @property
    def vkeys(self) -> list[str]:
        """Return the witness's own verifier keys."""
        return [signer.verifier.vkey for signer in self._signers]

    def add_checkpoint(self, body: bytes) -> Answer:
        """Answer one submission. Raises OSError when what must be durable cannot be written: nothing was signed then."""
        try:
            sent = read_submission(body)
            point = from_text(parse(sent.note).text)
        except NoteError as error:
            return _refusal(400, error)
        rule = self._config.rule(point.origin)
        if rule is None:
            return _refusal(404, f"{point.origin} is not a log this witness knows")
        try:
            verifiers = rule.verifiers(point.origin)
            note, signed = open_note(sent.note, verifiers)
        except (UnsignedError, SignatureError) as error:
            return _refusal(403, error)
        if sent.old_size > point.size:
            return _refusal(400, f"the old size {sent.old_size} is larger than the checkpoint's {point.size}")
        known = {(each.name, each.key_id) for each in signed}
        kept = Note(note.text, tuple(each for each in note.signatures if (each.name, each.key_id) in known))
        with self._locks[point.origin]:  # only origins that a trusted key signed come here, so the map stays small
            return self._compare_and_sign(sent, point, kept)

    def _compare_and_sign(self, sent: Submission, point: Checkpoint, note: Note) -> Answer:
        stored = self._storage.read(point.origin)
        last = from_text(parse(stored).text) if stored is not None else Checkpoint(point.origin, 0, EMPTY_ROOT)
        if sent.old_size != last.size:
            return Answer(409, f"{last.size}\n".encode(), SIZE_TYPE)
        try:
            _check_growth(last, point, sent.proof)
        except ProofError as error:
            _log.critical("a tree that does not continue the signed one was refused: %s: %s", point.origin, error)
            return _refusal(422, error)
        seconds = max(1, int(self._clock()))
        mine = tuple(signer.sign(note.text, seconds) for signer in self._signers)
        self._storage.write(point.origin, Note(note.text, (*note.signatures, *mine)).encode())
        return Answer(200, "".join(each.line() for each in mine).encode())

    def checkpoint(self, hashed: str) -> Answer:
        """Return the last note signed for the log whose origin has this hex SHA-256."""
        stored = self._storage.read_hashed(hashed)
        return _refusal(404, "nothing was signed for such a log") if stored is None else Answer(200, stored)


def _check_growth(last: Checkpoint, new: Checkpoint, proof: Sequence[bytes]) -> None:
    """Check that the new tree begins with the last one. Raises ProofError."""
    if new.size == 0 and new.root != EMPTY_ROOT:
        raise ProofError("the empty tree has another root")
    if last.size == 0:  # the library proves nothing from the empty tree; the protocol accepts it, without a proof
        if proof:
            raise ProofError("from the empty tree no proof is needed, and none is taken")
        return
    verify_consistency(last.size, new.size, proof, last.root, new.root)


def _refusal(status: int, said: object) -> Answer:
    return Answer(status, f"{said}\n".encode())
