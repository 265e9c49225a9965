"""The service's keys, read from files: one set signs every log's checkpoints, one key seals the logs' own keys."""

import base64
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from audit_contract.keys import KeySigner, KeyType
from audit_service.settings import Keys

_KEY_BITS = 256


class BadKeyError(ValueError):
    """A key file does not hold the key it is named for."""


@dataclass(frozen=True, slots=True)
class Keyring:
    """The private keys. `ml_dsa44` is None where the installation signs with Ed25519 only."""

    ed25519: Ed25519PrivateKey
    ml_dsa44: MLDSA44PrivateKey | None
    sealing: bytes

    def signers(self, origin: str) -> list[KeySigner]:
        """Return the signers of a log's checkpoints; a log's key name is its origin (C2SP tlog-checkpoint)."""
        found = [KeySigner(origin, KeyType.ED25519, self.ed25519)]
        if self.ml_dsa44 is not None:
            found.append(KeySigner(origin, KeyType.ML_DSA_44, self.ml_dsa44))
        return found

    def vkeys(self, origin: str) -> list[str]:
        """Return a log's verifier keys."""
        return [signer.verifier.vkey for signer in self.signers(origin)]


def load(keys: Keys) -> Keyring:
    """Read the keys. Raises OSError or BadKeyError, which name the file."""
    ed25519 = load_ed25519(keys.ed25519_file)
    ml_dsa44 = None if keys.ml_dsa44_file is None else load_ml_dsa44(keys.ml_dsa44_file)
    sealing = base64.b64decode(keys.sealing_file.read_bytes(), validate=False)
    if len(sealing) * 8 != _KEY_BITS:
        raise BadKeyError(f"{keys.sealing_file}: not 32 bytes in base64")
    return Keyring(ed25519, ml_dsa44, sealing)


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


def generate(folder: Path) -> list[Path]:
    """Make the keys that are not there yet, under the names `Keys` expects; return the files that were made."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for name, data in (
        ("ed25519.pem", pem(Ed25519PrivateKey.generate())),
        ("ml-dsa-44.pem", pem(MLDSA44PrivateKey.generate())),
        ("sealing.key", base64.b64encode(AESGCM.generate_key(_KEY_BITS)) + b"\n"),
    ):
        file = folder / name
        if not file.exists():
            file.touch(mode=0o600)
            file.write_bytes(data)
            made.append(file)
    return made


def pem(key: Ed25519PrivateKey | MLDSA44PrivateKey) -> bytes:
    """Return a private key as a key file holds it (PEM, PKCS 8, not encrypted)."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
