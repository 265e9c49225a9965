"""The keyring of an installation that has its keys in Vault.

Ed25519 signs there (transit). Vault's transit engine has no ML-DSA-44, and a value cannot be sealed there one by one; so those
keys are made in this process's memory, sealed by a key of Vault's, stored as ciphertext only, and unsealed at each start. Key
files that are still there from before are read to hand over, and for the sealing key that older logs need.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from audit_service.keyring import Keyring, KeySet, load_ed25519, load_ml_dsa44, load_sealing, new_sealing
from audit_service.settings import Settings, VaultKeys
from audit_service.store.held import HeldKey, HeldKind
from audit_service.transit import Transit, TransitKey, TransitSealer

_FROM_FILE: Final = 0
_FIRST: Final = 1


@dataclass(frozen=True, slots=True)
class Wanted:
    """A key that is to be held and is not yet."""

    kind: HeldKind
    number: int


class VaultKeyring:
    """Opens and makes keys. Methods raise TransitError; those that read files also OSError or BadKeyError."""

    def __init__(self, settings: Settings, vault: VaultKeys) -> None:
        self._files, self._vault, self._install = settings.keys, vault, settings.install
        self._transit = Transit(vault)
        self._sealer = TransitSealer(self._transit)
        self._signing: dict[int, TransitKey] = {}
        self._unsealed: dict[HeldKey, bytes] = {}

    def _purpose(self, kind: HeldKind, number: int) -> str:
        return f"{self._install}/audit/{kind.value}/{number}"

    async def open(self, held: Iterable[HeldKey]) -> Keyring:
        """Unseal these keys; a set whose ML-DSA-44 key is not held yet is without it, or not there when it is to follow."""
        found = tuple(sorted(held))
        opened = {(each.kind, each.number): await self.unseal(each) for each in found}
        ml_dsa44 = {
            number: MLDSA44PrivateKey.from_seed_bytes(key)
            for (kind, number), key in opened.items()
            if kind is HeldKind.ML_DSA_44
        }
        sealing = [key for (kind, _), key in sorted(opened.items(), reverse=True) if kind is HeldKind.SEALING]
        if (HeldKind.SEALING, _FROM_FILE) not in opened and self._files.sealing_file.exists():
            sealing.append(load_sealing(self._files.sealing_file))
        current = self._set(self._vault.key_version, ml_dsa44)
        number, following = self._vault.next_key_version, None
        if number is not None and (number in ml_dsa44 or self._files.ml_dsa44_file is None):
            following = self._set(number, ml_dsa44)
        return Keyring(current, following, tuple(sealing), self._before(current), found)

    async def unseal(self, key: HeldKey) -> bytes:
        """Return the key itself, asked for once. Raises also OtherSealError."""
        if key not in self._unsealed:
            self._unsealed[key] = await self._sealer.unseal(key.sealed, self._purpose(key.kind, key.number))
        return self._unsealed[key]

    def _set(self, version: int, ml_dsa44: dict[int, MLDSA44PrivateKey]) -> KeySet:
        signing = self._signing.setdefault(version, TransitKey(self._transit, version))
        return KeySet(signing, ml_dsa44.get(version) if self._files.ml_dsa44_file is not None else None)

    def has_files(self) -> bool:
        """Tell whether there are key files from before."""
        return any(file is not None and file.exists() for file in (self._files.ed25519_file, self._files.ml_dsa44_file))

    def _before(self, current: KeySet) -> tuple[KeySet, ...]:
        """Read the sets that may be in force from before: files only, and Vault's Ed25519 beside the ML-DSA-44 file."""
        file = self._files.ml_dsa44_file
        ml_dsa44 = load_ml_dsa44(file) if file is not None and file.exists() else None
        found: list[KeySet] = []
        if self._files.ed25519_file.exists():
            found.append(KeySet(load_ed25519(self._files.ed25519_file), ml_dsa44))
        if ml_dsa44 is not None:
            found.append(KeySet(current.ed25519, ml_dsa44))
        return tuple(found)

    def missing(self, held: Iterable[HeldKey]) -> list[Wanted]:
        """Return the keys that the settings ask for and that are not held."""
        wanted = [Wanted(HeldKind.SEALING, _FIRST)]
        if self._files.ml_dsa44_file is not None:
            versions = (self._vault.key_version, self._vault.next_key_version)
            wanted += [Wanted(HeldKind.ML_DSA_44, version) for version in versions if version is not None]
        there = {Wanted(each.kind, each.number) for each in held}
        return [each for each in wanted if each not in there]

    async def make(self, wanted: Wanted) -> HeldKey:
        """Make a key in memory and return it sealed."""
        match wanted.kind:
            case HeldKind.ML_DSA_44:
                secret = MLDSA44PrivateKey.generate().private_bytes_raw()
            case HeldKind.SEALING:
                secret = new_sealing()
        return await self._sealed(wanted, secret)

    async def bring(self) -> HeldKey:
        """Return the sealing key of before, from its file, sealed."""
        return await self._sealed(Wanted(HeldKind.SEALING, _FROM_FILE), load_sealing(self._files.sealing_file))

    async def _sealed(self, wanted: Wanted, secret: bytes) -> HeldKey:
        sealed = await self._sealer.seal(secret, self._purpose(wanted.kind, wanted.number))
        return HeldKey(wanted.kind, wanted.number, sealed)
