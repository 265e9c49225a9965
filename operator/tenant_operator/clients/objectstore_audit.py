"""The buckets of the audit service's copies as `ports.CopyBuckets`: the same requests as for tenants' buckets, by Region."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from tenant_operator.api.region import RegionSpec
from tenant_operator.clients.objectstore import read_user, write_user_of
from tenant_operator.clients.objectstore_buckets import read_bucket, write_bucket
from tenant_operator.clients.objectstore_calls import FAILURES, Connection, StoreAccess, connect, translate
from tenant_operator.stack.part import External

T = TypeVar("T")


class AuditBuckets:
    """Looks at and makes the bucket and the user; a connection lives as long as one call, which is rare."""

    def __init__(self, access_for: Callable[[RegionSpec], StoreAccess], ca_for: Callable[[RegionSpec], str]) -> None:
        """Both raise Retryable when what the Region names is not there."""
        self._access_for, self._ca_for = access_for, ca_for

    def ca(self, region: RegionSpec) -> str:
        """Return the PEM of the store's CA."""
        return self._ca_for(region)

    async def observe(self, region: RegionSpec, wanted: External) -> Mapping[str, Any] | None:
        """Return what is there; None when it is seen to be absent."""
        if wanted.key.kind == "bucket":
            return await self._call(region, wanted, lambda store: read_bucket(store, wanted.key.name))
        return await self._call(region, wanted, lambda store: read_user(store, wanted))

    async def ensure(self, region: RegionSpec, wanted: External) -> None:
        """Create it or bring it to what is wanted."""
        if wanted.key.kind == "bucket":
            await self._call(region, wanted, lambda store: write_bucket(store, wanted.key.name))
        else:
            await self._call(region, wanted, lambda store: write_user_of(store, wanted))

    async def _call(self, region: RegionSpec, wanted: External, act: Callable[[Connection], T]) -> T:
        connection = connect(self._access_for(region))

        def run() -> T:
            try:
                return act(connection)
            except FAILURES as error:
                raise translate(connection.where, str(wanted.key), error) from error
            finally:
                connection.pool.clear()

        return await asyncio.to_thread(run)
