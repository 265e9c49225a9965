"""The service's own entries: what it did itself, in the same logs under the same rules, numbered by itself."""

from collections.abc import Sequence

from audit_contract import zipapp
from audit_contract.actions import SERVICE_SOURCE, Action
from audit_contract.entry import Actor, Draft, ObjectRef, Reason
from audit_contract.keys import KeyType, KeyVerifier
from audit_contract.trust import DIGEST, keys_digest
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
        plain = draft.plain()
        item = prepare(plain, log, SERVICE_SOURCE, self.source, 0, self._books.sealer(log))
        request = Request(log, SERVICE_SOURCE, self.source, (item,), lambda: (plain,), numbered=False)
        return await self._sequencer.submit(request)


def log_created(log: LogRecord, verifiers: Sequence[KeyVerifier]) -> Draft:
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
        system={**facts, **key_facts(verifiers), **verifier_fact()},
    )


def key_facts(verifiers: Sequence[KeyVerifier]) -> dict[str, str]:
    """Return what an entry says of the keys: the Ed25519 verifier key itself, of the longer its id, and both's digest."""
    facts = {DIGEST: keys_digest(each.vkey for each in verifiers)}
    for each in verifiers:
        if each.kind is KeyType.ED25519:
            facts["ed25519"] = each.vkey
        else:
            facts["mlDsa44"] = f"{each.name}+{each.key_id.hex()}"
    return facts


def keys_changed(action: Action, log: LogRecord, generation: int, verifiers: Sequence[KeyVerifier]) -> Draft:
    """Return the entry that announces a generation of keys (KEY_ANNOUNCE), or the first under it (KEY_ACTIVATE)."""
    return Draft(
        actor=ACTOR,
        action=action,
        object=ObjectRef(type="Log", id=log.origin, version=str(generation)),
        result="ok",
        system=key_facts(verifiers),
    )


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
