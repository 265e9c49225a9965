"""The audit service's second copy gets its places: in each Region's object store a bucket under Object Lock and a user.

Level-triggered like the tenants' loop: look, compare, record the intent in the platform's log, act, record the outcome. A Region
whose store cannot be reached, or has no such users, is said and looked at again; it holds up nothing else.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from tenant_operator.api.names import PLATFORM_LOG
from tenant_operator.api.reasons import Reason
from tenant_operator.api.region import RegionSpec
from tenant_operator.errors import CloisterError, Refused
from tenant_operator.ports import Cluster, CopyBuckets, Planned, Recorder
from tenant_operator.reconcile.compare import differences
from tenant_operator.stack import audit_copies
from tenant_operator.stack.audit_copies import CopyStore
from tenant_operator.stack.derive import Deriver
from tenant_operator.stack.part import External, Manifest, ObjectKey

_LOOK_SECONDS = 300.0
_AGAIN_SECONDS = 15.0
_TYPES = {"bucket": "Bucket", "bucket-user": "BucketUser"}
_log = logging.getLogger(__name__)


@dataclass
class AuditCopies:
    """`run` is one task; `wake` says that a Region or a credential has changed."""

    cluster: Cluster
    buckets: CopyBuckets
    recorder: Recorder
    derive: Deriver
    namespace: str
    _woken: asyncio.Event = field(default_factory=asyncio.Event)
    _said: dict[str, str] = field(default_factory=dict)
    _in_vain: dict[str, Mapping[str, Any] | None] = field(default_factory=dict)

    def wake(self) -> None:
        """Look again soon."""
        self._woken.set()

    async def run(self) -> None:
        """Look now, when woken, and now and then."""
        while True:
            self._woken.clear()
            try:
                whole = await self.round()
            except CloisterError as error:
                whole = False
                self._say("", error.message)
            except Exception:  # a mistake of ours here must not end the operator's other work
                whole = False
                _log.exception("the places of the audit copies: a mistake in the operator")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS if whole else _AGAIN_SECONDS):
                    await self._woken.wait()

    async def round(self) -> bool:
        """Bring every Region's bucket and user, then the Secret, to what is desired; tell whether all could be done."""
        regions = sorted(self.cluster.list("Region"), key=_age)
        ready = []
        for region in regions:
            name = region["metadata"]["name"]
            try:
                ready.append(await self._place(name, RegionSpec.model_validate(region["spec"])))
                self._said.pop(name, None)
            except (CloisterError, ValidationError) as error:
                self._say(name, error.message if isinstance(error, CloisterError) else str(error))
        if ready:
            await self._tell(ready)
        return len(ready) == len(regions)

    async def _place(self, name: str, spec: RegionSpec) -> CopyStore:
        object_store = spec.object_store
        store = CopyStore(name, object_store.endpoint, object_store.region, self.buckets.ca(spec))
        for wanted in audit_copies.externals(self.derive, store):
            await self._bring(name, spec, wanted)
        return store

    async def _bring(self, name: str, spec: RegionSpec, wanted: External) -> None:
        """Bring a bucket or a user to what is wanted. What did not become so is not tried again while it looks the same."""
        seen = await self.buckets.observe(spec, wanted)
        if seen == dict(wanted.spec):
            return
        key = f"{name} {wanted.key}"
        if seen is None or self._in_vain.get(key) != seen:
            text = f"for the audit service's copies in region {name}"
            action = _action(wanted, is_new=seen is None)
            planned = Planned(action, _TYPES[wanted.key.kind], wanted.key.name, reason="AuditCopy", text=text)
            async with self.recorder.acts(PLATFORM_LOG, [planned]) as (act,):
                await self.buckets.ensure(spec, wanted)
                act.done()
            seen = await self.buckets.observe(spec, wanted)
        if seen != dict(wanted.spec):
            self._in_vain[key] = seen
            raise Refused(
                f"{wanted.key} should be {dict(wanted.spec)} and is {seen}", reason=Reason.OBJECT_STORE_REFUSED
            )

    async def _tell(self, ready: list[CopyStore]) -> None:
        """Write the Secret that the audit service's pod mounts."""
        live = await self.cluster.read(ObjectKey("v1", "Secret", self.namespace, audit_copies.SECRET))
        wanted = audit_copies.secret(self.derive, self.namespace, ready, live)
        if live is not None and not differences(wanted, live):
            return
        action = "operator:credentials:create" if live is None else "operator:credentials:rotate"
        text = f"where the audit service copies to: {', '.join(store.region for store in ready)}"
        planned = Planned(action, "Secret", audit_copies.SECRET, self.namespace, "AuditCopy", text)
        async with self.recorder.acts(PLATFORM_LOG, [planned]) as (act,):
            if live is None:
                await self.cluster.create(wanted)
            else:
                await self.cluster.apply(wanted, force=True)
            act.done()

    def _say(self, region: str, text: str) -> None:
        """Say a trouble once; it is tried again without a word."""
        if self._said.get(region) != text:
            self._said[region] = text
            where = f"in region {region}" if region else "in no region"
            _log.warning("the audit log has no (new) place for its copies %s yet: %s", where, text)


def _age(region: Manifest) -> tuple[str, str]:
    return str(region["metadata"].get("creationTimestamp", "")), region["metadata"]["name"]


def _action(wanted: External, *, is_new: bool) -> str:
    if wanted.key.kind == "bucket":
        return "operator:bucket:create" if is_new else "operator:bucket:configure"
    return "operator:bucket-user:create" if is_new else "operator:bucket-user:rotate"
