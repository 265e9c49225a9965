"""The Secrets about the keys that sign the audit logs: the private ones, where they are derived, and what the witness knows."""

import base64
from collections.abc import Iterable, Mapping
from typing import Any, Final

from audit_contract.keys import KeyVerifier, parse_vkey
from tenant_operator.api.names import LABEL_MANAGED_BY, MANAGED_BY
from tenant_operator.stack.part import Manifest

KEYS: Final = "audit-keys"
LOGS: Final = "witness-logs"


def secret(namespace: str, name: str, values: Mapping[str, str], **more: Any) -> Manifest:
    """Return a Secret of the operator's own."""
    data = {key: base64.b64encode(value.encode()).decode() for key, value in sorted(values.items())}
    metadata = {"name": name, "namespace": namespace, "labels": {LABEL_MANAGED_BY: MANAGED_BY}}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": data, **more}


def witness_logs(namespace: str, vkeys: Iterable[str]) -> Manifest:
    """Return the witness's list of the keys that sign logs: each once, under the name `audit`, which it does not look at."""
    found = {(each.kind, each.key.public_bytes_raw()): each for each in map(parse_vkey, vkeys)}
    lines = sorted(KeyVerifier("audit", each.kind, each.key).vkey for each in found.values())
    return secret(namespace, LOGS, {"vkeys": "".join(f"{line}\n" for line in lines)})


def material(vkeys: Iterable[str]) -> set[bytes]:
    """Return the public keys themselves, whatever logs they are named after."""
    return {parse_vkey(each).key.public_bytes_raw() for each in vkeys}
