"""The logs there are, with what each one needs at hand: its identity, its value key and its signers. A cache of the store."""

from audit_contract.keys import KeySigner, KeyVerifier
from audit_service.keyring import Keyring
from audit_service.log.sealing import ValueSealer
from audit_service.store.reading import ReadingStore
from audit_service.store.records import LogRecord


class Books:
    """Looks logs up by name or number. A log's identity never changes, so what was read once stays true."""

    def __init__(self, reading: ReadingStore, keyring: Keyring) -> None:
        self._reading, self.keyring = reading, keyring
        self._by_name: dict[str, LogRecord] = {}
        self._by_number: dict[int, LogRecord] = {}
        self._sealers: dict[int, ValueSealer] = {}
        self._signers: dict[int, list[KeySigner]] = {}

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

    def sealer(self, log: LogRecord) -> ValueSealer:
        """Return what seals the log's values. Raises UnsealError when the service's sealing key is another."""
        if log.number not in self._sealers:
            self._sealers[log.number] = ValueSealer(self.keyring.sealing, log.origin, log.sealed_key)
        return self._sealers[log.number]

    async def verifiers(self, origin: str, log: LogRecord | None) -> list[KeyVerifier]:
        """Return every key that may have signed a log's checkpoints."""
        return [signer.verifier for signer in self.keyring.signers(origin)]

    def signers(self, log: LogRecord) -> list[KeySigner]:
        """Return the signers of the log's checkpoints."""
        if log.number not in self._signers:
            self._signers[log.number] = self.keyring.signers(log.origin)
        return self._signers[log.number]
