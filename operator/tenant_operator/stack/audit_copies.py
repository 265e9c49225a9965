"""Where the audit service keeps its second copy: a bucket a Region, and a user that may add to it and read it.

The Secret made here tells the audit service of them (docs/contracts.md); its side is audit_service/worm. Pure.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tenant_operator.api.names import LABEL_MANAGED_BY, MANAGED_BY
from tenant_operator.stack.derive import Deriver
from tenant_operator.stack.part import External, ExternalKey, Manifest

SECRET = "audit-worm"  # noqa: S105 - a Secret's name
STORES = "stores.json"
ACTIONS = (
    "s3:GetObject",
    "s3:GetObjectVersion",
    "s3:ListBucket",
    "s3:ListBucketVersions",
    "s3:PutObject",
    "s3:PutObjectRetention",
)
"""It may add objects, lock them and read them. It may delete nothing, and what it locked nobody may delete before its time."""


@dataclass(frozen=True)
class CopyStore:
    """One Region's object store, as the audit service will reach it."""

    region: str
    endpoint: str
    store_region: str
    ca: str = field(default="", repr=False)


def bucket_name(derive: Deriver) -> str:
    """Return the bucket's name, in every Region the same; two installations that share a store have two buckets."""
    return f"cloister-audit-{derive.bytes_for('audit/copies/bucket', 5).hex()}"


def secret_key(derive: Deriver, endpoint: str) -> str:
    """Return the secret key of the audit service's user in a store: two Regions may have the same one."""
    return derive.password("platform", f"audit-copies/{endpoint.rstrip('/')}")


def externals(derive: Deriver, store: CopyStore) -> list[External]:
    """Return the bucket and its user. Object Lock can only be given to a bucket that is being made."""
    name = bucket_name(derive)
    return [
        External(
            ExternalKey("objectstore", "bucket", name),
            {"objectLock": True, "versioning": True, "region": store.store_region},
            0,
        ),
        External(
            ExternalKey("objectstore", "bucket-user", name),
            {"bucket": name, "actions": sorted(ACTIONS), "secretEpoch": 0},
            1,
            secret={"secretKey": secret_key(derive, store.endpoint)},
        ),
    ]


def secret(derive: Deriver, namespace: str, stores: list[CopyStore], live: Manifest | None) -> Manifest:
    """Return the Secret with these stores added to, or changed in, what is there.

    A store is never taken out and never changes its place: the logs of a Region that is gone are still copied, and the first
    store is the one that has the platform's log.
    """
    data: dict[str, str] = dict((live or {}).get("data") or {})
    known = _stores(data)
    for store in stores:
        known[store.region] = _described(derive, store)
        data |= _encoded(
            {
                f"{store.region}.access-key": bucket_name(derive),
                f"{store.region}.secret-key": secret_key(derive, store.endpoint),
                f"{store.region}.ca.crt": store.ca,
            }
        )
    data |= _encoded({STORES: json.dumps({"stores": list(known.values())}, indent=2)})
    metadata = {"name": SECRET, "namespace": namespace, "labels": {LABEL_MANAGED_BY: MANAGED_BY}}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "type": "Opaque",
        "data": dict(sorted(data.items())),
    }


def _stores(data: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return the stores that a Secret's data names, by Region; none when somebody damaged it."""
    try:
        found = json.loads(base64.b64decode(data.get(STORES, "")) or b"{}")
        return {str(store["region"]): dict(store) for store in found.get("stores", [])}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _described(derive: Deriver, store: CopyStore) -> dict[str, Any]:
    described = {
        "region": store.region,
        "endpoint": store.endpoint,
        "storeRegion": store.store_region,
        "bucket": bucket_name(derive),
        "accessKeyFile": f"{store.region}.access-key",
        "secretKeyFile": f"{store.region}.secret-key",
    }
    return described | ({"caFile": f"{store.region}.ca.crt"} if store.ca else {})


def _encoded(values: Mapping[str, str]) -> dict[str, str]:
    return {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
