"""Destroying a tenant, one thing at a time, each act allowed anew just before it and each absence proved by a list after it.

What was seen to be absent is saved with its evidence, so after a kill the walk goes on where it was; before the certificate
everything is listed once more, whatever the saved steps say.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tenant_operator.api.reasons import Reason
from tenant_operator.errors import Refused
from tenant_operator.offboarding.journal import Journal
from tenant_operator.offboarding.ports import KeyVault
from tenant_operator.offboarding.removals import VOLUME_GROUP, WORKLOADS, Item, plan
from tenant_operator.offboarding.state import stamp
from tenant_operator.offboarding.volumes import Check, Volumes
from tenant_operator.ports import Clock, Cluster, OutsideSystem, Planned, Recorder
from tenant_operator.stack.part import Context, ExternalKey, Manifest, ObjectKey, Part

ABSENT = "Absent"
SEALED = "Sealed"
PROVE = "operator:offboarding:prove"


@dataclass
class Destroyer:
    """Walks over the parts in reverse. `advance` may be called any number of times; it destroys only what still exists."""

    cluster: Cluster
    outside: Mapping[str, OutsideSystem]
    keys: KeyVault
    recorder: Recorder
    clock: Clock
    parts: Sequence[Part]

    def __post_init__(self) -> None:
        """Make the helper that knows volumes."""
        self._volumes = Volumes(self.cluster, self.recorder)

    async def advance(self, ctx: Context, journal: Journal, check: Check) -> str:
        """Destroy what can be destroyed now. Return what is being waited for, or nothing when all is proved absent."""
        items = plan(ctx, self.parts)
        for group in sorted({0, VOLUME_GROUP, *(item.group for item in items)}):
            mine = [item for item in items if item.group == group]
            waiting = [item.name for item in mine if not await self._gone(ctx, journal, check, item)]
            if group == 0:
                waiting += await self._stray_workloads(ctx, check)
            if group == VOLUME_GROUP:
                waiting += await self._volumes.advance(ctx, journal, check)
            if waiting:
                return f"waiting for {', '.join(waiting)} to be gone"
        return ""

    async def reappeared(self, ctx: Context) -> list[str]:
        """Return what is there although it was destroyed; asked once more before the certificate."""
        found = [item.name for item in plan(ctx, self.parts) if not await self._absent(ctx, item)]
        return [*found, *(f"volume {name}" for name in await self._volumes.bound(ctx))]

    async def _gone(self, ctx: Context, journal: Journal, check: Check, item: Item) -> bool:
        step = journal.step(item.name)
        if step and step.state == ABSENT:
            return True
        await self._seal_canary(ctx, journal, item)
        if await self._absent(ctx, item):
            await self._prove(ctx, journal, item, there_before=step is not None)
            return True
        await check()
        await journal.mark(item.name, "Deleting")
        await self._destroy(ctx, journal, check, item)
        if not await self._absent(ctx, item):
            return False
        await self._prove(ctx, journal, item, there_before=True)
        return True

    async def _destroy(self, ctx: Context, journal: Journal, check: Check, item: Item) -> None:
        key = item.key
        if isinstance(key, ObjectKey):
            live = await self.cluster.read(key)
            if live is None:
                return
            if key.kind == "PersistentVolumeClaim":
                await self._volumes.release(ctx, journal, check, live)
            if live["metadata"].get("deletionTimestamp"):
                return
            planned = Planned(item.action, key.kind, key.name, key.namespace, "Offboarding", "destruction")
            async with self.recorder.acts(ctx.names.audit_log, [planned]) as (act,):
                await check()
                await self.cluster.delete(live)
                act.done("ok", "deletion asked for")
            return
        planned = Planned(item.action, f"{key.system}-{key.kind}", key.name, "", "Offboarding", "destruction")
        async with self.recorder.acts(ctx.names.audit_log, [planned]) as (act,):
            await check()
            await self._system(key).delete(ctx, key)
            act.done("ok", "deleted")

    async def _stray_workloads(self, ctx: Context, check: Check) -> list[str]:
        """Delete whatever else could still run in the namespace; wait until no pod is left that could hold a volume."""
        strays: list[Manifest] = []
        for version, kind in WORKLOADS:
            listed = await self.cluster.read_list(version, kind, ctx.namespace)
            strays += [{"apiVersion": version, "kind": kind, **item} for item in listed]
        for live in strays:
            key = ObjectKey.of(live)
            if live["metadata"].get("deletionTimestamp"):
                continue
            planned = Planned("operator:object:delete", key.kind, key.name, key.namespace, "Offboarding", "left over")
            async with self.recorder.acts(ctx.names.audit_log, [planned]) as (act,):
                await check()
                await self.cluster.delete(live)
                act.done("ok", "deletion asked for")
        pods = await self.cluster.read_list("v1", "Pod", ctx.namespace)
        return [*(str(ObjectKey.of(live)) for live in strays), *(f"pod {pod['metadata']['name']}" for pod in pods)]

    async def _absent(self, ctx: Context, item: Item) -> bool:
        key = item.key
        if isinstance(key, ObjectKey):
            listed = await self.cluster.read_list(key.api_version, key.kind, key.namespace or None)
            return key.name not in _names(listed)
        return await self._system(key).is_absent(ctx, key)

    async def _prove(self, ctx: Context, journal: Journal, item: Item, *, there_before: bool) -> None:
        """Record the absence and save its evidence; a sealing key is absent only if its canary opens no more."""
        at = stamp(self.clock.now())
        evidence = f"{item.proof} (listed at {at})"
        canary = journal.step(_canary(item))
        if canary and canary.state == SEALED:
            if await self.keys.opens(ctx, item.key.name, canary.evidence):
                raise Refused(f"{item.name} is not listed, yet what it sealed still opens", reason=Reason.VAULT_REFUSED)
            evidence += f"; what it sealed at {canary.at} opened then and opens no more"
        elif not there_before:
            evidence += "; it was not there when the destruction came to it"
        planned = Planned(PROVE, item.key.kind, item.key.name, reason="Offboarding", text=evidence)
        await self.recorder.note(ctx.names.audit_log, planned)
        await journal.mark(item.name, ABSENT, evidence)

    async def _seal_canary(self, ctx: Context, journal: Journal, item: Item) -> None:
        """Seal something with the key and save it before the key can go: only then is its failing to open a proof."""
        if item.key.kind != "key" or item.key.name != ctx.names.transit_key or journal.step(_canary(item)):
            return
        if await self._absent(ctx, item):
            return
        ciphertext = await self.keys.encrypt(ctx, item.key.name, secrets.token_bytes(32))
        if not await self.keys.opens(ctx, item.key.name, ciphertext):
            raise Refused(f"{item.name} does not open what it just sealed", reason=Reason.VAULT_REFUSED)
        await journal.mark(_canary(item), SEALED, ciphertext)

    def _system(self, key: ExternalKey) -> OutsideSystem:
        if key.system not in self.outside:
            raise Refused(f"nothing here can destroy {key}", reason=Reason.INVALID_SPEC)
        return self.outside[key.system]


def _canary(item: Item) -> str:
    return f"canary of {item.name}"


def _names(listed: Iterable[Manifest]) -> set[str]:
    return {live["metadata"]["name"] for live in listed}
