"""Signing a log's checkpoints, and knowing by which keys: those in force in that log, whatever the files now hold."""

from collections.abc import Sequence

from audit_contract.checkpoint import Checkpoint
from audit_contract.merkle import EMPTY_ROOT
from audit_contract.note import Note
from audit_service.keyring import Signer
from audit_service.store.errors import StoreError
from audit_service.store.records import Signed
from audit_service.transit import TransitError


class SignerAwayError(StoreError):
    """A key cannot be reached now. What was acknowledged stays durable; its checkpoint is signed later."""


class OtherKeysError(StoreError):
    """The keys at hand are not those that sign this log, and nobody announced them."""


async def sign_checkpoint(origin: str, size: int, root: bytes, signers: Sequence[Signer], seconds: int) -> Signed:
    """Return the signed checkpoint of a tree; `seconds` since the epoch enters the time-stamped signatures.

    Raises SignerAwayError.
    """
    text = Checkpoint(origin, size, root).text()
    try:
        signatures = [await signer.sign(text, seconds) for signer in signers]
    except TransitError as error:
        raise SignerAwayError(str(error)) from error
    return Signed(size, root, Note(text, tuple(signatures)).encode())


async def first_checkpoint(origin: str, signers: Sequence[Signer], seconds: int) -> Signed:
    """Return the signed checkpoint of the empty log. Raises SignerAwayError."""
    return await sign_checkpoint(origin, 0, EMPTY_ROOT, signers, seconds)
