"""The logs there are, with what each one needs at hand: its identity, its value key and its signers. A cache of the store."""

from collections.abc import Sequence

from audit_contract.keys import KeyVerifier, parse_vkey
from audit_service.keyring import Keyring, KeySet, Signer
from audit_service.log.sealing import ValueSealer, open_log_key
from audit_service.log.signing import OtherKeysError, SignerAwayError
from audit_service.store.reading import ReadingStore
from audit_service.store.records import Generation, LogRecord
from audit_service.transit import TransitError


class Books:
    """Looks logs up by name or number. A log's identity never changes, so what was read once stays true."""

    def __init__(self, reading: ReadingStore, keyring: Keyring | None) -> None:
        """`keyring` is None while the keys are in Vault and have not been unsealed: `open` brings them."""
        self._reading, self._keyring = reading, keyring
        self._by_name: dict[str, LogRecord] = {}
        self._by_number: dict[int, LogRecord] = {}
        self._sealers: dict[int, ValueSealer] = {}
        self._signers: dict[int, list[Signer]] = {}
        self._generations: dict[int, list[Generation]] = {}

    @property
    def keyring(self) -> Keyring:
        """Return the service's keys. Raises SignerAwayError while they have not been unsealed."""
        if self._keyring is None:
            raise SignerAwayError("the keys have not been unsealed: /readyz says why")
        return self._keyring

    def open(self, keyring: Keyring) -> None:
        """Go on with these keys."""
        self._keyring = keyring
        self._sealers.clear()
        self._signers.clear()

    async def refresh(self) -> list[LogRecord]:
        """Read every log there is."""
        found = await self._reading.logs()
        for record in found:
            self._keep(record)
        return found

    def _keep(self, record: LogRecord) -> None:
        self._by_name[record.name] = self._by_number[record.number] = record

    async def find(self, name: str) -> LogRecord | None:
        """Return the log with this name, None when there is none."""
        record = self._by_name.get(name) or await self._reading.log(name)
        if record is not None:
            self._keep(record)
        return record

    async def numbered(self, number: int) -> LogRecord:
        """Return the log with this number, which exists."""
        if number not in self._by_number:
            await self.refresh()
        return self._by_number[number]

    def read_before(self, number: int) -> LogRecord:
        """Return a log that was looked up before."""
        return self._by_number[number]

    def sealer(self, log: LogRecord) -> ValueSealer:
        """Return what seals the log's values. Raises SignerAwayError, or UnsealError when the sealing key is another."""
        if log.number not in self._sealers:
            self._sealers[log.number] = ValueSealer(open_log_key(self.keyring.sealing, log.origin, log.sealed_key))
        return self._sealers[log.number]

    async def generations(self, log: LogRecord) -> list[Generation]:
        """Return the keys that have signed the log; none for a log from before they were noted, until the writer notes them."""
        found = self._generations.get(log.number)
        if not found:
            found = self._generations[log.number] = await self._reading.generations(log.number)
        return found

    def forget_keys(self, log: LogRecord | None = None) -> None:
        """Ask the store again for the keys of a log, or of all."""
        for kept in (self._generations, self._signers):
            if log is None:
                kept.clear()
            else:
                kept.pop(log.number, None)

    async def verifiers(self, origin: str, log: LogRecord | None) -> list[KeyVerifier]:
        """Return every key that may have signed a log's checkpoints, of a log that is not there (None) those at hand.

        Raises SignerAwayError.
        """
        noted = [] if log is None else [vkey for each in await self.generations(log) for vkey in each.vkeys]
        if not noted:
            noted = [vkey for vkeys in await self.at_hand(origin, self.keyring.sets) for vkey in vkeys]
        return [parse_vkey(vkey) for vkey in dict.fromkeys(noted)]

    async def at_hand(self, origin: str, sets: Sequence[KeySet]) -> list[list[str]]:
        """Return the verifier keys that sets of keys have under a log's name. Raises SignerAwayError."""
        return [[each.vkey for each in await _reached(keys, origin)] for keys in sets]

    async def vkeys(self, log: LogRecord) -> list[str]:
        """Return the log's verifier keys in force. Raises SignerAwayError for a log whose keys are not noted yet."""
        noted = await self.generations(log)
        if noted:
            return list(noted[-1].vkeys)
        return [each.vkey for each in await _reached(self.keyring.sets[0], log.origin)]

    async def signers(self, log: LogRecord) -> list[Signer]:
        """Return the signers of the log's checkpoints. Raises OtherKeysError or SignerAwayError."""
        if log.number not in self._signers:
            self._signers[log.number] = await self._choose(log)
        return self._signers[log.number]

    async def _choose(self, log: LogRecord) -> list[Signer]:
        """Return the signers of the keys in force, and of those before them that are still at hand: both sign for a while."""
        noted = await self.generations(log)
        before: dict[str, Signer] = {}
        for keys in self.keyring.sets:
            signers = keys.signers(log.origin)
            vkeys = [each.vkey for each in await _reached(keys, log.origin)]
            if not noted or vkeys == list(noted[-1].vkeys):
                return [*signers, *(signer for vkey, signer in before.items() if vkey not in vkeys)]
            before |= dict(zip(vkeys, signers, strict=True))
        ids = ", ".join(vkey.split("+")[1] for vkey in noted[-1].vkeys)
        raise OtherKeysError(
            f"{log.name} is signed by the keys {ids}, and those at hand are others. New keys belong into keys.nextFolder (in "
            f"Vault: vault.nextKeyVersion), with the old ones still in place, so that the log can announce them"
        )


async def _reached(keys: KeySet, origin: str) -> list[KeyVerifier]:
    try:
        return await keys.verifiers(origin)
    except TransitError as error:
        raise SignerAwayError(str(error)) from error
