"""The three kinds of note keys Cloister speaks, as verifiers, signers and `vkey` texts. Pure.

0x01 Ed25519 over the note text (c2sp.org/signed-note); 0x04 Ed25519 and 0x06 ML-DSA-44 time-stamped cosignatures
(c2sp.org/tlog-cosignature). A log signs with 0x01 and 0x06, a witness with 0x04 and 0x06.
"""

import struct
from base64 import b64encode
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from audit_contract.checkpoint import from_text
from audit_contract.note import NoteError, Signature, SignatureError, check_name, decode_base64

_TIMESTAMP: Final = 8
_MAX_TIMESTAMP: Final = 2**63 - 1
_VKEY_PARTS: Final = 3


class KeyType(IntEnum):
    """A signature type identifier byte of c2sp.org/signed-note."""

    ED25519 = 0x01
    ED25519_COSIGNATURE = 0x04
    ML_DSA_44 = 0x06


PublicKey = Ed25519PublicKey | MLDSA44PublicKey
PrivateKey = Ed25519PrivateKey | MLDSA44PrivateKey


def _message(kind: KeyType, name: str, text: str, timestamp: int) -> bytes:
    """Return the bytes that a key of this kind signs for a note text; `timestamp` in seconds since the epoch."""
    match kind:
        case KeyType.ED25519:
            return text.encode()
        case KeyType.ED25519_COSIGNATURE:
            return f"cosignature/v1\ntime {timestamp}\n{text}".encode()
        case KeyType.ML_DSA_44:
            point = from_text(text)
            cosigner, origin = name.encode(), point.origin.encode()
            return b"".join(
                (
                    b"subtree/v1\n\0",
                    struct.pack(">B", len(cosigner)),
                    cosigner,
                    struct.pack(">QB", timestamp, len(origin)),
                    origin,
                    struct.pack(">QQ", 0, point.size),
                    point.root,
                )
            )


@dataclass(frozen=True, slots=True)
class KeyVerifier:
    """A public key under a name, for one kind of signature."""

    name: str
    kind: KeyType
    key: PublicKey

    @property
    def key_id(self) -> bytes:
        """Return SHA-256(name || 0x0A || kind || public key)[:4]."""
        return sha256(self.name.encode() + b"\n" + bytes((self.kind,)) + self.key.public_bytes_raw()).digest()[:4]

    @property
    def vkey(self) -> str:
        """Return `<name>+<hex key id>+<base64 of kind and key>`."""
        return format_vkey(self.name, self.key_id, self.kind, self.key.public_bytes_raw())

    def verify(self, text: str, signature: bytes) -> None:
        """Check a signature's bytes (after the key id). Raises SignatureError."""
        self.timestamp(text, signature)

    def timestamp(self, text: str, signature: bytes) -> int:
        """Check the signature and return its time in seconds since the epoch, 0 for a kind that carries none."""
        seconds = 0
        if self.kind is not KeyType.ED25519:
            seconds = int.from_bytes(signature[:_TIMESTAMP], "big")
            signature = signature[_TIMESTAMP:]
        try:
            if seconds > _MAX_TIMESTAMP:
                raise SignatureError(f"{self.name}: the signature's time is out of range")
            self.key.verify(signature, _message(self.kind, self.name, text, seconds))
        except (InvalidSignature, ValueError, struct.error) as error:
            raise SignatureError(f"the {self.kind.name} signature by {self.name} does not verify") from error
        return seconds


@dataclass(frozen=True, slots=True)
class KeySigner:
    """A private key under a name, for one kind of signature."""

    name: str
    kind: KeyType
    key: PrivateKey

    @property
    def verifier(self) -> KeyVerifier:
        """Return the public half."""
        return KeyVerifier(check_name(self.name), self.kind, self.key.public_key())

    def sign(self, text: str, timestamp: int) -> Signature:
        """Sign a note text; `timestamp` (seconds since the epoch) enters kinds that carry one."""
        value = self.key.sign(_message(self.kind, self.name, text, timestamp))
        if self.kind is not KeyType.ED25519:
            value = timestamp.to_bytes(_TIMESTAMP, "big") + value
        return Signature(self.name, self.verifier.key_id, value)


def format_vkey(name: str, key_id: bytes, kind: int, public: bytes) -> str:
    """Return the text form of a verifier key."""
    return f"{name}+{key_id.hex()}+{b64encode(bytes((kind,)) + public).decode()}"


def parse_vkey(text: str) -> KeyVerifier:
    """Read a verifier key. Raises NoteError when it is malformed, of an unknown kind, or its id is not its own."""
    parts = text.split("+", _VKEY_PARTS - 1)
    if len(parts) != _VKEY_PARTS:
        raise NoteError(f"not a verifier key: {text!r}")
    name, key_id, encoded = parts
    material = decode_base64(encoded)
    try:
        kind = KeyType(material[0])
        public: PublicKey
        if kind is KeyType.ML_DSA_44:
            public = MLDSA44PublicKey.from_public_bytes(material[1:])
        else:
            public = Ed25519PublicKey.from_public_bytes(material[1:])
    except (ValueError, IndexError) as error:
        raise NoteError(f"not a verifier key of a kind known here: {text!r}") from error
    verifier = KeyVerifier(check_name(name), kind, public)
    if verifier.key_id.hex() != key_id:
        raise NoteError(f"the verifier key's id is {verifier.key_id.hex()}, not {key_id}")
    return verifier
