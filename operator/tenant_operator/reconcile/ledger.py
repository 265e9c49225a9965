"""The ledger: each tenant's TenantRecord, found, made, rebuilt from the namespace's labels, and brought from state to state."""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tenant_operator.api.common import API_VERSION
from tenant_operator.api.names import (
    ANNOTATION_SPEC,
    LABEL_MANAGED_BY,
    LABEL_REGION,
    LABEL_TENANT,
    LABEL_TENANT_ID,
    MANAGED_BY,
    PLATFORM_LOG,
    Names,
)
from tenant_operator.api.record import RecordState
from tenant_operator.errors import AlreadyThere, Retryable
from tenant_operator.ports import Clock, Cluster, Planned, Recorder
from tenant_operator.stack.part import Manifest, ObjectKey

_ACTIONS: Mapping[RecordState, str] = {
    "Live": "operator:tenant:restore",
    "Retained": "operator:tenant:retain",
    "Destroyed": "operator:offboarding:certify",
}


def record_key(tenant: str) -> ObjectKey:
    """Return the key of a tenant's record."""
    return ObjectKey(API_VERSION, "TenantRecord", "", tenant)


def namespace_key(tenant: str) -> ObjectKey:
    """Return the key of a tenant's namespace."""
    return ObjectKey("v1", "Namespace", "", Names(tenant, "").namespace)


@dataclass
class Ledger:
    """Reads and writes TenantRecords. Every write is an act in the platform's log."""

    cluster: Cluster
    recorder: Recorder
    clock: Clock

    def find(self, tenant: str) -> Manifest | None:
        """Return a tenant's record."""
        return self.cluster.get(record_key(tenant))

    def identity_of_namespace(self, tenant: str) -> str:
        """Return the id on the tenant's namespace, or nothing."""
        live = self.cluster.get(namespace_key(tenant))
        return ((live or {}).get("metadata", {}).get("labels") or {}).get(LABEL_TENANT_ID, "") if live else ""

    async def open(self, tenant: str, spec: Mapping[str, Any], serving: str = "") -> Manifest:
        """Make a new tenant's record, with a new id, or with the one its namespace carries."""
        identity = self.identity_of_namespace(tenant)
        rebuilt = bool(identity)
        body = self._body(tenant, identity or str(uuid.uuid4()), str(spec["region"]), spec)
        text = "the record was rebuilt from the namespace's labels" if rebuilt else "first onboarding"
        return await self._create(
            body, "operator:tenant:restore" if rebuilt else "operator:tenant:onboard", text, serving
        )

    async def rebuild(self, namespace: Manifest) -> Manifest:
        """Make the record of a tenant that has a namespace and neither Tenant nor record, as after a CRD was reinstalled."""
        meta = namespace["metadata"]
        labels = meta["labels"]
        spec = json.loads(meta.get("annotations", {}).get(ANNOTATION_SPEC, "{}")) or None
        body = self._body(labels[LABEL_TENANT], labels[LABEL_TENANT_ID], labels.get(LABEL_REGION, ""), spec)
        return await self._create(body, "operator:tenant:restore", "the record was rebuilt from the namespace's labels")

    def _body(self, tenant: str, identity: str, region: str, spec: Mapping[str, Any] | None) -> Manifest:
        record: dict[str, Any] = {
            "tenant": tenant,
            "id": identity,
            "region": region,
            "state": "Live",
            "since": self._now(),
        }
        if spec:
            record["lastSpec"] = dict(spec)
        # Not labelled with the tenant's id: labels mark what belongs to the stack, and the record outlives it.
        metadata = {"name": tenant, "labels": {LABEL_MANAGED_BY: MANAGED_BY, LABEL_TENANT: tenant}}
        return {"apiVersion": API_VERSION, "kind": "TenantRecord", "metadata": metadata, "spec": record}

    async def _create(self, body: Manifest, action: str, text: str, serving: str = "") -> Manifest:
        tenant = body["metadata"]["name"]
        said = f"{text}: id {body['spec']['id']}"
        planned = Planned(action, "TenantRecord", tenant, reason="Onboarding", text=said, request=serving)
        async with self.recorder.acts(PLATFORM_LOG, [planned]) as (act,):
            try:
                made = await self.cluster.create(body)
            except AlreadyThere as error:
                raise Retryable("the record exists already; looking again") from error
            act.done("ok", f"id {body['spec']['id']}")
        return made

    async def keep_spec(
        self, record: Manifest, spec: Mapping[str, Any], generation: int, serving: str = ""
    ) -> Manifest:
        """Keep the newest spec in the record, so that a deleted tenant can still be stopped and described."""
        if record["spec"].get("lastSpec") == spec:
            return record
        planned = Planned(
            "operator:tenant:update",
            "TenantRecord",
            record["metadata"]["name"],
            reason="Specification",
            text=f"generation {generation}",
            change=_changes(record["spec"].get("lastSpec") or {}, spec),
            request=serving,
        )
        async with self.recorder.acts(PLATFORM_LOG, [planned]) as (act,):
            kept = await self.cluster.apply(self._applied(record, lastSpec=dict(spec)))
            act.done()
        return kept

    async def keep_inventory(self, record: Manifest, inventory: Sequence[Mapping[str, Any]]) -> None:
        """Say in the record where the tenant's bytes lie: it outlives the Tenant. An observation, not a change of the stack."""
        if (record.get("status") or {}).get("inventory") != inventory:
            await self.cluster.write_status(record, {"inventory": list(inventory)})

    async def move(self, record: Manifest, state: RecordState, why: str, serving: str = "") -> Manifest:
        """Bring a record into another state."""
        planned = Planned(
            _ACTIONS[state],
            "TenantRecord",
            record["metadata"]["name"],
            reason=state,
            text=why,
            change=[("/state", record["spec"]["state"], state)],
            request=serving,
        )
        async with self.recorder.acts(PLATFORM_LOG, [planned]) as (act,):
            moved = await self.cluster.apply(self._applied(record, state=state, since=self._now()))
            act.done()
        return moved

    def _applied(self, record: Manifest, **changes: Any) -> Manifest:
        meta = record["metadata"]
        metadata = {"name": meta["name"], "labels": meta.get("labels", {})}
        spec = {**record["spec"], **changes}
        return {"apiVersion": API_VERSION, "kind": "TenantRecord", "metadata": metadata, "spec": spec}

    def _now(self) -> str:
        return self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    names = sorted({*old, *new})
    return [(f"/spec/{name}", old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)]
