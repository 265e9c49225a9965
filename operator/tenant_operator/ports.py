"""What the reconciler and the offboarding need from the outside, as protocols. `clients` implement them; tests fake them."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from tenant_operator.api.region import RegionSpec
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

    async def apply(self, manifest: Manifest, *, force: bool = False) -> Manifest:
        """Server-side apply with our field manager. Raises Conflict, unless `force` takes the fields back."""

    async def replace(self, manifest: Manifest, live: Manifest) -> Manifest:
        """PUT over exactly the object that was seen: the only way to drop what others added."""

    async def delete(self, live: Manifest, *, propagation: str = "Background") -> None:
        """Delete exactly this object: preconditions on its UID and resourceVersion. An object already gone is fine."""

    async def patch(self, live: Manifest, patch: Mapping[str, Any]) -> Manifest:
        """Merge-patch exactly this object (precondition on resourceVersion)."""

    async def write_status(self, live: Manifest, status: Mapping[str, Any]) -> Manifest:
        """Replace the status of exactly this object."""

    async def post_event(self, about: Manifest, kind: str, reason: str, message: str) -> None:
        """Post a Kubernetes Event (kind Normal or Warning)."""


@dataclass(frozen=True)
class Stored:
    """An object in a bucket, as a HEAD saw it."""

    size: int
    etag: str = ""
    version: str = ""


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
    """One act whose intent is already durable when you hold this."""

    def done(self, result: str = "ok", text: str = "") -> None:
        """Say what came of it (ok, denied, error); the outcome is written when the block ends."""


@dataclass(frozen=True)
class Planned:
    """What is about to happen, or what was observed: the content of an intent, or of a single entry."""

    action: str
    """One of `audit_contract.actions.Action`."""
    object_type: str
    object_id: str
    namespace: str = ""
    reason: str = "Specification"
    text: str = ""
    change: Sequence[tuple[str, Any, Any]] = ()
    """Path, old and new value; never a secret."""
    actor: str = ""
    """The user the API server authenticated, when the act is a person's; the operator itself otherwise."""
    request: str = ""
    """Id of the admission entry that this serves: the edit it follows from. Nothing for drift, timers and what is due."""
    entry: str = ""
    """Id of this very entry (a UUIDv7), for what must be in the log once however often it is sent; else a new one."""


class Recorder(Protocol):
    """The audit log as the operator uses it: intent before, outcome after. Raises Retryable when it cannot be reached."""

    async def open_log(self, ctx: Context) -> None:
        """Make sure that the tenant's log exists."""

    def acts(self, log: str, planned: Sequence[Planned]) -> AbstractAsyncContextManager[Sequence[Act]]:
        """Record the intents in one append, yield one Act for each, record the outcomes in one append.

        An act that was not said to be done has the outcome error.
        """

    async def note(self, log: str, observed: Planned, result: str = "ok") -> Mapping[str, Any]:
        """Record one thing that happened or was observed (phase single); return its receipt: id, index, leafHash."""

    async def latest(self, log: str, action: str, object_type: str, object_id: str) -> str:
        """Return the id of the newest signed entry about an object with an action; nothing when there is none."""

    async def export(self, log: str) -> bytes:
        """Return the log's bundle, which `cloister-verify` checks offline."""

    async def proof(self, log: str, index: int) -> bytes:
        """Return the `.tlog-proof` of an entry, waiting for a checkpoint that covers it."""


class CopyBuckets(Protocol):
    """Buckets of the audit service's copies in the Regions' object stores. Methods raise Retryable or Refused."""

    def ca(self, region: RegionSpec) -> str:
        """Return the PEM of the store's CA; empty when the Region names none."""

    async def observe(self, region: RegionSpec, wanted: External) -> Mapping[str, Any] | None:
        """Return what is there in the shape of `wanted.spec`; None when it is seen to be absent."""

    async def ensure(self, region: RegionSpec, wanted: External) -> None:
        """Create it or bring it to `wanted.spec`."""


class Clock(Protocol):
    """The time, injected so that tests can hold it."""

    def now(self) -> datetime:
        """Return the time in UTC."""
