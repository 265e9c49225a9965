"""The service's own entries: what it did itself, in the same logs under the same rules, numbered by itself."""

from audit_contract import zipapp
from audit_contract.actions import SERVICE_SOURCE, Action
from audit_contract.entry import Actor, Draft, ObjectRef, Reason
from audit_service.keyring import Keyring
from audit_service.log.batch import Outcome, Request
from audit_service.log.books import Books
from audit_service.log.preparing import prepare
from audit_service.log.sequence import Sequencer
from audit_service.store.records import LogRecord, Signed

ACTOR = Actor(type="system", sub="cloister-audit")


class OwnEntries:
    """Writes as the source `cloister-audit/<fence>`: a new source for each time a process becomes the writer."""

    def __init__(self, sequencer: Sequencer, books: Books, fence: int) -> None:
        self._sequencer, self._books = sequencer, books
        self.source = f"cloister-audit/{fence}"

    async def append(self, log: LogRecord, draft: Draft) -> Outcome:
        """Record one act of the service."""
        item = prepare(draft, log, SERVICE_SOURCE, self.source, 0, self._books.sealer(log))
        return await self._sequencer.submit(Request(log, SERVICE_SOURCE, self.source, (item,), numbered=False))


def log_created(log: LogRecord, keyring: Keyring) -> Draft:
    """Return a log's first entry: whose it is, where it may lie, how long it is kept, and the keys that sign it."""
    facts = {
        "kind": log.kind,
        "tenant": log.tenant,
        "namespace": log.namespace,
        "region": log.region,
        "retentionDays": str(log.retention_days),
    }
    facts = {name: value for name, value in facts.items() if value}
    return Draft(
        actor=ACTOR,
        action=Action.SELF_LOG_CREATE,
        object=ObjectRef(type="Log", id=log.origin),
        result="ok",
        system={**facts, **key_facts(log.origin, keyring), **verifier_fact()},
    )


def key_facts(origin: str, keyring: Keyring) -> dict[str, str]:
    """Return what an entry says of the keys: the Ed25519 verifier key itself, of the longer one its id."""
    names = {"ed25519": None, "mlDsa44": None}
    found = dict(zip(names, (signer.verifier for signer in keyring.signers(origin)), strict=False))
    return {
        name: verifier.vkey if name == "ed25519" else f"{verifier.name}+{verifier.key_id.hex()}"
        for name, verifier in found.items()
    }


def verifier_fact() -> dict[str, str]:
    """Return which offline verifier this build ships: a stranger compares the file at hand with what the log says of it."""
    return {"verifier": f"sha256:{zipapp.program().sha256}"}


def log_read(log: LogRecord, reader: Actor, how: str) -> Draft:
    """Return the entry of a log's having been read: by whom and how (`export`, `entries` or `page`)."""
    return Draft(
        actor=reader,
        action=Action.LOG_READ,
        object=ObjectRef(type="Log", id=log.origin, name=log.name),
        result="ok",
        system={"how": how},
    )


def checkpoint_recorded(log: str, origin: str, signed: Signed) -> Draft:
    """Return the platform log's entry of another log's checkpoint."""
    return Draft(
        actor=ACTOR,
        action=Action.CHECKPOINT_RECORD,
        object=ObjectRef(type="Log", id=origin, name=log, version=str(signed.size), sha256=signed.root.hex()),
        result="ok",
    )


def writer_started(holder: str, fence: int, version: str) -> Draft:
    """Return the platform log's entry of a process that became the writer."""
    return Draft(
        actor=ACTOR,
        action=Action.WRITER_START,
        object=ObjectRef(type="Writer", id=holder, version=str(fence)),
        reason=Reason(code="Started"),
        result="ok",
        system={"version": version, **verifier_fact()},
    )
