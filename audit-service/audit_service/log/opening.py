"""Getting the keys of an installation that has them in Vault into the books; where keys are files there is nothing to do.

Nobody becomes the writer without having unsealed what is stored. What is missing is made by the writer, once everything that
knows of an older history was asked: keys made for a database that was emptied would only be in the restore's way.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace

import asyncpg

from audit_service.keyring import Keyring
from audit_service.log.books import Books
from audit_service.log.sealing import UnsealError, open_log_key
from audit_service.log.signing import SignerAwayError
from audit_service.settings import Settings
from audit_service.store.errors import StoreError
from audit_service.store.held import HeldKind, HeldStore
from audit_service.store.reading import ReadingStore
from audit_service.store.records import LogRecord
from audit_service.transit import TransitError
from audit_service.vaulted import VaultKeyring

_log = logging.getLogger(__name__)


class KeysLostError(StoreError):
    """A log's values were sealed by a key that is not at hand. Nothing is written over that."""


class Opening:
    """What the writer does about its keys before it writes."""

    def __init__(self, settings: Settings, pool: asyncpg.Pool, reading: ReadingStore, books: Books) -> None:
        self._vault = None if settings.vault is None else VaultKeyring(settings, settings.vault)
        self._held, self._reading, self._books = HeldStore(pool), reading, books
        self._away = "" if self._vault is None else "the keys have not been unsealed yet"
        self._lost = ""

    @property
    def refusal(self) -> str:
        """Return why there are no keys, and what to do; empty when there are."""
        return self._away or self._lost

    async def look(self) -> None:
        """Unseal what is stored. Raises SignerAwayError, or StoreUnavailableError when the database is away."""
        if self._vault is not None:
            await self._open(self._vault)

    async def _open(self, vault: VaultKeyring) -> None:
        held = await self._held.all()
        try:
            self._books.open(await vault.open(held))
        except (TransitError, OSError, ValueError) as error:
            raise self._refused(f"the keys cannot be unsealed: {error}") from error
        self._away = ""

    def _refused(self, text: str) -> SignerAwayError:
        self._away = text
        return SignerAwayError(text)

    async def complete(self, fence: int) -> None:
        """Make, seal and store what is missing, as the writer. Raises SignerAwayError, KeysLostError or StoreError."""
        if self._vault is None:
            return
        logs, keyring = await self._reading.logs(), self._books.keyring
        try:
            from_file = self._from_file(logs, keyring)
            made = [await self._vault.make(wanted) for wanted in self._vault.missing(keyring.held)]
            made += [await self._vault.bring()] if from_file else []
        except KeysLostError as error:
            self._lost = str(error)
            raise
        except (TransitError, OSError, ValueError) as error:
            raise self._refused(f"keys that are missing cannot be sealed: {error}") from error
        self._lost = ""
        if made:
            await self._held.add(fence, made)
            _log.info("keys were made and sealed by Vault: %s", ", ".join(f"{key.kind} {key.number}" for key in made))
            await self._open(self._vault)

    def _from_file(self, logs: Sequence[LogRecord], keyring: Keyring) -> bool:
        """Tell whether a log's values need the sealing key that is only in its file. Raises KeysLostError."""
        held = sum(each.kind is HeldKind.SEALING for each in keyring.held)
        needed = False
        for log in logs:
            if _opens(log, keyring.sealing[:held]):
                continue
            if not _opens(log, keyring.sealing[held:]):
                raise KeysLostError(
                    f"the values of {log.name} were sealed by a key that is not at hand. It is in the table held_key, or in "
                    "the Secret with the key files of before: restore the table (docs/runbooks/audit-restore.md) or put the "
                    "Secret back"
                )
            needed = True
        return needed

    async def run(self, every: float) -> None:
        """Let go of key files that were taken away once no log needs them, for ever."""
        while self._vault is not None:
            await asyncio.sleep(every)
            try:
                if self._books.keyring.before and not self._vault.has_files() and not await self.needing_files():
                    self._books.open(replace(self._books.keyring, before=()))
                    _log.info("the key files of before are gone and no longer used")
            except StoreError as error:
                _log.warning("whether key files are still needed is not known: %s", error)

    async def needing_files(self) -> list[str]:
        """Return the logs that are still signed by keys from files, though the keys are in Vault. Raises StoreError."""
        keyring, found = self._books.keyring, []
        if keyring.before:
            for log in await self._reading.logs():
                noted = await self._books.generations(log)
                if not noted or list(noted[-1].vkeys) not in await self._books.at_hand(log.origin, keyring.lasting):
                    found.append(log.name)
        return found


def _opens(log: LogRecord, keys: Sequence[bytes]) -> bool:
    try:
        open_log_key(keys, log.origin, log.sealed_key)
    except UnsealError:
        return False
    return True
