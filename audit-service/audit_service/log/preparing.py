"""Make a draft ready for sequencing: salt, commit, seal, encode. Pure but for randomness."""

import os
from collections.abc import Sequence

from audit_contract.commitment import SALT_SIZE, commit
from audit_contract.entry import Plain
from audit_contract.form import Place, unplaced, values
from audit_contract.leaf import field_name, field_number, read_leaf
from audit_service.log.batch import Item
from audit_service.log.sealing import ValueSealer
from audit_service.store.records import LogRecord, Stored, Value


def prepare(draft: Plain, log: LogRecord, kind: str, source: str, seq: int, sealer: ValueSealer) -> Item:
    """Return the draft ready but for its place. Raises ValueError naming the field when it is too large."""
    commitments: dict[str, str] = {}
    sealed = []
    for field, value in values(draft):
        salt = os.urandom(SALT_SIZE)
        commitments[field] = commit(salt, value)
        sealed.append((field_number(field), sealer.seal(draft["id"], field_number(field), salt, value)))
    return Item(draft["id"], unplaced(draft, log.origin, kind, source, commitments), seq, tuple(sealed))


def is_same(draft: Plain, log: LogRecord, stored: Stored, kept: Sequence[Value], sealer: ValueSealer) -> bool:
    """Tell whether the stored entry is this draft's: built again with the stored salts and place it gives the same bytes.

    The source's number is not compared: it belongs to the sending, not to the entry. A value that was erased meanwhile
    cannot be compared and counts as the same.
    """
    leaf = read_leaf(stored.data)
    commitments = dict(leaf.commitments())
    salts = {
        field_name(value.field): sealer.open(leaf.id, value.field, value.sealed)[0]
        for value in kept
        if value.sealed is not None
    }
    for field, value in values(draft):
        if field in salts:
            commitments[field] = commit(salts[field], value)
        elif field not in commitments:
            return False
    place = Place(leaf.seq, leaf.prev, leaf.received, leaf.clock)
    kind, source = leaf.source
    return unplaced(draft, log.origin, kind, source, commitments).leaf(place) == stored.data
