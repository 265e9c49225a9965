"""The service's keys: one set signs every log's checkpoints, one key seals the logs' own keys.

From files here; `audit_service.vaulted` has those that are in Vault or sealed by it.
"""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from audit_contract.keys import KeySigner, KeyType, KeyVerifier
from audit_contract.note import Signature
from audit_service.settings import Keys
from audit_service.store.held import HeldKey
from audit_service.transit import TransitKey

_KEY_BITS = 256
_ED25519, _ML_DSA_44 = "ed25519.pem", "ml-dsa-44.pem"


class BadKeyError(ValueError):
    """A key file does not hold the key it is named for."""


class Signer(Protocol):
    """Signs a log's checkpoints with one key. Both calls raise TransitError while a key in Vault cannot be reached."""

    async def verifier(self) -> KeyVerifier:
        """Return the public half."""
        ...

    async def sign(self, text: str, seconds: int) -> Signature:
        """Sign a note text; `seconds` since the epoch enters kinds that carry a time."""
        ...


@dataclass(frozen=True, slots=True)
class FileSigner:
    """Signs with a key of this process."""

    signer: KeySigner

    async def verifier(self) -> KeyVerifier:
        """Return the public half."""
        return self.signer.verifier

    async def sign(self, text: str, seconds: int) -> Signature:
        """Sign a note text."""
        return self.signer.sign(text, seconds)


@dataclass(frozen=True, slots=True)
class TransitSigner:
    """Signs with a key in Vault."""

    origin: str
    key: TransitKey

    async def verifier(self) -> KeyVerifier:
        """Return the public half."""
        return KeyVerifier(self.origin, KeyType.ED25519, await self.key.public())

    async def sign(self, text: str, seconds: int) -> Signature:  # noqa: ARG002  # this kind carries no time
        """Sign a note text."""
        value = await self.key.sign(text.encode())
        return Signature(self.origin, (await self.verifier()).key_id, value)


@dataclass(frozen=True, slots=True)
class KeySet:
    """One generation of signing keys. `ml_dsa44` is None where the installation signs with Ed25519 only."""

    ed25519: Ed25519PrivateKey | TransitKey
    ml_dsa44: MLDSA44PrivateKey | None

    def signers(self, origin: str) -> list[Signer]:
        """Return the signers of a log's checkpoints; a log's key name is its origin (C2SP tlog-checkpoint)."""
        found: list[Signer] = []
        if isinstance(self.ed25519, TransitKey):
            found.append(TransitSigner(origin, self.ed25519))
        else:
            found.append(FileSigner(KeySigner(origin, KeyType.ED25519, self.ed25519)))
        if self.ml_dsa44 is not None:
            found.append(FileSigner(KeySigner(origin, KeyType.ML_DSA_44, self.ml_dsa44)))
        return found

    async def verifiers(self, origin: str) -> list[KeyVerifier]:
        """Return a log's public keys. Raises TransitError."""
        return [await signer.verifier() for signer in self.signers(origin)]


@dataclass(frozen=True, slots=True)
class Keyring:
    """The keys that sign new logs, those that take over (None: nothing is to change), and those that seal logs' own keys.

    `before` are sets that may still be in force in a log but only hand over: files, once the keys are in Vault. Of `sealing`
    the first seals and every one opens. `held` are the keys of this keyring that Vault sealed, as they were stored.
    """

    current: KeySet
    following: KeySet | None
    sealing: tuple[bytes, ...]
    before: tuple[KeySet, ...] = ()
    held: tuple[HeldKey, ...] = ()

    @property
    def sets(self) -> tuple[KeySet, ...]:
        """Return the sets of signing keys in the order in which they take over from each other."""
        return (*self.before, *self.lasting)

    @property
    def lasting(self) -> tuple[KeySet, ...]:
        """Return the sets that do not only hand over."""
        return (self.current,) if self.following is None else (self.current, self.following)


def load(keys: Keys) -> Keyring:
    """Read the keys from their files. Raises OSError or BadKeyError, which name the file."""
    ml_dsa44 = None if keys.ml_dsa44_file is None else load_ml_dsa44(keys.ml_dsa44_file)
    current = KeySet(load_ed25519(keys.ed25519_file), ml_dsa44)
    return Keyring(current, _load_following(keys, current), (load_sealing(keys.sealing_file),))


def _load_following(keys: Keys, current: KeySet) -> KeySet | None:
    """Read the keys that take over; of a kind that is not there the current one stays."""
    ed25519, ml_dsa44 = current.ed25519, current.ml_dsa44
    if keys.next_folder is not None:
        if (keys.next_folder / _ED25519).exists():
            ed25519 = load_ed25519(keys.next_folder / _ED25519)
        if (keys.next_folder / _ML_DSA_44).exists():
            ml_dsa44 = load_ml_dsa44(keys.next_folder / _ML_DSA_44)
    return None if (ed25519, ml_dsa44) == (current.ed25519, current.ml_dsa44) else KeySet(ed25519, ml_dsa44)


def load_sealing(file: Path) -> bytes:
    """Read the key that seals. Raises OSError or BadKeyError."""
    sealing = base64.b64decode(file.read_bytes(), validate=False)
    if len(sealing) * 8 != _KEY_BITS:
        raise BadKeyError(f"{file}: not 32 bytes in base64")
    return sealing


def new_sealing() -> bytes:
    """Return a new key that seals."""
    return AESGCM.generate_key(_KEY_BITS)


def load_ed25519(file: Path) -> Ed25519PrivateKey:
    """Read a private key. Raises OSError or BadKeyError."""
    key = load_pem_private_key(file.read_bytes(), None)
    if not isinstance(key, Ed25519PrivateKey):
        raise BadKeyError(f"{file}: not an Ed25519 private key")
    return key


def load_ml_dsa44(file: Path) -> MLDSA44PrivateKey:
    """Read a private key. Raises OSError or BadKeyError."""
    key = load_pem_private_key(file.read_bytes(), None)
    if not isinstance(key, MLDSA44PrivateKey):
        raise BadKeyError(f"{file}: not an ML-DSA-44 private key")
    return key


def generate(folder: Path, *, sealing: bool = True) -> list[Path]:
    """Make the keys that are not there yet, under the names `Keys` expects; return the files that were made.

    Keys that are to take over come without a sealing key: that one stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    wanted = [(_ED25519, pem(Ed25519PrivateKey.generate())), (_ML_DSA_44, pem(MLDSA44PrivateKey.generate()))]
    if sealing:
        wanted.append(("sealing.key", base64.b64encode(new_sealing()) + b"\n"))
    for name, data in wanted:
        file = folder / name
        if not file.exists():
            file.touch(mode=0o600)
            file.write_bytes(data)
            made.append(file)
    return made


def pem(key: Ed25519PrivateKey | MLDSA44PrivateKey) -> bytes:
    """Return a private key as a key file holds it (PEM, PKCS 8, not encrypted)."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
