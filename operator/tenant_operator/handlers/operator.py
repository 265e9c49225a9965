"""The operator at work: from what changed to who has to look, the workers, and the background duties."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any

from tenant_operator.api.common import API_VERSION
from tenant_operator.api.names import LABEL_TENANT, PLATFORM_LOG
from tenant_operator.clients.audit import SERVING, AuditRecorder
from tenant_operator.clients.cluster import KubernetesCluster
from tenant_operator.clients.resources import OURS
from tenant_operator.clients.watches import Watch, Watches
from tenant_operator.errors import CloisterError
from tenant_operator.handlers import bootstrap, metrics
from tenant_operator.handlers.admission_watch import AdmissionWatch
from tenant_operator.offboarding.offboarder import Offboarder
from tenant_operator.ports import Planned
from tenant_operator.reconcile.audit_copies import AuditCopies
from tenant_operator.reconcile.audit_keys import AuditKeys
from tenant_operator.reconcile.queue import Priority, WorkQueue
from tenant_operator.reconcile.reconciler import Reconciler
from tenant_operator.stack import stamp
from tenant_operator.stack.derive import Deriver
from tenant_operator.stack.part import Manifest, ObjectKey

_AUDIT_PING_SECONDS = 10.0
_AFTER_A_BUG_SECONDS = 15.0
_log = logging.getLogger(__name__)


@dataclass
class Operator:
    """Everything that runs, and what it runs on."""

    workers: int
    audit_namespace: str
    witness_namespace: str
    cluster: KubernetesCluster
    recorder: AuditRecorder
    reconciler: Reconciler
    offboarder: Offboarder
    derive: Deriver
    begun: Planned
    copies: AuditCopies
    admission: AdmissionWatch | None = None
    audit_keys: AuditKeys | None = None
    """There where the audit service's keys are in Vault."""
    watches: Watches | None = None
    home_watches: list[Watch] = field(default_factory=list)
    queue: WorkQueue = field(default_factory=WorkQueue)
    offboardings: WorkQueue = field(default_factory=WorkQueue)
    listed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once our own kinds were listed: before that, absence in the store means nothing."""
    synced: bool = False
    audit_up: bool = False

    def child_changed(self, key: ObjectKey, manifest: Manifest | None) -> None:
        """Say which tenant a change of an object in its stack concerns. Nodes and volumes are seen at its next look."""
        if key.kind in {"Node", "PersistentVolume"}:
            return
        labels = (manifest or {}).get("metadata", {}).get("labels") or {}
        tenant = labels.get(LABEL_TENANT) or (key.namespace or key.name).removeprefix("tenant-")
        self.queue.add(tenant, Priority.DRIFT)

    def home_changed(self, manifest: Manifest | None) -> None:
        """Look again when a bind secret or a CA in the operator's own namespace changed."""
        self.copies.wake()
        tenant = ((manifest or {}).get("metadata", {}).get("labels") or {}).get(LABEL_TENANT)
        if tenant:
            self.queue.add(tenant, Priority.EDIT)
        elif manifest is None or manifest["kind"] == "ConfigMap":
            self._look_at_all(Priority.RESYNC)

    def ours_changed(self, manifest: Manifest, *, deleted: bool) -> None:
        """Take one of our own kinds from kopf into the store, and say who has to look."""
        news = self.cluster.store.remove(manifest) if deleted else self.cluster.store.put(manifest)
        if not news:
            return
        if self.admission and not deleted:
            self.admission.saw(manifest)
        kind, name, spec = manifest["kind"], manifest["metadata"]["name"], manifest.get("spec", {})
        match kind:
            case "Tenant" | "TenantRecord":
                self.queue.add(name, Priority.EDIT)
            case "Region" | "TenantClass":
                self.copies.wake()
                self._look_at_all(Priority.RESYNC)
            case "TenantOffboarding":
                self.offboardings.add(name, Priority.EDIT)
                self.queue.add(spec.get("tenant", ""), Priority.EDIT)
            case "TenantApproval":
                self.offboardings.add(spec.get("offboarding", ""), Priority.EDIT)
            case "TenantHold":
                self._hold_changed(spec.get("tenant", ""))
            case _:
                pass

    def _hold_changed(self, tenant: str) -> None:
        for item in self.cluster.list("TenantOffboarding"):
            if item["spec"]["tenant"] == tenant:
                self.offboardings.add(item["metadata"]["name"], Priority.EDIT)

    def _look_at_all(self, priority: Priority) -> None:
        for tenant in self.cluster.list("Tenant"):
            self.queue.add(tenant["metadata"]["name"], priority)

    async def run(self) -> None:
        """Work until cancelled: the watches first, and once all that exists was seen the workers.

        Our own kinds are listed by whoever watches them (`handlers/kinds.py`). A duty that fails ends all with its error: an
        operator that goes on without one would be alive, and silently blind or idle.
        """
        async with asyncio.TaskGroup() as group:
            watches = self._watches()
            for duty in (
                watches.run(),
                self._ping_audit(),
                self._renew(),
                *(watch.run() for watch in self.home_watches),
            ):
                group.create_task(duty)
            await self.listed.wait()
            await watches.synced()
            for watch in self.home_watches:
                await watch.synced.wait()
            self.synced = True
            self._look_at_everything()
            for duty in (*(self.queue.work(self._reconcile) for _ in range(self.workers)), *self._single_duties()):
                group.create_task(duty)

    def _look_at_everything(self) -> None:
        names = {item["metadata"]["name"] for kind in ("Tenant", "TenantRecord") for item in self.cluster.list(kind)}
        for name in names:
            self.queue.add(name, Priority.RESYNC)
        self._look_at_offboardings()
        _log.info("started: %d tenants known, %d objects watched", len(names), len(self.cluster.store))

    def _look_at_offboardings(self) -> None:
        for item in self.cluster.list("TenantOffboarding"):
            self.offboardings.add(item["metadata"]["name"], Priority.RESYNC)

    def _single_duties(self) -> Iterator[Coroutine[Any, Any, None]]:
        yield self.offboardings.work(self._offboard)
        yield self.copies.run()
        if self.admission:
            yield self.admission.run()
        if self.audit_keys:
            yield self.audit_keys.run()

    async def relist(self) -> None:
        """List our own kinds anew: what went while nobody watched is gone from the store, and whoever it concerns looks."""
        changed = await self.cluster.prime([resource.kind for resource in OURS])
        self.listed.set()
        for key in changed:
            if key.kind in {"Tenant", "TenantRecord"}:
                self.queue.add(key.name, Priority.EDIT)
            item = self.cluster.get(key)
            if item and self.admission:  # kopf will show it too, but then it is no news
                self.admission.saw(item)
        if not changed:
            return
        self.copies.wake()
        self._look_at_all(Priority.RESYNC)
        self._look_at_offboardings()

    def _watches(self) -> Watches:
        if self.watches is None:
            raise RuntimeError("the operator was started before it was wired")
        return self.watches

    def dead(self) -> list[str]:
        """Return the kinds whose watch is silent for too long."""
        return self._watches().dead() if self.synced else []

    async def _reconcile(self, tenant: str) -> None:
        started = time.perf_counter()
        metrics.QUEUE.set(len(self.queue))
        metrics.OBJECTS.set(len(self.cluster.store))
        delay, result = _AFTER_A_BUG_SECONDS, "error"
        try:
            delay = await self.reconciler.reconcile(tenant)
            result = "ok"
        except Exception:  # a mistake of ours in one tenant must not stop the work for the others
            _log.exception("tenant %s: a mistake in the operator", tenant)
        metrics.RECONCILES.labels(result).inc()
        metrics.RECONCILE_SECONDS.observe(time.perf_counter() - started)
        known = self.cluster.get(ObjectKey(API_VERSION, "Tenant", "", tenant)) or self.reconciler.ledger.find(tenant)
        if known:
            self.queue.add(tenant, Priority.RESYNC, delay)

    async def _offboard(self, name: str) -> None:
        try:
            delay = await self._bring_further(name)
        except CloisterError as error:
            _log.warning("offboarding %s: %s", name, error.message)
            delay = 5.0
        except Exception:  # as above
            _log.exception("offboarding %s: a mistake in the operator", name)
            delay = _AFTER_A_BUG_SECONDS
        if delay is not None:
            self.offboardings.add(name, Priority.RESYNC, delay)

    async def _bring_further(self, name: str) -> float | None:
        asked = self.cluster.get(ObjectKey(API_VERSION, "TenantOffboarding", "", name))
        found = stamp.genuine(stamp.key_of(self.derive), asked) if asked else None
        serving = SERVING.set(found.entry if found else "")
        try:
            again = await self.offboarder.reconcile(name)
        finally:
            SERVING.reset(serving)
        return again.total_seconds() if again is not None else None

    async def _ping_audit(self) -> None:
        announced = False
        while True:
            self.heard_audit(await self.recorder.alive())
            self._count_tenants()
            if self.audit_up and not announced:
                try:
                    await self.recorder.note(PLATFORM_LOG, self.begun)
                    announced = True
                except CloisterError as error:
                    _log.warning("the start could not be recorded yet: %s", error.message)
            await asyncio.sleep(_AUDIT_PING_SECONDS if self.audit_up and announced else 1.0)

    def _count_tenants(self) -> None:
        phases = Counter((item.get("status") or {}).get("phase", "New") for item in self.cluster.list("Tenant"))
        metrics.TENANTS.clear()
        for phase, count in phases.items():
            metrics.TENANTS.labels(phase).set(count)

    def heard_audit(self, up: bool) -> None:  # noqa: FBT001 - a callback of one flag
        """Note whether the audit service answers; all tenants say so at once when that changes."""
        if up != self.audit_up:
            self.audit_up = up
            metrics.AUDIT_UP.set(up)
            self._look_at_all(Priority.DRIFT)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(bootstrap.RENEW_EVERY.total_seconds())
            try:
                await bootstrap.ensure_audit_secrets(
                    self.cluster,
                    self.derive,
                    self.audit_namespace,
                    self.witness_namespace,
                    in_vault=self.audit_keys is not None,
                )
            except CloisterError as error:  # the next round tries again, long before a certificate ends
                _log.warning("the audit service's certificates could not be looked at: %s", error.message)
