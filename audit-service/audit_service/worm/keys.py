"""The keys that a restore works with: files, or what Vault sealed, as the copy and the database have it."""

import logging
from collections.abc import Iterable, Sequence

from audit_contract.report import Exit
from audit_service import keyring
from audit_service.keyring import Keyring
from audit_service.log.signing import SignerAwayError
from audit_service.settings import Settings
from audit_service.store.held import HeldKey
from audit_service.transit import OtherSealError, TransitError
from audit_service.vaulted import VaultKeyring
from audit_service.worm import layout
from audit_service.worm.reading import BadCopyError
from audit_service.worm.source import Source

_log = logging.getLogger(__name__)


class RestoreKeys:
    """Finds the keys of one log after another. Methods raise BadCopyError, CopyStoreError, SignerAwayError or OSError."""

    def __init__(self, settings: Settings, source: Source) -> None:
        """Read the key files. Raises OSError or BadKeyError, unless the keys are in Vault."""
        self._source = source
        self._from: VaultKeyring | Keyring = (
            keyring.load(settings.keys) if settings.vault is None else VaultKeyring(settings, settings.vault)
        )

    async def of(self, log: str, stored: Sequence[HeldKey]) -> Keyring:
        """Return the keys for a log; `stored` are those that the database has. A copy from before Vault brings none."""
        vault = self._from
        if isinstance(vault, Keyring):
            return vault
        copied, others = [], []
        try:
            for key in await self._copied(log):
                try:
                    await vault.unseal(key)
                    copied.append(key)
                except OtherSealError as error:  # anybody who may add to the bucket can put one there
                    others.append(str(error))
                    _log.warning("%s: a key in the copy is ignored: %s", log, error)
            found = await vault.open(_together(log, copied, stored))
        except TransitError as error:
            raise SignerAwayError(str(error)) from error
        if not found.sealing:
            said = (
                others[0] if others else f"{log}: no key that seals its values: not in the copy, the database or a file"
            )
            raise BadCopyError(Exit.POLICY, None, said)
        return found

    async def _copied(self, log: str) -> list[HeldKey]:
        prefix = f"{log}/"
        found: set[HeldKey] = set()
        for name, version in (await self._source.listed(prefix + layout.HELD)).items():
            try:
                found.update(layout.decode_held(await self._source.read(name, version)))
            except layout.LayoutError as error:
                _log.warning("%s is ignored: %s", name, error)
        return sorted(found)


def _together(log: str, copied: Iterable[HeldKey], stored: Iterable[HeldKey]) -> list[HeldKey]:
    """Return the keys of copy and database. Raises BadCopyError when they have different ones by the same name."""
    found: dict[tuple[str, int], HeldKey] = {}
    for key in [*copied, *stored]:
        if found.setdefault((key.kind, key.number), key) != key:
            said = f"{log}: the database has another key {key.kind} {key.number} than the copy: nothing is restored"
            raise BadCopyError(Exit.POLICY, None, said)
    return list(found.values())


async def at_hand(keys: Keyring, origin: str) -> list[tuple[str, ...]]:
    """Return the verifier keys of every set at hand. Raises SignerAwayError."""
    try:
        return [tuple(each.vkey for each in await one.verifiers(origin)) for one in keys.sets]
    except TransitError as error:
        raise SignerAwayError(str(error)) from error
