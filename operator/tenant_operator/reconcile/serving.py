"""Which admission entry an act serves: the edit that is being taken up, or the deletion that a tenant is stopped for.

Level-triggered as everything here: an edit is served until its generation was seen whole and Ready. What is done after that
is repair or due by the clock, and follows from no edit of the Tenant.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime

from tenant_operator.api.names import Names
from tenant_operator.api.reasons import ConditionType
from tenant_operator.errors import Refused
from tenant_operator.ports import Recorder
from tenant_operator.stack import stamp
from tenant_operator.stack.derive import Deriver
from tenant_operator.stack.part import Manifest

_SIGNING_SECONDS = (0.0, 0.3, 0.7, 2.0, 4.0)
"""An entry can be read once a checkpoint covers it: a moment after it is durable, seconds on a disk that stands still."""


@dataclass
class Serving:
    """Remembers which generation of each tenant was taken up whole; a new process asks the status instead."""

    recorder: Recorder
    derive: Deriver
    deletions: bool = False
    """Whether there is a webhook, so that a deletion has an entry to be found."""
    _settled: dict[str, int] = field(default_factory=dict)

    def edit(self, live: Manifest) -> str:
        """Return the entry of the edit that is being taken up; nothing once it is, or when it was not admitted."""
        name, generation = live["metadata"]["name"], live["metadata"]["generation"]
        if self._settled.get(name, generation if _ready(live) else 0) == generation:
            return ""
        found = stamp.genuine(stamp.key_of(self.derive), live)
        return found.entry if found and found.generation == generation else ""

    def settled(self, tenant: str, generation: int) -> None:
        """Note that a generation was taken up whole."""
        self._settled[tenant] = generation

    async def deletion(self, names: Names, record: Manifest) -> str:
        """Return the entry of the deletion that ended a tenant's time as Live; nothing when there is none."""
        self._settled.pop(names.tenant, None)
        if not self.deletions or record["spec"]["state"] != "Live":
            return ""
        since = datetime.fromisoformat(record["spec"]["since"])
        for pause in _SIGNING_SECONDS:
            await asyncio.sleep(pause)
            try:
                found = await self.recorder.latest(names.audit_log, "admission:resource:delete", "Tenant", names.tenant)
            except Refused:  # it has no log yet, so the entry is in the platform's
                return ""
            if found and stamp.time_of(found) >= since:
                return found
        return ""


def _ready(live: Manifest) -> bool:
    return any(
        item["type"] == ConditionType.READY
        and item["status"] == "True"
        and item.get("observedGeneration") == live["metadata"]["generation"]
        for item in (live.get("status") or {}).get("conditions", [])
    )
