"""Watches that feed the store: list in pages, watch with bookmarks, relist after 410, never die, and say when they are dead."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from tenant_operator.api.names import LABEL_TENANT_ID
from tenant_operator.clients.resources import Resource
from tenant_operator.clients.store import Store
from tenant_operator.clients.transport import ApiError, Transport
from tenant_operator.errors import CloisterError, Missing, Retryable
from tenant_operator.stack.part import Manifest, ObjectKey

PAGE = "500"
WATCH_SECONDS = 290
DEAD_AFTER_SECONDS = 240.0
"""Bookmarks come once a minute: a stream that was silent for four is dead, whatever the socket says."""
_BACKOFF = (0.2, 0.5, 1.0, 2.0, 5.0)

_log = logging.getLogger(__name__)

Changed = Callable[[ObjectKey, Manifest | None], None]
"""Called with each object that changed; None when it is gone."""


@dataclass
class Watch:
    """One kind's watch."""

    transport: Transport
    store: Store
    resource: Resource
    changed: Changed
    selector: str = ""
    namespace: str = ""
    name: str = ""
    """Only the object of this name."""
    synced: asyncio.Event = field(default_factory=asyncio.Event)
    alive_at: float = field(default_factory=time.monotonic)
    version: str = ""

    def _query(self, **more: str) -> dict[str, str]:
        selected = {"labelSelector": self.selector} if self.selector else {}
        named = {"fieldSelector": f"metadata.name={self.name}"} if self.name else {}
        return {**selected, **named, **more}

    async def list(self) -> str:
        """List everything in pages into the store; return the resourceVersion to watch from."""
        found: list[Manifest] = []
        query = self._query(limit=PAGE)
        while True:
            page = await self.transport.request("GET", self.resource.collection(self.namespace), query=query)
            kind = {"apiVersion": self.resource.api_version, "kind": self.resource.kind}
            found += [{**kind, **item} for item in page["items"]]
            token = page["metadata"].get("continue")
            if not token:
                break
            query = self._query(limit=PAGE, **{"continue": token})
        version: str = page["metadata"]["resourceVersion"]
        for key in self.store.replace(self.resource.kind, found, int(version)):
            self.changed(key, self.store.get(key))
        self.alive_at = time.monotonic()
        self.synced.set()
        return version

    async def run(self) -> None:
        """Watch until cancelled. A broken stream goes on where it was; a version that is too old means a new list."""
        failures = 0
        while True:
            try:
                self.version = self.version or await self.list()
                await self._follow()
                failures = 0
            except CloisterError as error:
                if not isinstance(error, Retryable) or _too_old(error):
                    self.version = ""
                if not isinstance(error, Missing):  # a kind of ours that is not installed is said elsewhere
                    _log.info("watch of %s: %s", self.resource.plural, error)
                await asyncio.sleep(_BACKOFF[min(failures, len(_BACKOFF) - 1)])
                failures += 1

    async def _follow(self) -> None:
        query = self._query(
            watch="1", resourceVersion=self.version, allowWatchBookmarks="true", timeoutSeconds=str(WATCH_SECONDS)
        )
        async with self.transport.stream(self.resource.collection(self.namespace), query) as events:
            async for event in events:
                self.alive_at = time.monotonic()
                if event["type"] == "ERROR":  # 410 Gone, or anything else that a fresh list mends
                    self.version = ""
                    return
                self.version = event["object"]["metadata"]["resourceVersion"]
                self._take(event["type"], event["object"])

    def _take(self, kind: str, item: dict[str, Any]) -> None:
        if kind == "BOOKMARK":
            return
        key = ObjectKey.of(item)
        if kind == "DELETED":
            if self.store.remove(item):
                self.changed(key, None)
        elif self.store.put(item):
            self.changed(key, item)


def _too_old(error: CloisterError) -> bool:
    cause = error.__cause__
    return isinstance(cause, ApiError) and cause.status == 410  # noqa: PLR2004 - HTTP 410 Gone


class Watches:
    """All watches of the operator."""

    def __init__(
        self,
        transport: Transport,
        store: Store,
        children: Iterable[Resource],
        places: Iterable[Resource],
        changed: Changed,
    ) -> None:
        self._watches = [Watch(transport, store, item, changed, LABEL_TENANT_ID) for item in children]
        self._watches += [Watch(transport, store, item, changed) for item in places]

    async def run(self) -> None:
        """Run all watches until cancelled."""
        async with asyncio.TaskGroup() as group:
            for watch in self._watches:
                group.create_task(watch.run(), name=f"watch {watch.resource.plural}")

    async def synced(self) -> None:
        """Wait until every kind was listed once: before that, absence in the store means nothing."""
        for watch in self._watches:
            await watch.synced.wait()

    def dead(self) -> list[str]:
        """Return the kinds whose watch has been silent for too long; liveness fails when there is one."""
        now = time.monotonic()
        return [watch.resource.plural for watch in self._watches if now - watch.alive_at > DEAD_AFTER_SECONDS]
