"""A tenant's audit log as `cloister audit export` writes it: entries with the values they commit to."""

import json
from pathlib import Path
from typing import Any

from audit_contract import bundle
from audit_contract.leaf import read_leaf
from audit_contract.tiles import split_entries
from tests.e2e.support.local import cloister


def entries(tenant: str, folder: Path) -> list[dict[str, Any]]:
    """Return every entry of the log, with the values of its fields under `values`."""
    file = folder / f"{tenant}.audit"
    cloister("audit", "export", tenant, "-o", str(file)).expect()
    return entries_of(file.read_bytes())


def entries_of(data: bytes) -> list[dict[str, Any]]:
    """Return every entry of a bundle."""
    read = bundle.read(data)
    found = [
        {**read_leaf(entry).data, "values": {}}
        for member in read.entry_members()
        for entry in split_entries(read.members[member])
    ]
    for member in read.value_members():
        for line in read.members[member].decode().splitlines():
            value = json.loads(line)
            if "value" in value:
                found[value["index"]]["values"][value["field"]] = value["value"]
    return found
