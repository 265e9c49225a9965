"""Readiness: the parts that every request needs, asked for real."""

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import dataclass

from tenant_app.adapters.ports import AuditLog, Directory, Keys
from tenant_app.errors import AppError
from tenant_app.storage.database import Database

# The kubelet gives a probe three seconds; a part that hangs is a part that is away.
PATIENCE = 2.5
# What is only told, not needed, is not asked at every probe.
REMEMBER = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part's answer. `needed`: not ready without it."""

    name: str
    ok: bool
    needed: bool
    problem: str = ""


class Health:
    """Asks database, Vault, audit and directory at the same time."""

    def __init__(self, database: Database, keys: Keys, audit: AuditLog, directory: Directory) -> None:
        self._database = database
        self._keys = keys
        self._audit = audit
        self._directory = directory
        self._told: tuple[float, list[Part]] = (float("-inf"), [])

    async def look(self) -> list[Part]:
        """Return each part's state.

        The audit service and the directory are told but not needed: while one is away people who are signed in read on,
        and taking the pod out of service would end that.
        """
        needed, told = await asyncio.gather(
            asyncio.gather(
                _ask("database", self._ask_database(), needed=True), _ask("vault", self._keys.check(), needed=True)
            ),
            self._others(),
        )
        return [*needed, *told]

    async def _others(self) -> list[Part]:
        at, told = self._told
        if time.monotonic() - at > REMEMBER or not all(part.ok for part in told):
            told = list(
                await asyncio.gather(
                    _ask("audit", self._audit.check(), needed=False),
                    _ask("directory", self._directory.check(), needed=False),
                )
            )
            self._told = time.monotonic(), told
        return told

    async def _ask_database(self) -> None:
        async with self._database.transaction() as conn:
            await conn.execute("SELECT seq FROM chain_head")


async def _ask(name: str, question: Awaitable[None], *, needed: bool) -> Part:
    try:
        await asyncio.wait_for(question, PATIENCE)
    except AppError as error:
        return Part(name=name, ok=False, needed=needed, problem=error.code)
    except TimeoutError:
        return Part(name=name, ok=False, needed=needed, problem="no answer in time")
    return Part(name=name, ok=True, needed=needed)
