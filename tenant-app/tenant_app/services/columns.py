"""Sealed columns: one key a tenant for words in rows, wrapped by the transit key, opened once and kept in memory."""

import asyncio
import json
from typing import Any

from tenant_app.adapters.ports import Keys
from tenant_app.domain.sealing import Sealer, context, new_key
from tenant_app.storage import records
from tenant_app.storage.database import Database


class Columns:
    """Seals and opens JSON values for rows. The key is made at the tenant's first start."""

    def __init__(self, database: Database, keys: Keys, tenant: str) -> None:
        self._database = database
        self._keys = keys
        self._tenant = tenant
        self._sealer: Sealer | None = None
        self._lock = asyncio.Lock()

    async def ready(self) -> None:
        """Make sure that the key is in memory. Raises VaultAway, VaultRefused, DependencyAway."""
        if self._sealer is not None:
            return
        async with self._lock:
            if self._sealer is None:
                self._sealer = Sealer(await self._fetch())

    def seal(self, value: Any, *place: str) -> bytes:  # any JSON value
        """Return the value sealed for its place (table, row id, …)."""
        raw = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
        return self._require().seal(raw, context(self._tenant, *place))

    def open(self, sealed: bytes, *place: str) -> Any:  # any JSON value
        """Return the value. Raises IntegrityViolation when it was altered or moved."""
        return json.loads(self._require().unseal(bytes(sealed), context(self._tenant, *place)).decode())

    async def _fetch(self) -> bytes:
        bound = context(self._tenant, "column_key", "1")
        async with self._database.transaction() as conn:
            wrapped = await records.column_key(conn)
        if wrapped is None:
            fresh = await self._keys.wrap(new_key(), bound)
            async with self._database.transaction() as conn:
                await records.keep_column_key(conn, fresh)
                wrapped = await records.column_key(conn)
        return await self._keys.unwrap(str(wrapped), bound)

    def _require(self) -> Sealer:
        if self._sealer is None:
            raise RuntimeError("Columns.ready was not awaited")
        return self._sealer
