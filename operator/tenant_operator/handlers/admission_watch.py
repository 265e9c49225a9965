"""What went past the admission webhook, noticed afterwards and recorded; and whether the webhook is registered as it should be.

The webhook can be taken out of the way (docs/runbooks/break-glass.md). Then two things remain to be seen: its configuration
is gone or altered, and an object of our kinds is otherwise than its stamp says. Both become entries, once each.
"""

import asyncio
import base64
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from audit_contract.client import AuditConflict
from tenant_operator.api.common import API_VERSION
from tenant_operator.api.names import ADMISSION, LABEL_MANAGED_BY, MANAGED_BY, PLATFORM_LOG, Names
from tenant_operator.clients.audit import AuditRecorder
from tenant_operator.clients.cluster import KubernetesCluster
from tenant_operator.clients.resources import OURS, WEBHOOKS
from tenant_operator.clients.store import Store
from tenant_operator.clients.watches import Watch
from tenant_operator.errors import CloisterError, Refused
from tenant_operator.handlers import bootstrap, metrics
from tenant_operator.handlers.settings import AdmissionConfig
from tenant_operator.ports import Planned
from tenant_operator.reconcile.compare import differences
from tenant_operator.reconcile.queue import Priority, WorkQueue
from tenant_operator.stack import stamp
from tenant_operator.stack.derive import Deriver
from tenant_operator.stack.part import Manifest, ObjectKey

_WEBHOOKS: Final = "webhooks"
_AGAIN_SECONDS: Final = 5.0
_SHOWN: Final = 6
_log = logging.getLogger(__name__)


def secret(derive: Deriver, namespace: str, now: datetime) -> Manifest:
    """Return the webhook's Secret: its certificate, the authority that the audit service is known by, the stamping key."""
    host = f"{ADMISSION}.{namespace}.svc"
    pair = derive.certificate("platform/admission", (host, "localhost"), now)
    key = base64.b64encode(stamp.key_of(derive)).decode()
    values = {"tls.crt": pair.certificate, "tls.key": pair.key, "ca.crt": derive.ca.certificate, "stamp.key": key}
    data = {name: base64.b64encode(value.encode()).decode() for name, value in sorted(values.items())}
    metadata = {"name": ADMISSION, "namespace": namespace, "labels": {LABEL_MANAGED_BY: MANAGED_BY}}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": data}


async def ensure_secret(cluster: KubernetesCluster, derive: Deriver, namespace: str) -> list[str]:
    """Make or renew the Secret; return its name when it was changed. It precedes the log, as the audit service's do."""
    wanted = secret(derive, namespace, datetime.now(UTC))
    live = await cluster.read(ObjectKey.of(wanted))
    if live is None:
        await cluster.create(wanted)
    elif differences(wanted, live):
        await cluster.apply(wanted, force=True)
    else:
        return []
    return [ADMISSION]


def bundle(derive: Deriver) -> str:
    """Return the authority that the API server has to trust, as a webhook configuration holds it."""
    return base64.b64encode(derive.ca.certificate.encode()).decode()


def without_trust(live: Manifest) -> tuple[Manifest, set[str]]:
    """Return a configuration without its caBundles, and these."""
    found: set[str] = set()
    webhooks = []
    for item in live.get("webhooks") or []:
        client = dict(item.get("clientConfig") or {})
        found.add(client.pop("caBundle", ""))
        webhooks.append({**item, "clientConfig": client})
    return {**live, "webhooks": webhooks}, found


def trusting(live: Manifest, ca: str) -> dict[str, Any]:
    """Return the patch that puts the authority into every webhook of a configuration."""
    webhooks = live.get("webhooks") or []
    return {
        "webhooks": [
            {**item, "clientConfig": {**(item.get("clientConfig") or {}), "caBundle": ca}} for item in webhooks
        ]
    }


async def ensure_trust(cluster: KubernetesCluster, derive: Deriver, config: AdmissionConfig) -> list[str]:
    """Put our authority into the configurations that the chart made; return what was changed. Precedes the log likewise."""
    changed = []
    for wanted in config.configurations if config.puts_trust else ():
        live = await cluster.read(ObjectKey.of(wanted))
        if live is not None and without_trust(live)[1] != {bundle(derive)}:
            await cluster.patch(live, trusting(live, bundle(derive)))
            changed.append(f"{wanted['kind']}'s caBundle")
    return changed


def entry_id(item: Manifest) -> str:
    """Return the id of the entry about an object's generation: the same in every process, so that it is recorded once."""
    meta = item["metadata"]
    made = datetime.fromisoformat(meta["creationTimestamp"])
    rest = hashlib.sha256(f"{meta['uid']}/{meta['generation']}".encode()).digest()[:10]
    value = int(made.timestamp() * 1000) << 80 | int.from_bytes(rest)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    digits = f"{value:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


@dataclass
class AdmissionWatch:
    """Looks at every object of our kinds once a generation, and at the two configurations whenever they change."""

    cluster: KubernetesCluster
    recorder: AuditRecorder
    derive: Deriver
    namespace: str
    config: AdmissionConfig
    queue: WorkQueue = field(default_factory=WorkQueue)
    registered: KubernetesCluster = field(init=False)
    """The configurations, as their watches see them."""
    watches: Sequence[Watch] = field(init=False)
    _seen: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    _said: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        transport = self.cluster.transport
        self.registered = KubernetesCluster(transport, Store())
        self.watches = [
            Watch(transport, self.registered.store, kind, lambda *_: self._look_again(), name=ADMISSION)
            for kind in WEBHOOKS
        ]

    def _look_again(self) -> None:
        self.queue.add(_WEBHOOKS, Priority.EDIT)

    def saw(self, item: Manifest) -> None:
        """Take an object of our kinds that changed. Records are the operator's own, and have its intents in the log."""
        kind, meta = item["kind"], item["metadata"]
        if kind == "TenantRecord":
            return
        name = f"{kind}/{meta['name']}"
        state = (meta["uid"], meta.get("generation"), str(stamp.read(item)))
        if self._seen.get(name) != state:
            self._seen[name] = state
            self.queue.add(name, Priority.DRIFT)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for watch in self.watches:
                group.create_task(watch.run())
            group.create_task(self._renew())
            for watch in self.watches:
                await watch.synced.wait()
            self._look_again()
            for kind in OURS:
                for item in self.cluster.list(kind.kind):
                    self.saw(item)
            group.create_task(self.queue.work(self._look))

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(bootstrap.RENEW_EVERY.total_seconds())
            try:
                await ensure_secret(self.cluster, self.derive, self.namespace)
            except CloisterError as error:  # the next round tries again, long before the certificate ends
                _log.warning("the webhook's certificate could not be looked at: %s", error.message)

    async def _look(self, name: str) -> None:
        try:
            await (self._look_at_webhooks() if name == _WEBHOOKS else self._look_at(name))
        except CloisterError as error:
            _log.warning("admission of %s: %s", name, error.message)
            self.queue.add(name, Priority.RESYNC, _AGAIN_SECONDS)
        except Exception:  # a mistake of ours about one object must not end the watch over the others
            _log.exception("admission of %s: a mistake in the operator", name)

    async def _look_at(self, name: str) -> None:
        kind, _, called = name.partition("/")
        item = self.cluster.get(ObjectKey(API_VERSION, kind, "", called))
        if item is None:
            self._seen.pop(name, None)
            return
        fault = stamp.fault(stamp.key_of(self.derive), item)
        if not fault:
            return
        text = f"generation {item['metadata']['generation']} was not admitted by the webhook: {fault}"
        _log.warning("%s: %s", name, text)
        found = Planned(
            "operator:admission:absent", kind, called, reason="NotAdmitted", text=text, entry=entry_id(item)
        )
        try:
            await self.recorder.note(self._log_of(item), found, "error")
        except Refused as error:
            if not isinstance(error.__cause__, AuditConflict):
                raise  # else an operator before this one has recorded it, at another time

    def _log_of(self, item: Manifest) -> str:
        spec = item.get("spec") or {}
        tenant = item["metadata"]["name"] if item["kind"] == "Tenant" else spec.get("tenant", "")
        if item["kind"] == "TenantApproval":
            asked = self.cluster.get(ObjectKey(API_VERSION, "TenantOffboarding", "", spec.get("offboarding", "")))
            tenant = ((asked or {}).get("spec") or {}).get("tenant", "")
        record = self.cluster.get(ObjectKey(API_VERSION, "TenantRecord", "", tenant)) if tenant else None
        return Names(tenant, record["spec"]["id"]).audit_log if record else PLATFORM_LOG

    async def _look_at_webhooks(self) -> None:
        whole = True
        for wanted in self.config.configurations:
            live = self.registered.get(ObjectKey.of(wanted))
            fault = self._fault(wanted, live)
            whole = whole and not fault
            metrics.ADMISSION.set(whole)
            await self._say(wanted["kind"], fault)
            if live is not None and self.config.puts_trust and without_trust(live)[1] != {bundle(self.derive)}:
                await self._put_trust(live)

    def _fault(self, wanted: Manifest, live: Manifest | None) -> str:
        if live is None:
            return "it is gone: changes of our kinds are neither recorded nor refused"
        bare, trusted = without_trust(live)
        paths = differences(dict(wanted), bare)
        if trusted != {bundle(self.derive)}:
            paths.append("webhooks[].clientConfig.caBundle")
        return f"it is not as it was installed: {', '.join(paths[:_SHOWN])}" if paths else ""

    async def _say(self, kind: str, fault: str) -> None:
        if self._said.get(kind, "") == fault:
            return
        text = fault or "it is whole again: every change of our kinds is recorded before it is made"
        reason = "WebhookAltered" if fault else "WebhookWhole"
        found = Planned("operator:webhook:observe", kind, ADMISSION, reason=reason, text=text)
        _log.warning("%s %s: %s", kind, ADMISSION, text)
        await self.recorder.note(PLATFORM_LOG, found, "error" if fault else "ok")
        self._said[kind] = fault

    async def _put_trust(self, live: Manifest) -> None:
        planned = Planned(
            "operator:object:apply", live["kind"], ADMISSION, reason="Drift", text="its caBundle is not our authority"
        )
        async with self.recorder.acts(PLATFORM_LOG, [planned]) as (act,):
            await self.registered.patch(live, trusting(live, bundle(self.derive)))
            act.done()
        self._look_again()  # our own write is no news to the watch
