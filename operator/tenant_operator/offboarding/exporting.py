"""Making the export, and believing in it only after the operator itself has read every byte of it back."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from tenant_operator.api.names import LABEL_COMPONENT
from tenant_operator.api.offboarding import ExportReceipt
from tenant_operator.offboarding.ports import ExportStore
from tenant_operator.offboarding.state import stamp, when
from tenant_operator.offboarding.words import FREEZE_FOR_EXPORT, Word
from tenant_operator.ports import Clock, Cluster, Planned, Recorder
from tenant_operator.stack import export
from tenant_operator.stack.part import Context, Manifest, ObjectKey

ACTION = "operator:offboarding:export"
RETRY_AFTER = timedelta(minutes=1)


@dataclass(frozen=True)
class Progress:
    """How far the export is: the receipt once it is verified."""

    reason: Word
    message: str
    receipt: ExportReceipt | None = None


@dataclass
class Exporter:
    """Brings an export one step further each time it is asked. Destroys nothing."""

    cluster: Cluster
    store: ExportStore
    recorder: Recorder
    clock: Clock

    async def advance(self, ctx: Context, offboarding: Manifest) -> Progress:
        """Start the export, look how it is, or read it back. Raises Retryable or Refused."""
        uid = offboarding["metadata"]["uid"]
        await self._prepare(ctx)
        job = await self.cluster.read(export.job_key(ctx, uid))
        if job is None:
            if waiting := await self._not_still(ctx):
                return Progress(Word.EXPORT_WAITING, waiting)
            await self._start(ctx, offboarding)
            return Progress(Word.EXPORT_RUNNING, "the export job was started")
        ended = _ended(job)
        if ended is None:
            return Progress(Word.EXPORT_RUNNING, "the export job runs")
        kind, at = ended
        receipt = await self._receipt(ctx, offboarding, job) if kind == "Complete" else None
        if receipt:
            found = await self._verify(ctx, offboarding, receipt)
        else:
            said = (await self._last_words(ctx, job)).get("error", "its pod left no receipt")
            found = Progress(Word.EXPORT_FAILED, f"the export failed and will be tried again: {said}")
        if found.receipt is None and self.clock.now() - when(at) >= RETRY_AFTER:
            await self.cluster.delete(job)
        return found

    async def confirm(self, ctx: Context, receipt: ExportReceipt) -> str:
        """Read the export in full once more; return what is wrong with it, or nothing."""
        found = await self.store.stat(ctx, receipt.bucket, receipt.key)
        if found is None:
            return f"{receipt.bucket}/{receipt.key} does not exist"
        sha256, size = hashlib.sha256(), 0
        async for chunk in self.store.stream(ctx, receipt.bucket, receipt.key):
            sha256.update(chunk)
            size += len(chunk)
        if (size, sha256.hexdigest()) != (receipt.size, receipt.sha256) or found.size != size:
            return (
                f"read {size} bytes with SHA-256 {sha256.hexdigest()}, not {receipt.size} bytes with {receipt.sha256}"
            )
        return ""

    async def tidy(self, ctx: Context, uid: str) -> None:
        """Remove the job and its signed addresses once they have served."""
        for key in export.leftovers(ctx, uid):
            live = await self.cluster.read(key)
            if live and not live["metadata"].get("deletionTimestamp"):
                async with self.recorder.acts(ctx.names.audit_log, [_planned("operator:object:delete", key)]) as (act,):
                    await self.cluster.delete(live)
                    act.done()

    async def _prepare(self, ctx: Context) -> None:
        """Stop the app, so that nothing is written after the export; run the database, which a Retained tenant has stopped."""
        wanted = [("StatefulSet", "database", 1)] + [("Deployment", "app", 0)] * FREEZE_FOR_EXPORT
        for kind, name, replicas in wanted:
            key = ObjectKey("apps/v1", kind, ctx.namespace, name)
            live = await self.cluster.read(key)
            if live is None or live["spec"].get("replicas") == replicas:
                continue
            change = [("/spec/replicas", live["spec"].get("replicas"), replicas)]
            async with self.recorder.acts(
                ctx.names.audit_log, [_planned("operator:object:scale", key, change=change)]
            ) as (act,):
                await self.cluster.patch(live, {"spec": {"replicas": replicas}})
                act.done()

    async def _not_still(self, ctx: Context) -> str:
        """Return what has to happen before the export is of everything: the app's pods ended, the database answering."""
        pods = await self.cluster.read_list("v1", "Pod", ctx.namespace)
        running = [pod for pod in pods if (pod["metadata"].get("labels") or {}).get(LABEL_COMPONENT) == "app"]
        if running and FREEZE_FOR_EXPORT:
            return f"waiting for {len(running)} pods of the app to end, so that nothing is written after the export"
        server = await self.cluster.read(ObjectKey("apps/v1", "StatefulSet", ctx.namespace, "database"))
        if server is None or not (server.get("status") or {}).get("readyReplicas"):
            return "waiting for the database to be ready"
        return ""

    async def _start(self, ctx: Context, offboarding: Manifest) -> None:
        meta, recipient = offboarding["metadata"], offboarding["spec"]["recipient"]
        bucket = await self.store.ensure_export_bucket(ctx)
        name = export.object_name(ctx.names.tenant, meta["uid"], recipient)
        receipt = export.receipt_name(ctx.names.tenant, meta["uid"])
        seconds = int(export.URLS_VALID.total_seconds())
        urls = {
            "put": await self.store.presign(ctx, "PUT", bucket, name, seconds),
            "get": await self.store.presign(ctx, "GET", bucket, name, seconds),
            "putReceipt": await self.store.presign(ctx, "PUT", bucket, receipt, seconds),
        }
        request = export.ExportRequest(meta["name"], meta["uid"], recipient, bucket, urls)
        wanted = export.manifests(ctx, request)
        planned = [_planned("operator:object:apply", ObjectKey.of(manifest)) for manifest in wanted]
        async with self.recorder.acts(ctx.names.audit_log, planned) as acts:
            for manifest, act in zip(wanted, acts, strict=True):
                await self.cluster.apply(manifest)
                act.done()

    async def _receipt(self, ctx: Context, offboarding: Manifest, job: Manifest) -> Mapping[str, Any] | None:
        """Return what the job says it wrote: from the pod, or from beside the export when the pod is gone."""
        uid, recipient = offboarding["metadata"]["uid"], offboarding["spec"]["recipient"]
        words = await self._last_words(ctx, job)
        if "sha256" not in words:
            words = await self._stored_receipt(ctx, export.receipt_name(ctx.names.tenant, uid))
        expected = export.object_name(ctx.names.tenant, uid, recipient)
        same = words.get("key") == expected and words.get("bucket") == ctx.region.object_store.export_bucket
        return words if same and "sha256" in words else None

    async def _stored_receipt(self, ctx: Context, key: str) -> Mapping[str, Any]:
        bucket = ctx.region.object_store.export_bucket
        if await self.store.stat(ctx, bucket, key) is None:
            return {}
        return _json(b"".join([chunk async for chunk in self.store.stream(ctx, bucket, key)]).decode())

    async def _last_words(self, ctx: Context, job: Manifest) -> Mapping[str, Any]:
        """Return the newest termination message of the job's pods that says something."""
        pods = await self.cluster.read_list("v1", "Pod", ctx.namespace)
        mine = [
            pod
            for pod in pods
            if any(owner.get("uid") == job["metadata"]["uid"] for owner in pod["metadata"].get("ownerReferences", ()))
        ]
        for pod in sorted(mine, key=lambda pod: pod["metadata"].get("creationTimestamp", ""), reverse=True):
            status = pod.get("status", {})
            for item in (*status.get("containerStatuses", ()), *status.get("initContainerStatuses", ())):
                ended = item.get("state", {}).get("terminated", {})
                words = _json(ended.get("message", ""))
                if words:
                    return words
                if ended.get("exitCode"):
                    text = f"container {item['name']} ended with code {ended['exitCode']} ({ended.get('reason', '')})"
                    return {"error": f"{text}: {ended.get('message', '')}"[:1000]}
        return {}

    async def _verify(self, ctx: Context, offboarding: Manifest, words: Mapping[str, Any]) -> Progress:
        receipt = ExportReceipt(
            bucket=words["bucket"],
            key=words["key"],
            sha256=words["sha256"],
            size=words["size"],
            documents=words["documents"],
            verified_at=stamp(self.clock.now()),
        )
        wrong = await self.confirm(ctx, receipt)
        result = "error" if wrong else "ok"
        text = (
            wrong or f"{receipt.size} bytes, SHA-256 {receipt.sha256}, {receipt.documents} documents, read back in full"
        )
        name = offboarding["metadata"]["name"]
        planned = Planned(ACTION, "TenantOffboarding", name, reason="Offboarding", text=f"{receipt.key}: {text}")
        await self.recorder.note(ctx.names.audit_log, planned, result)
        if wrong:
            return Progress(Word.EXPORT_MISMATCH, f"the export is not what the job wrote: {wrong}")
        return Progress(Word.EXPORT_VERIFIED, text, receipt.model_copy(update={"verified_at": stamp(self.clock.now())}))


def _planned(action: str, key: ObjectKey, **more: Any) -> Planned:
    return Planned(action, key.kind, key.name, key.namespace, reason="Offboarding", text="export", **more)


def _ended(job: Manifest) -> tuple[str, str] | None:
    for condition in (job.get("status") or {}).get("conditions", ()):
        if condition["type"] in {"Complete", "Failed"} and condition["status"] == "True":
            return condition["type"], condition["lastTransitionTime"]
    return None


def _json(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
