"""Volumes: the claim goes, and then the PersistentVolume with its bytes, which a storage class may have told to stay."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from tenant_operator.offboarding.journal import Journal
from tenant_operator.offboarding.state import stamp
from tenant_operator.ports import Cluster, Planned, Recorder
from tenant_operator.stack.part import Context, Manifest, ObjectKey

Check = Callable[[], Awaitable[None]]
"""Raises unless, by facts read now, something may be destroyed. Asked within each act, after its intent and just before it."""

_GONE = "the list of the cluster's volumes does not hold it"
_STEP = "PersistentVolume "


@dataclass
class Volumes:
    """Every claim of the tenant's namespace, and every volume that was bound to one."""

    cluster: Cluster
    recorder: Recorder

    async def bound(self, ctx: Context) -> dict[str, Manifest]:
        """Return the PersistentVolumes bound, or once bound, to a claim of the namespace."""
        return _bound(ctx, await self.cluster.read_list("v1", "PersistentVolume"))

    async def release(self, ctx: Context, journal: Journal, check: Check, claim: Manifest) -> None:
        """Let the volume of a claim go with it: a volume that would be kept is told to be deleted, before its claim is."""
        name = claim["spec"].get("volumeName")
        for volume in (await self.bound(ctx)).values():
            if volume["metadata"]["name"] == name:
                await self._tell(ctx, journal, check, volume)

    async def advance(self, ctx: Context, journal: Journal, check: Check) -> list[str]:
        """Destroy claims and volumes that are left; return what is still there."""
        waiting = []
        for claim in await self.cluster.read_list("v1", "PersistentVolumeClaim", ctx.namespace):
            name = claim["metadata"]["name"]
            waiting.append(f"claim {name}")
            if not claim["metadata"].get("deletionTimestamp"):
                await self.release(ctx, journal, check, claim)
                await self._delete(ctx, check, {"apiVersion": "v1", "kind": "PersistentVolumeClaim", **claim})
        listed = await self.cluster.read_list("v1", "PersistentVolume")
        left = _bound(ctx, listed)
        for volume in left.values():
            await self._tell(ctx, journal, check, volume)
        unbound = _taken_from_its_claim(journal, listed) - set(left)
        waiting += [f"volume {name}" for name in left]
        waiting += [
            f"volume {name} (its claim was taken from it: delete it, with its bytes)" for name in sorted(unbound)
        ]
        await self._prove(ctx, journal, {*left, *unbound})
        return waiting

    async def _prove(self, ctx: Context, journal: Journal, left: set[str]) -> None:
        for step in journal.status.steps:
            name = step.name.removeprefix(_STEP)
            if name == step.name or step.state == "Absent" or name in left:
                continue
            evidence = f"{_GONE} (listed at {stamp(journal.clock.now())}); it was {step.evidence}"
            planned = Planned("operator:offboarding:prove", "PersistentVolume", name, "", "Offboarding", evidence)
            await self.recorder.note(ctx.names.audit_log, planned)
            await journal.mark(step.name, "Absent", evidence)

    async def _tell(self, ctx: Context, journal: Journal, check: Check, volume: Manifest) -> None:
        """Save that the volume exists, then change its reclaim policy: its provisioner deletes it once it is released."""
        name, spec = volume["metadata"]["name"], volume["spec"]
        where = spec.get("csi", {}).get("driver") or next(
            (kind for kind in ("hostPath", "local", "nfs") if kind in spec), ""
        )
        if journal.step(f"{_STEP}{name}") is None:
            size = spec.get("capacity", {}).get("storage", "")
            await journal.mark(
                f"{_STEP}{name}", "Deleting", f"{size} of class {spec.get('storageClassName', '')} {where}"
            )
        if spec.get("persistentVolumeReclaimPolicy") == "Delete":
            return
        change = [("/spec/persistentVolumeReclaimPolicy", spec.get("persistentVolumeReclaimPolicy"), "Delete")]
        planned = Planned(
            "operator:object:apply", "PersistentVolume", name, "", "Offboarding", "its bytes go with its claim", change
        )
        async with self.recorder.acts(ctx.names.audit_log, [planned]) as (act,):
            await check()
            await self.cluster.patch(
                {"apiVersion": "v1", "kind": "PersistentVolume", **volume},
                {"spec": {"persistentVolumeReclaimPolicy": "Delete"}},
            )
            act.done()

    async def _delete(self, ctx: Context, check: Check, live: Manifest) -> None:
        key = ObjectKey.of(live)
        planned = Planned("operator:object:delete", key.kind, key.name, key.namespace, "Offboarding", "destruction")
        async with self.recorder.acts(ctx.names.audit_log, [planned]) as (act,):
            await check()
            await self.cluster.delete(live)
            act.done("ok", "deletion asked for")


def _bound(ctx: Context, volumes: Sequence[Manifest]) -> dict[str, Manifest]:
    return {
        volume["metadata"]["name"]: volume
        for volume in volumes
        if (volume["spec"].get("claimRef") or {}).get("namespace") == ctx.namespace
    }


def _taken_from_its_claim(journal: Journal, volumes: Sequence[Manifest]) -> set[str]:
    """Return the volumes that were the tenant's when the destruction came to them and are still listed.

    Whoever clears a volume's `claimRef` keeps it, with the tenant's bytes. A volume made later has only the name in common.
    """
    made = {volume["metadata"]["name"]: volume["metadata"].get("creationTimestamp", "") for volume in volumes}
    found = set()
    for step in journal.status.steps:
        name = step.name.removeprefix(_STEP)
        if name != step.name and step.state != "Absent" and name in made and made[name] <= step.at:
            found.add(name)
    return found
