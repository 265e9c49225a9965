"""What a witness keeps: its keys, and of each log the last checkpoint it signed. Files only, written before any reply."""

import fcntl
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from audit_contract.keys import KeySigner, KeyType
from audit_service.durable import sync_folder, write_durably
from audit_service.keyring import BadKeyError, load_ed25519, load_ml_dsa44, pem

_SECRET: Final = 0o600


class InUseError(RuntimeError):
    """Another process is the witness of this folder."""


class Storage:
    """One folder, one process: two witnesses over one folder could sign two trees."""

    def __init__(self, folder: Path) -> None:
        """Take the folder. Raises InUseError, or OSError when it cannot be written."""
        self.folder = folder
        self._logs, self._keys = folder / "logs", folder / "keys"
        for each in (folder, self._logs, self._keys):
            each.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, _SECRET)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            raise InUseError(f"{folder}: another process is this witness; stop it first") from error
        for each in (folder, self._logs, self._keys):
            sync_folder(each)

    def close(self) -> None:
        """Let the folder go."""
        os.close(self._lock)

    def signers(self, name: str) -> list[KeySigner]:
        """Return the witness's signers; its keys are made here at the first start and never leave this folder.

        Raises BadKeyError when a key is missing although this folder has signed before: another key would be another witness.
        """
        files: dict[str, Callable[[], Ed25519PrivateKey | MLDSA44PrivateKey]] = {
            "ed25519.pem": Ed25519PrivateKey.generate,
            "ml-dsa-44.pem": MLDSA44PrivateKey.generate,
        }
        for file, make in files.items():
            if (self._keys / file).exists():
                continue
            if any(self._logs.glob("*.checkpoint")):
                raise BadKeyError(f"{self._keys / file} is missing; this witness has signed with it. Put it back")
            write_durably(self._keys / file, pem(make()), _SECRET)
        return [
            KeySigner(name, KeyType.ED25519_COSIGNATURE, load_ed25519(self._keys / "ed25519.pem")),
            KeySigner(name, KeyType.ML_DSA_44, load_ml_dsa44(self._keys / "ml-dsa-44.pem")),
        ]

    def read(self, origin: str) -> bytes | None:
        """Return the last note that was signed for a log."""
        return self.read_hashed(sha256(origin.encode()).hexdigest())

    def read_hashed(self, hashed: str) -> bytes | None:
        """Return the same by the hex SHA-256 of the origin."""
        try:
            return (self._logs / f"{hashed}.checkpoint").read_bytes()
        except FileNotFoundError:
            return None

    def write(self, origin: str, note: bytes) -> None:
        """Keep a note. It is on the disk when this returns."""
        write_durably(self._logs / f"{sha256(origin.encode()).hexdigest()}.checkpoint", note)

    def count(self) -> int:
        """Return how many logs were signed for."""
        return sum(1 for _ in self._logs.glob("*.checkpoint"))
