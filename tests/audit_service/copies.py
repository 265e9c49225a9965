"""A real store with a bucket under Object Lock and the narrow user that the audit service writes as."""

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

from audit_contract.actions import Action
from audit_service.settings import Settings, Worm, WormStore
from audit_service.worm.bucket import Access, Bucket
from tenant_operator.clients.objectstore_buckets import write_bucket
from tenant_operator.clients.objectstore_calls import Connection, connect
from tenant_operator.clients.objectstore_users import write_policy, write_user
from tests.audit_service.service import TENANT_LOG, Service, draft, signed_rows
from tests.support.object_store import ObjectStore

REGION = "eu-central-1"
ACTIONS = (
    "s3:GetObject",
    "s3:GetObjectVersion",
    "s3:ListBucket",
    "s3:ListBucketVersions",
    "s3:PutObject",
    "s3:PutObjectRetention",
)


@dataclass
class CopyBucket:
    """One test's bucket in the running store, as its administrator made it."""

    store: ObjectStore
    name: str
    folder: Path
    secret: str = "secret-of-the-writer"

    @property
    def access(self) -> Access:
        said = self.store.access
        return Access(said.endpoint, said.region, self.name, self.name, self.secret, said.ca)

    @property
    def bucket(self) -> Bucket:
        """The bucket as the audit service sees it."""
        return Bucket(self.access)

    def writer(self) -> Connection:
        """A connection with the audit service's own credentials."""
        return connect(replace(self.store.access, access_key=self.name, secret_key=self.secret))

    def described(self) -> WormStore:
        for name, text in (("access", self.name), ("hidden", self.secret), ("ca.crt", self.store.access.ca)):
            (self.folder / name).write_text(text)
        return WormStore(
            region=REGION,
            endpoint=self.store.access.endpoint,
            store_region=self.store.access.region,
            bucket=self.name,
            access_key_file=self.folder / "access",
            secret_key_file=self.folder / "hidden",
            ca_file=self.folder / "ca.crt",
        )

    def settings(self, base: Settings, **more: object) -> Settings:
        worm = Worm(**{"stores": (self.described(),), "lag_seconds": 0.01, "tick_seconds": 0.05, **more})
        return base.model_copy(update={"worm": worm})


def make_bucket(store: ObjectStore, folder: Path) -> CopyBucket:
    made = CopyBucket(store, f"copies-{uuid4().hex[:12]}", folder)
    admin = connect(store.access)
    write_bucket(admin, made.name)
    write_user(admin, made.name, made.secret)
    write_policy(admin, made.name, made.name, ACTIONS)
    admin.pool.clear()
    return made


async def copied(service: Service, log: str, size: int) -> dict[str, object]:
    """Wait until the copy covers `size` entries; return what the log says of it."""
    async with service.client() as client:
        for _ in range(600):
            found = (await client.log(log))["copy"]
            if found is not None and found["size"] >= size:
                return found
            await asyncio.sleep(0.05)
    raise AssertionError(f"{log} was not copied to {size}: {found}")


async def fill(service: Service, count: int, log: str = TENANT_LOG, **more: object) -> int:
    """Append entries, in a log that is made first, and wait until they are signed; return the log's size."""
    async with service.client(pod="filler") as client:
        await service.tenant_log(client, log)
        for at in range(0, count, 256):
            await client.append(log, [draft(**more) for _ in range(min(256, count - at))])
        size = (await client.log(log))["durable"]
        await service.signed(log, size)
        return size


async def at_rest(service: Service, *logs: str) -> None:
    """Wait until this writer has entered each log's checkpoint, as it stands, in the platform's log: it adds no more by itself."""
    async with service.client(pod="reader") as client:
        wanted = {(log, str((await client.log(log))["durable"])) for log in logs}
        for _ in range(600):
            said: set[tuple[str, str]] = set()
            for entry in (row["entry"] for row in await signed_rows(client, "platform")):
                if entry["action"] == Action.WRITER_START:  # which enters every log's anew
                    said = set()
                elif entry["action"] == Action.CHECKPOINT_RECORD:
                    said.add((entry["object"]["name"], entry["object"]["version"]))
            if wanted <= said:
                return
            await asyncio.sleep(0.05)
    raise AssertionError(f"the platform's log lacks {wanted - said}")
