"""What the reconciler and the offboarding need from the outside, as protocols. `clients` implement them; tests fake them."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Protocol

from tenant_operator.stack.part import Context, External, ExternalKey, Manifest, ObjectKey


class Cluster(Protocol):
    """The Kubernetes API. `get` and `list` read the store that the watches feed and cost no request."""

    def get(self, key: ObjectKey) -> Manifest | None:
        """Return an object from the store, or None."""

    def list(
        self, kind: str, *, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> list[Manifest]:
        """Return the watched objects of a kind."""

    async def read(self, key: ObjectKey) -> Manifest | None:
        """Return an object by a live, quorum read; None when it does not exist."""

    async def read_list(self, api_version: str, kind: str, namespace: str | None = None) -> Sequence[Manifest]:
        """Return all objects of a kind by a live, quorum list."""

    async def create(self, manifest: Manifest) -> Manifest:
        """POST. Raises AlreadyThere."""

    async def apply(self, manifest: Manifest) -> Manifest:
        """Server-side apply with our field manager, without force. Raises Conflict."""

    async def delete(self, live: Manifest, *, propagation: str = "Background") -> None:
        """Delete exactly this object: preconditions on its UID and resourceVersion. An object already gone is fine."""

    async def patch(self, live: Manifest, patch: Mapping[str, Any]) -> Manifest:
        """Merge-patch exactly this object (precondition on resourceVersion)."""

    async def write_status(self, live: Manifest, status: Mapping[str, Any]) -> Manifest:
        """Replace the status of exactly this object."""

    async def post_event(self, about: Manifest, kind: str, reason: str, message: str) -> None:
        """Post a Kubernetes Event (kind Normal or Warning)."""

    async def logs(self, namespace: str, pod: str, container: str | None = None) -> str:
        """Return a pod's log."""


class OutsideSystem(Protocol):
    """Vault, PostgreSQL or object storage, as seen from one tenant. Raises Retryable or Refused."""

    async def observe(self, ctx: Context, wanted: External) -> Mapping[str, Any] | None:
        """Return what is there, in the shape of `wanted.spec`; None when it is seen to be absent."""

    async def ensure(self, ctx: Context, wanted: External, seen: Mapping[str, Any] | None) -> str:
        """Create it or bring it to `wanted.spec`; idempotent. Return the verb of what was done: create, update, rotate."""

    async def delete(self, ctx: Context, key: ExternalKey) -> None:
        """Destroy it. What is already gone is fine."""

    async def is_absent(self, ctx: Context, key: ExternalKey) -> bool:
        """Tell, by asking for a list where the system has one, that it is gone."""


class Act(Protocol):
    """One act that is about to happen: its intent is already durable when you hold this."""

    def done(self, result: str, **more: str) -> None:
        """Say what came of it; the outcome is written when the block ends. Without a call the outcome is an error."""


class Recorder(Protocol):
    """The audit log as the operator uses it: intent before, outcome after; Retryable when the log cannot be reached."""

    async def open_log(self, ctx: Context) -> None:
        """Make sure that the tenant's log exists."""

    def acts(
        self, log: str, planned: Iterable["PlannedAct"], *, request: str = ""
    ) -> AbstractAsyncContextManager[Sequence[Act]]:
        """Record the intents of several acts in one append, yield them, record the outcomes in one append."""

    async def note(self, log: str, act: "PlannedAct", result: str = "ok") -> Mapping[str, Any]:
        """Record one thing that happened or was observed (phase single); return its receipt."""

    async def export(self, log: str) -> bytes:
        """Return the log's bundle, which `cloister-verify` checks offline."""


class PlannedAct(Protocol):
    """What an intent says."""

    action: str
    object_type: str
    object_id: str
    reason: str
    text: str
    change: Sequence[tuple[str, Any, Any]]


class Clock(Protocol):
    """The time, injected so that tests can hold it."""

    def now(self) -> datetime:
        """Return the time in UTC."""


class Watch(Protocol):
    """A stream of what changed in the store."""

    def __aiter__(self) -> AsyncIterator[ObjectKey]:
        """Yield the key of each object that changed."""
