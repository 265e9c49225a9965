"""Fakes of the operator's ports: a cluster that keeps objects as the API server does, outside systems, and an audit log.

They implement the protocols of `tenant_operator.ports`; tests assert the state they end in. Every write asks the audit fake
whether its intent was recorded before, so that no test can pass with an unrecorded act.
"""

import copy
import itertools
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tenant_operator.api.names import FIELD_MANAGER
from tenant_operator.api.reasons import Reason
from tenant_operator.clients.store import Store
from tenant_operator.errors import AlreadyThere, Conflict, Missing, Retryable
from tenant_operator.stack.part import ObjectKey
from tests.support.tenants import NOW


class FixedClock:
    def __init__(self, now: datetime = NOW):
        self.time = now

    def now(self):
        return self.time


@dataclass
class FakeAudit:
    """Keeps entries; can be away."""

    away: bool = False
    entries: list[tuple[str, str, object]] = field(default_factory=list)
    open_intents: int = 0
    admissions: dict[tuple[str, str, str, str], str] = field(default_factory=dict)
    """What the webhook recorded, for those who ask: entry ids by log, action and object."""
    said: list[str] = field(default_factory=list)
    """The words of each outcome."""

    async def open_log(self, ctx):
        self._there()

    def _there(self):
        if self.away:
            raise Retryable("the audit service cannot be reached", reason=Reason.AUDIT_UNAVAILABLE)

    async def latest(self, log, action, object_type, object_id):
        self._there()
        return self.admissions.get((log, action, object_type, object_id), "")

    @asynccontextmanager
    async def acts(self, log, planned):
        self._there()
        made = [FakeAct(item) for item in planned]
        self.entries += [(log, "intent", item) for item in planned]
        self.open_intents += len(made)
        try:
            yield made
        finally:
            self.open_intents -= len(made)
            self.entries += [(log, act.result, act.planned) for act in made]
            self.said += [act.text for act in made]

    async def note(self, log, observed, result="ok"):
        self._there()
        self.entries.append((log, result, observed))
        return {"id": "x", "index": len(self.entries), "leafHash": ""}


class FakeAct:
    def __init__(self, planned):
        self.planned, self.result, self.text = planned, "error", ""

    def done(self, result="ok", text=""):
        self.result, self.text = result, text


@dataclass
class FakeCluster:
    """Keeps objects with UIDs and resourceVersions; counts writes."""

    audit: FakeAudit
    store: Store = field(default_factory=Store)
    writes: list[str] = field(default_factory=list)
    fail_after: int | None = None
    """Die (as by kill -9) instead of the n-th write from now."""
    _version: itertools.count = field(default_factory=lambda: itertools.count(1))

    def get(self, key):
        return self.store.get(key)

    def list(self, kind, *, namespace=None, labels=None):
        return [item for item in self.store.of_kind(kind) if namespace in (None, item["metadata"].get("namespace"))]

    async def read(self, key):
        return self.store.get(key)

    def _write(self, what, *, status=False):
        if self.fail_after is not None:
            if self.fail_after == 0:
                raise KillError
            self.fail_after -= 1
        if not status:
            assert self.audit.open_intents > 0, f"{what} without an intent"
        self.writes.append(what)

    def put(self, manifest, manager=FIELD_MANAGER, operation="Update"):
        """Place an object as the API server would keep it."""
        key = ObjectKey.of(manifest)
        old = self.store.get(key)
        version = next(self._version)
        made = copy.deepcopy(manifest)
        meta = made["metadata"]
        meta["uid"] = old["metadata"]["uid"] if old else f"uid-{version}"
        meta["resourceVersion"] = str(version)
        same_spec = old is not None and old.get("spec") == made.get("spec")
        meta["generation"] = old["metadata"]["generation"] + (not same_spec) if old else 1
        meta["managedFields"] = [
            *[e for e in (old or {"metadata": {}})["metadata"].get("managedFields", []) if e["manager"] != manager],
            {"manager": manager, "operation": operation, "time": datetime.now(UTC).isoformat()},
        ]
        self.store.put(made)
        return made

    async def create(self, manifest):
        self._write(f"create {ObjectKey.of(manifest)}")
        if self.store.get(ObjectKey.of(manifest)):
            raise AlreadyThere("exists")
        return self.put(manifest)

    async def apply(self, manifest, *, force=False):
        live = self.store.get(ObjectKey.of(manifest))
        others = [
            e for e in (live or {"metadata": {}})["metadata"].get("managedFields", []) if e["manager"] != FIELD_MANAGER
        ]
        if others and not force:
            raise Conflict("conflict with another manager", reason=Reason.FIELD_CONFLICT)
        self._write(f"apply {ObjectKey.of(manifest)}")
        merged = {**(live or {}), **manifest}
        return self.put(merged, operation="Apply")

    async def replace(self, manifest, live):
        self._write(f"replace {ObjectKey.of(manifest)}")
        return self.put({**manifest, "status": live.get("status", {})})

    async def delete(self, live, *, propagation="Background"):
        self._write(f"delete {ObjectKey.of(live)}")
        self.store.remove(live)

    async def write_status(self, live, status):
        current = self.store.get(ObjectKey.of(live))
        if current is None:
            raise Missing("gone")
        self._write(f"status {ObjectKey.of(live)}", status=True)
        return self.put({**current, "status": dict(status)})

    async def post_event(self, about, kind, reason, message):
        pass

    def vanish(self, key):
        """Delete an object behind the operator's back."""
        self.store.remove(self.store.get(key))


class KillError(BaseException):
    """The process is gone: nothing after it happens, not even an outcome that a handler would write."""


@dataclass
class FakeSystem:
    """A Vault, a database or an object store that keeps what it is told."""

    audit: FakeAudit
    things: dict = field(default_factory=dict)
    trouble: Retryable | None = None
    ensured: list = field(default_factory=list)

    async def observe(self, ctx, wanted):
        if self.trouble:
            raise self.trouble
        return self.things.get((ctx.names.id, wanted.key))

    async def ensure(self, ctx, wanted, seen):
        assert self.audit.open_intents > 0, f"{wanted.key} without an intent"
        if self.trouble:
            raise self.trouble
        facts = {"latestVersion": 1, "latestVersionAt": NOW.isoformat()} if wanted.key.kind == "key" else {}
        self.things[ctx.names.id, wanted.key] = {**wanted.spec, **facts}
        self.ensured.append(wanted.key)
        return "create" if seen is None else "update"
