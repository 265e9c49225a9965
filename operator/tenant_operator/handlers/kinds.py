"""kopf, run in a thread of its own and begun anew whenever the kinds it serves are installed, removed or replaced.

kopf looks up which kinds there are by scanning the API server's discovery at each event of a CRD. Discovery follows a CRD by
some hundred milliseconds, and two scans at once may end in the wrong order; a kind that was reinstalled is then never watched
again (docs/adr/0010-kopf-begins-anew.md). So kopf scans once, at its start, and this module decides when: after the CRDs
of our group have settled and discovery agrees with them.
"""

import asyncio
import logging
import selectors
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import kopf

from tenant_operator.api.common import GROUP, VERSION
from tenant_operator.api.names import LABEL_PART_OF, PART_OF
from tenant_operator.clients.resources import CRD
from tenant_operator.clients.store import Store
from tenant_operator.clients.transport import Transport
from tenant_operator.clients.watches import DEAD_AFTER_SECONDS, Watch
from tenant_operator.errors import CloisterError, Missing
from tenant_operator.handlers import events
from tenant_operator.handlers.operator import Operator
from tenant_operator.stack.part import Manifest, ObjectKey

_SETTLE_SECONDS = 0.2
_RESTART_SECONDS = 1.0
_CLOSING_SECONDS = 5.0
_CLOSED_SECONDS = 0.01
_LISTING_SECONDS = 30.0
"""After a start kopf lists everything; a listing later than this means that a watch was lost and may have missed deletions.

What is deleted between our listing and kopf's is in neither: so this long after a start we list once more.
"""

_log = logging.getLogger(__name__)


@dataclass
class Kinds:
    """Watches the CRDs of our group, and keeps a kopf running that serves exactly them."""

    transport: Transport
    operator: Operator
    store: Store = field(default_factory=Store)
    served_at: float = field(default_factory=time.monotonic)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _relist: asyncio.Event = field(default_factory=asyncio.Event)
    _begun: float = 0.0
    _running: bool = False
    _watch: Watch = field(init=False)

    def __post_init__(self) -> None:
        selector = f"{LABEL_PART_OF}={PART_OF}"
        self._watch = Watch(self.transport, self.store, CRD, self._crd_changed, selector)

    def _crd_changed(self, _key: ObjectKey, _item: Manifest | None) -> None:
        self._changed.set()

    def installed(self) -> frozenset[tuple[str, str]]:
        """Return name and uid of each CRD of our group that is established."""
        return frozenset(
            (item["spec"]["names"]["plural"], item["metadata"]["uid"])
            for item in self.store.of_kind(CRD.kind)
            if item["spec"]["group"] == GROUP and _established(item)
        )

    def dead(self) -> list[str]:
        """Return what is silent for too long: the watch of the CRDs, or kopf itself."""
        now = time.monotonic()
        silent = [] if now - self._watch.alive_at < DEAD_AFTER_SECONDS else [CRD.plural]
        return silent if self._running or now - self.served_at < DEAD_AFTER_SECONDS else [*silent, "kopf"]

    async def run(self) -> None:
        """Serve until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch.run(), name="watch our CRDs")
            group.create_task(self._relisting(), name="list after a lost watch")
            await self._watch.synced.wait()
            while True:
                self._changed.clear()
                await self._discovered()
                await self._serve(self.installed())

    async def _discovered(self) -> None:
        """Wait until the API server's discovery lists exactly the kinds that are installed."""
        while True:
            wanted = {plural for plural, _ in self.installed()}
            try:
                if wanted == await self._discovery():
                    return
            except CloisterError as error:
                _log.info("discovery of %s: %s", GROUP, error.message)
            await asyncio.sleep(_SETTLE_SECONDS)

    async def _discovery(self) -> set[str]:
        groups = await self.transport.request("GET", "/apis")
        if not any(group["name"] == GROUP for group in groups["groups"]):
            return set()
        try:
            found = await self.transport.request("GET", f"/apis/{GROUP}/{VERSION}")
        except Missing:
            return set()
        return {item["name"] for item in found["resources"] if "/" not in item["name"]}

    async def _serve(self, kinds: frozenset[tuple[str, str]]) -> None:
        """Run one kopf until the kinds are others or it ends by itself, as it does when a kind it watches vanishes.

        This is where our kinds are listed, at the operator's start as at every other: before kopf, so that what went with a
        kind is gone from the store and what is there is known; the workers wait for the first time.
        """
        await self.operator.relist()
        stop = threading.Event()
        loop = asyncio.get_running_loop()
        memo = kopf.Memo(deliver=lambda event: loop.call_soon_threadsafe(self._deliver, event))
        self._begun = self.served_at = time.monotonic()
        self._running = True
        _log.info("serving %d kinds of %s", len(kinds), GROUP)
        serving = asyncio.create_task(asyncio.to_thread(_kopf, memo, stop))
        others = asyncio.create_task(self._others(kinds))
        once_more = loop.call_later(_LISTING_SECONDS, self._relist.set)
        try:
            await asyncio.wait({serving, others}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            others.cancel()
            once_more.cancel()
            stop.set()
            error = (await asyncio.gather(serving, return_exceptions=True))[0]
            self._running = False
        if error is not None:
            _log.warning("kopf ended and begins anew: %s: %s", type(error).__name__, error)
            await asyncio.sleep(_RESTART_SECONDS)

    async def _others(self, kinds: frozenset[tuple[str, str]]) -> None:
        """Wait until other kinds are installed than these."""
        while self.installed() == kinds:
            await self._changed.wait()
            self._changed.clear()

    def _deliver(self, event: dict[str, Any]) -> None:
        """Take an event of kopf's, in the operator's own loop."""
        if event["type"] is None and time.monotonic() - self._begun > _LISTING_SECONDS:
            self._relist.set()
        self.operator.ours_changed(event["object"], deleted=event["type"] == "DELETED")

    async def _relisting(self) -> None:
        """List anew after kopf did: its listing says what is there, but not what went while its watch was broken."""
        while True:
            await self._relist.wait()
            await asyncio.sleep(_SETTLE_SECONDS)
            self._relist.clear()
            await self.operator.relist()


def _kopf(memo: kopf.Memo, stop: threading.Event) -> None:
    selector = selectors.DefaultSelector()
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        runner.run(_kopf_and_its_connections(memo, stop, selector))


async def _kopf_and_its_connections(memo: kopf.Memo, stop: threading.Event, selector: selectors.BaseSelector) -> None:
    """Run kopf and wait until its connections are closed: it leaves those of its watches in the middle of TLS's farewell."""
    none = len(selector.get_map())
    try:
        await kopf.operator(registry=events.registry, memo=memo, clusterwide=True, standalone=True, stop_flag=stop)
    finally:
        deadline = time.monotonic() + _CLOSING_SECONDS
        while len(selector.get_map()) > none and time.monotonic() < deadline:  # noqa: ASYNC110 - a selector tells nobody
            await asyncio.sleep(_CLOSED_SECONDS)


def _established(crd: Manifest) -> bool:
    if crd["metadata"].get("deletionTimestamp"):
        return False
    conditions = (crd.get("status") or {}).get("conditions") or []
    return any(item["type"] == "Established" and item["status"] == "True" for item in conditions)
