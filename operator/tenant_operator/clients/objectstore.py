"""Object storage as the operator uses it: tenants' buckets and their users, and what offboarding reads and writes.

A bucket is made with Object Lock and versions. Its user may do what `stack.backup.ACTIONS` says in that one bucket. Backups are
locked in GOVERNANCE mode: the tenant's own key cannot remove them early, the operator can when a tenant is destroyed, and a
COMPLIANCE lock or a legal hold that somebody set stops even that, and is reported.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any, BinaryIO, TypeVar

from minio.error import S3Error

from tenant_operator.api.reasons import Reason
from tenant_operator.clients.objectstore_buckets import delete_bucket, read_bucket, write_bucket
from tenant_operator.clients.objectstore_calls import ABSENT, FAILURES, Connection, StoreAccess, connect, translate
from tenant_operator.clients.objectstore_users import (
    allowed_actions,
    delete_user,
    secret_works,
    user_exists,
    write_policy,
    write_user,
)
from tenant_operator.errors import Refused
from tenant_operator.ports import Stored
from tenant_operator.stack.part import Context, External, ExternalKey

__all__ = ["ObjectStores", "StoreAccess"]

T = TypeVar("T")
AccessFor = Callable[[Context], Awaitable[StoreAccess]]

CHUNK = 1 << 20
PART = 8 << 20
THREADS = 8
_OTHER_SECRET = -1
_IN_FORCE_SECONDS = 5.0
"""The epoch of a secret that does not open the bucket."""


class ObjectStores:
    """The OutsideSystem `objectstore`, kinds `bucket` and `bucket-user`, and the store of exports."""

    def __init__(self, access_for: AccessFor) -> None:
        self._access_for = access_for
        self._connections: dict[StoreAccess, Connection] = {}
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="objectstore")

    def close(self) -> None:
        """Let go of threads and connections."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for connection in self._connections.values():
            connection.pool.clear()
        self._connections.clear()

    async def observe(self, ctx: Context, wanted: External) -> Mapping[str, Any] | None:
        """Return what is there in the shape of `wanted.spec`; None when it is seen to be absent."""
        name = wanted.key.name
        match wanted.key.kind:
            case "bucket":
                return await self._call(ctx, f"read bucket {name}", lambda store: read_bucket(store, name))
            case "bucket-user":
                return await self._call(ctx, f"read user {name}", lambda store: read_user(store, wanted))
            case _:
                raise _unknown(wanted.key)

    async def ensure(self, ctx: Context, wanted: External, seen: Mapping[str, Any] | None) -> str:
        """Create it or bring it to `wanted.spec`; return create, update or rotate (only the secret was another)."""
        name = wanted.key.name
        match wanted.key.kind:
            case "bucket":
                await self._call(ctx, f"make bucket {name}", lambda store: write_bucket(store, name))
            case "bucket-user":
                await self._call(ctx, f"write user {name}", lambda store: write_user_of(store, wanted))
            case _:
                raise _unknown(wanted.key)
        if seen is None:
            return "create"
        others_right = all(seen.get(key) == value for key, value in wanted.spec.items() if key != "secretEpoch")
        return "rotate" if others_right and "secretEpoch" in wanted.spec else "update"

    async def delete(self, ctx: Context, key: ExternalKey) -> None:
        """Destroy it: a bucket with every version in it. Raises Refused, naming them, while versions are locked."""
        match key.kind:
            case "bucket":
                await self.delete_bucket_and_all_versions(ctx, key.name)
            case "bucket-user":
                await self._call(ctx, f"delete user {key.name}", lambda store: delete_user(store, key.name))
            case _:
                raise _unknown(key)

    async def is_absent(self, ctx: Context, key: ExternalKey) -> bool:
        """Tell, from the store's list of buckets or of users, that it is gone."""
        if key.kind == "bucket-user":
            return not await self._call(ctx, "list users", lambda store: user_exists(store, key.name))
        return not await self._call(
            ctx, "list buckets", lambda store: key.name in {bucket.name for bucket in store.s3.list_buckets()}
        )

    async def delete_bucket_and_all_versions(self, ctx: Context, bucket: str) -> None:
        """Remove every version, marker and unfinished upload, then the bucket. Raises Refused while versions are locked."""
        await self._call(ctx, f"delete bucket {bucket}", lambda store: delete_bucket(store, bucket))

    async def ensure_export_bucket(self, ctx: Context) -> str:
        """Make sure that the Region's export bucket exists, with versions and Object Lock; return its name."""
        name = ctx.region.object_store.export_bucket
        await self._call(ctx, f"make bucket {name}", lambda store: write_bucket(store, name))
        return name

    async def presign(self, ctx: Context, method: str, bucket: str, key: str, seconds: int) -> str:
        """Return an address that allows one method on one object for a while."""
        return await self._call(
            ctx,
            f"sign for {bucket}/{key}",
            lambda store: store.s3.get_presigned_url(method, bucket, key, expires=timedelta(seconds=seconds)),
        )

    async def stat(self, ctx: Context, bucket: str, key: str) -> Stored | None:
        """Return what a HEAD says; None when the object does not exist."""

        def head(store: Connection) -> Stored | None:
            try:
                found = store.s3.stat_object(bucket, key)
            except S3Error as error:
                if error.code in ABSENT:
                    return None
                raise
            return Stored(found.size or 0, found.etag or "", found.version_id or "")

        return await self._call(ctx, f"stat {bucket}/{key}", head)

    async def list_prefix(self, ctx: Context, bucket: str, prefix: str) -> dict[str, Stored]:
        """Return what lies under a prefix, by name."""

        def listed(store: Connection) -> dict[str, Stored]:
            return {
                str(found.object_name): Stored(found.size or 0, found.etag or "", found.version_id or "")
                for found in store.s3.list_objects(bucket, prefix=prefix, recursive=True)
            }

        return await self._call(ctx, f"list {bucket}/{prefix}", listed)

    async def put_stream(self, ctx: Context, bucket: str, key: str, content: BinaryIO, length: int = -1) -> Stored:
        """Write an object from a file or pipe, in parts, at most a few of them in memory."""

        def put(store: Connection) -> Stored:
            done = store.s3.put_object(bucket, key, content, length, part_size=PART, num_parallel_uploads=2)
            return Stored(length, done.etag or "", done.version_id or "")

        return await self._call(ctx, f"write {bucket}/{key}", put)

    async def stream(self, ctx: Context, bucket: str, key: str) -> AsyncIterator[bytes]:
        """Yield the object's bytes. Raises Missing when there is none."""
        what = f"read {bucket}/{key}"
        answer = await self._call(ctx, what, lambda store: store.s3.get_object(bucket, key))
        try:
            while chunk := await self._call(ctx, what, lambda _: answer.read(CHUNK)):
                yield chunk
        finally:
            answer.close()
            answer.release_conn()

    async def _call(self, ctx: Context, what: str, act: Callable[[Connection], T]) -> T:
        connection = self._connection(await self._access_for(ctx))

        def run() -> T:
            try:
                return act(connection)
            except FAILURES as error:
                raise translate(connection.where, what, error) from error

        return await asyncio.get_running_loop().run_in_executor(self._threads, run)

    def _connection(self, access: StoreAccess) -> Connection:
        if access not in self._connections:
            for old in [one for one in self._connections if one.endpoint == access.endpoint]:
                self._connections.pop(old)  # its key or CA was replaced; calls under way finish on the old one
            self._connections[access] = connect(access)
        return self._connections[access]


def _unknown(key: ExternalKey) -> Refused:
    return Refused(f"object storage has no kind {key.kind}", reason=Reason.OBJECT_STORE_REFUSED)


def _as_user(store: Connection, wanted: External) -> Connection:
    own = replace(store.access, access_key=wanted.key.name, secret_key=wanted.secret["secretKey"])
    return connect(own)


def read_user(store: Connection, wanted: External) -> dict[str, Any] | None:
    """Return a bucket's user in the shape of `wanted.spec`; None when it is not there. Called in a thread."""
    name, spec = wanted.key.name, wanted.spec
    if not user_exists(store, name):
        return None
    as_user = _as_user(store, wanted)
    works = secret_works(as_user, spec["bucket"])
    as_user.pool.clear()
    return {
        "bucket": spec["bucket"],
        "actions": allowed_actions(store, spec["bucket"], name, spec["actions"]),
        "secretEpoch": spec["secretEpoch"] if works else _OTHER_SECRET,
    }


def write_user_of(store: Connection, wanted: External) -> None:
    """Write a bucket's user and its policy, the user first: a policy may name only users that exist.

    A store may take a moment until a user or a policy that it has accepted is in force; whoever looks at once would see a
    secret that does not work and write it again. So it is waited until the store lets the user in.
    """
    write_user(store, wanted.key.name, wanted.secret["secretKey"])
    write_policy(store, wanted.spec["bucket"], wanted.key.name, wanted.spec["actions"])
    as_user = _as_user(store, wanted)
    deadline = time.monotonic() + _IN_FORCE_SECONDS
    while not secret_works(as_user, wanted.spec["bucket"]) and time.monotonic() < deadline:
        time.sleep(0.1)
    as_user.pool.clear()
