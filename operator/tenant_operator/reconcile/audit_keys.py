"""Where the audit service keeps its keys in Vault: the witness is told the public ones, and derived ones are done away with.

The audit service makes its keys itself, so the operator learns from it which ones sign. On an installation that began with
derived keys, the service announces Vault's in every log; once no log is signed by the derived ones any more, their Secret goes.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from tenant_operator.api.names import LABEL_MANAGED_BY, MANAGED_BY, PLATFORM_LOG
from tenant_operator.errors import CloisterError
from tenant_operator.ports import Cluster, Planned, Recorder
from tenant_operator.reconcile.compare import differences
from tenant_operator.stack import audit_keys
from tenant_operator.stack.part import Manifest, ObjectKey

_LOOK_SECONDS = 60.0
_AGAIN_SECONDS = 5.0
_log = logging.getLogger(__name__)


@dataclass
class AuditKeys:
    """`run` is one task. `shown` gives each log's verifier keys in force, by its name."""

    cluster: Cluster
    recorder: Recorder
    shown: Callable[[], Awaitable[Mapping[str, Sequence[str]]]]
    derived: Sequence[str]
    namespace: str
    witness: str
    grace_seconds: float = 180.0
    """How long both keys go on signing after the last log has handed over: a Secret takes a while to reach the witness."""
    _since: float | None = None

    async def run(self) -> None:
        """Look now and then, sooner while something is left to do."""
        said = ""
        while True:
            done = False
            try:
                done, said = await self.look(), ""
            except CloisterError as error:
                if error.message != said:  # it is tried again without a word
                    _log.warning("the audit service's keys: %s", error.message)
                said = error.message
            except Exception:  # a mistake of ours here must not end the operator's other work
                _log.exception("the audit service's keys: a mistake in the operator")
            await asyncio.sleep(_LOOK_SECONDS if done else _AGAIN_SECONDS)

    async def look(self) -> bool:
        """Tell the witness, and delete the derived keys when they have signed their last; tell whether nothing is left to do."""
        shown = await self.shown()
        old = await self.cluster.read(ObjectKey("v1", "Secret", self.namespace, audit_keys.KEYS))
        if old is not None and (old["metadata"].get("labels") or {}).get(LABEL_MANAGED_BY) != MANAGED_BY:
            old = None  # somebody's own
        if self.witness and shown:
            vkeys = [vkey for keys in shown.values() for vkey in keys]
            await self._tell(audit_keys.witness_logs(self.witness, [*vkeys, *(self.derived if old else ())]))
        return bool(shown) and (old is None or await self._retire(old, shown))

    async def _tell(self, wanted: Manifest) -> None:
        live = await self.cluster.read(ObjectKey.of(wanted))
        if live is not None and not differences(wanted, live):
            return
        said = "the keys that sign the audit logs, as the audit service shows them"
        planned = _planned("operator:object:apply", wanted, "KeysShown", said)
        async with self.recorder.acts(PLATFORM_LOG, [planned]) as (act,):
            await self.cluster.apply(wanted, force=True)
            act.done()

    async def _retire(self, old: Manifest, shown: Mapping[str, Sequence[str]]) -> bool:
        derived = audit_keys.material(self.derived)
        left = [log for log, keys in shown.items() if derived & audit_keys.material(keys)]
        if left:
            self._since = None
            return False
        self._since = time.monotonic() if self._since is None else self._since
        if time.monotonic() - self._since < self.grace_seconds:
            return False
        said = "every log has handed over to the keys in Vault; no private key of the audit service is in a Secret any more"
        planned = _planned("operator:object:delete", old, "KeysRetired", said)
        async with self.recorder.acts(PLATFORM_LOG, [planned]) as (act,):
            await self.cluster.delete(old)
            act.done()
        return False  # the witness is told next time


def _planned(action: str, manifest: Manifest, reason: str, text: str) -> Planned:
    meta = manifest["metadata"]
    return Planned(action, "Secret", meta["name"], meta["namespace"], reason, text)
