"""Collects everything a decision may use: the store's objects, and what Vault, PostgreSQL and object storage say."""

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from tenant_operator.api.names import LABEL_PART
from tenant_operator.errors import CloisterError
from tenant_operator.ports import Cluster, OutsideSystem
from tenant_operator.stack.part import Context, External, ExternalKey, Manifest, ObjectKey, Observed, Resource, Trouble
from tenant_operator.stack.text import digest

FRESH_SECONDS = 900.0
"""What was seen outside to be as desired is looked at again after this long; trouble and changes at once."""

State = Mapping[str, Any] | Trouble | None


class Objects(Protocol):
    """The store's view of one tenant."""

    def of_tenant(self, identity: str) -> Mapping[ObjectKey, Manifest]:
        """Return all objects labelled with a tenant's id."""


@dataclass
class _Seen:
    state: State
    spec: str
    until: float


@dataclass
class Gatherer:
    """The only reader of the reconciler."""

    cluster: Cluster
    objects: Objects
    systems: Mapping[str, OutsideSystem]
    _outside: dict[tuple[str, ExternalKey], _Seen] = field(default_factory=dict)

    async def observe(self, ctx: Context, wanted: Sequence[Resource]) -> Observed:
        """Return what is there now. Objects cost no request; outside things are asked for when they are not fresh."""
        rendered: dict[ObjectKey, Manifest] = {}
        other: dict[ObjectKey, Manifest] = {}
        for key, manifest in self.objects.of_tenant(ctx.names.id).items():
            ours = (
                LABEL_PART in manifest["metadata"].get("labels", {}) and "ownerReferences" not in manifest["metadata"]
            )
            (rendered if ours else other)[key] = manifest
        seen = Observed(
            objects=rendered,
            other=other,
            nodes={item["metadata"]["name"]: item["metadata"].get("labels", {}) for item in self.cluster.list("Node")},
            volumes={
                item["metadata"]["name"]: item
                for item in self.cluster.list("PersistentVolume")
                if item["spec"].get("claimRef", {}).get("namespace") == ctx.namespace
            },
        )
        return await self._with_outside(ctx, wanted, seen)

    async def _with_outside(self, ctx: Context, wanted: Sequence[Resource], seen: Observed) -> Observed:
        """Add what lies outside. A gate may rest on another outside thing, so ask in rounds until no further gate opens."""
        asked: dict[ExternalKey, State] = {}
        while True:
            open_now = [
                item
                for item in wanted
                if isinstance(item, External) and item.key not in asked and (item.gate is None or item.gate(seen))
            ]
            if not open_now:
                return seen
            states = await asyncio.gather(*(self._outside_state(ctx, item) for item in open_now))
            asked |= {item.key: state for item, state in zip(open_now, states, strict=True)}
            seen = replace(seen, external=dict(asked))

    async def _outside_state(self, ctx: Context, item: External) -> State:
        key, spec, now = (ctx.names.id, item.key), digest(dict(item.spec)), time.monotonic()
        kept = self._outside.get(key)
        if kept and kept.spec == spec and now < kept.until:
            return kept.state
        state: State
        try:
            state = await self.systems[item.key.system].observe(ctx, item)
        except CloisterError as error:
            state = Trouble(error.reason, error.message, error.retryable)
        settled = isinstance(state, Mapping) and all(state.get(name) == value for name, value in item.spec.items())
        fresh = FRESH_SECONDS * random.uniform(0.8, 1.2) if settled else 0.0  # noqa: S311 - spreads load, guards nothing
        self._outside[key] = _Seen(state, spec, now + fresh)
        return state
