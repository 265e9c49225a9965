"""Signing a log's checkpoints. Pure but for the keys."""

from collections.abc import Sequence

from audit_contract.checkpoint import Checkpoint
from audit_contract.keys import KeySigner
from audit_contract.merkle import EMPTY_ROOT
from audit_contract.note import Note
from audit_service.store.records import Signed


def sign_checkpoint(origin: str, size: int, root: bytes, signers: Sequence[KeySigner], seconds: int) -> Signed:
    """Return the signed checkpoint of a tree; `seconds` since the epoch enters the time-stamped signatures."""
    text = Checkpoint(origin, size, root).text()
    return Signed(size, root, Note(text, tuple(signer.sign(text, seconds) for signer in signers)).encode())


def first_checkpoint(origin: str, signers: Sequence[KeySigner], seconds: int) -> Signed:
    """Return the signed checkpoint of the empty log."""
    return sign_checkpoint(origin, 0, EMPTY_ROOT, signers, seconds)
