"""The places of the audit service's copies, made in a real versitygw, and told in the Secret that its pod mounts."""

import asyncio
import base64
import copy
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from minio.error import S3Error

from audit_service.settings import Worm
from audit_service.store.records import LogRecord
from audit_service.worm.stores import Stores
from tenant_operator.clients.objectstore_audit import AuditBuckets
from tenant_operator.clients.objectstore_calls import connect
from tenant_operator.errors import Retryable
from tenant_operator.reconcile.audit_copies import AuditCopies
from tenant_operator.stack import audit_copies
from tenant_operator.stack.derive import Deriver
from tenant_operator.stack.part import ObjectKey
from tests.support.helm import ROOT
from tests.support.object_store import ObjectStore
from tests.support.tenant_context import tenant_context
from tests.support.world import FakeAudit, FakeCluster

SECRET = ObjectKey("v1", "Secret", "cloister-audit", audit_copies.SECRET)


@pytest.fixture(scope="module")
def store():
    store = ObjectStore(tenant_context()).start()
    yield store
    store.remove()


@pytest.fixture
def world(store, request):
    """Two Regions, of which the second one's store does not answer."""
    audit = FakeAudit()
    cluster = FakeCluster(audit)
    regions = list(yaml.safe_load_all((ROOT / "examples/regions.yaml").read_text()))
    for number, region in enumerate(regions):
        region["metadata"]["creationTimestamp"] = f"2026-11-2{number}T00:00:00Z"
        region["spec"]["objectStore"]["endpoint"] = store.access.endpoint if number == 0 else "https://localhost:1"
        region["spec"]["objectStore"]["region"] = store.access.region
        cluster.put(region)

    def access(region):
        return replace(store.access, endpoint=region.object_store.endpoint)

    derive = Deriver(request.node.name.encode().ljust(32)[:32], datetime(2026, 1, 1, tzinfo=UTC))
    buckets = AuditBuckets(access, lambda _: store.access.ca)
    return AuditCopies(cluster, buckets, audit, derive, "cloister-audit"), cluster, audit, regions


def mounted(cluster, folder):
    """What the kubelet makes of the Secret in the audit service's pod."""
    folder.mkdir(exist_ok=True)
    for key, value in cluster.get(SECRET)["data"].items():
        (folder / key).write_bytes(base64.b64decode(value))
    stores = Stores(Worm(stores_file=folder / "stores.json"))
    stores.refresh()
    return stores


async def test_the_bucket_the_user_and_the_secret_are_made_recorded_and_then_left_alone(world, store, tmp_path):
    copies, cluster, audit, regions = world
    assert not await copies.round()  # the second Region's store is away, which holds up nothing
    said = [(log, phase, item.action, item.object_type) for log, phase, item in audit.entries]
    assert said == [
        ("platform", "intent", "operator:bucket:create", "Bucket"),
        ("platform", "ok", "operator:bucket:create", "Bucket"),
        ("platform", "intent", "operator:bucket-user:create", "BucketUser"),
        ("platform", "ok", "operator:bucket-user:create", "BucketUser"),
        ("platform", "intent", "operator:credentials:create", "Secret"),
        ("platform", "ok", "operator:credentials:create", "Secret"),
    ]
    hidden = audit_copies.secret_key(copies.derive, store.access.endpoint)
    assert hidden not in repr(audit.entries)
    entries, writes = len(audit.entries), len(cluster.writes)
    assert not await copies.round()
    assert (len(audit.entries), len(cluster.writes)) == (entries, writes)
    bucket = mounted(cluster, tmp_path / "mounted").named(regions[0]["metadata"]["name"])
    until = datetime.now(UTC) + timedelta(days=1)
    bucket.put("tenant-x/log", b"content", until)
    ((name, version),) = bucket.first_versions("tenant-x/").items()
    assert bucket.read(name, version) == b"content"
    with pytest.raises(S3Error):
        connect(store.access).s3.remove_object(bucket.access.bucket, name, version_id=version)


async def test_a_region_whose_store_comes_later_is_added_and_the_first_one_keeps_the_platforms_log(
    world, store, tmp_path
):
    copies, cluster, _, regions = world
    names = [region["metadata"]["name"] for region in regions]
    assert not await copies.round()
    assert mounted(cluster, tmp_path / "mounted").regions == names[:1]
    later = copy.deepcopy(regions[1])
    later["spec"]["objectStore"]["endpoint"] = store.access.endpoint
    later["metadata"]["creationTimestamp"] = (
        "2025-01-01T00:00:00Z"  # made anew, as after a reinstallation: it is the older one now
    )
    cluster.put(later)
    copies.buckets._access_for = lambda _: store.access
    assert await copies.round()
    assert await copies.round()
    stores = mounted(cluster, tmp_path / "mounted")
    assert sorted(stores.regions) == sorted(names)
    platform = LogRecord(1, "platform", "x", "platform", "", "", "", 0, b"")
    assert stores.region_of(platform) == names[0]
    cluster.vanish(ObjectKey("cloister.dev/v1alpha1", "Region", "", names[1]))
    await copies.round()
    assert sorted(mounted(cluster, tmp_path / "mounted").regions) == sorted(names)


async def test_without_the_audit_log_nothing_is_made(world, store):
    copies, cluster, audit, _ = world
    audit.away = True
    assert not await copies.round()
    assert audit_copies.bucket_name(copies.derive) not in {
        each.name for each in connect(store.access).s3.list_buckets()
    }
    assert cluster.get(SECRET) is None


async def test_a_secret_somebody_damaged_is_written_anew(world, tmp_path):
    copies, cluster, _, regions = world
    await copies.round()
    damaged = copy.deepcopy(cluster.get(SECRET))
    damaged["data"]["stores.json"] = base64.b64encode(b"{ nonsense").decode()
    cluster.put(damaged)
    await copies.round()
    assert mounted(cluster, tmp_path / "mounted").regions == [regions[0]["metadata"]["name"]]


async def test_a_store_that_takes_the_user_and_does_not_let_it_in_is_said_and_not_tried_for_ever(world):
    copies, _, audit, _ = world

    class Stubborn:
        def ca(self, region):
            return ""

        async def observe(self, region, wanted):
            return {**wanted.spec, "region": "elsewhere"}

        async def ensure(self, region, wanted):
            pass

    copies.buckets = Stubborn()
    for _ in range(5):
        assert not await copies.round()
    assert len(audit.entries) == 4  # one intent and one outcome a Region


async def test_the_task_outlives_a_failing_round(world):
    copies, cluster, _, _ = world
    calls = []

    class Broken:
        def ca(self, region):
            calls.append(1)
            if len(calls) % 2:
                raise Retryable("away")
            raise RuntimeError("a mistake")

    copies.buckets = Broken()
    task = asyncio.create_task(copies.run())
    for _ in range(3000):
        await asyncio.sleep(0.01)
        copies.wake()
        if len(calls) >= 6:
            break
    assert len(calls) >= 6
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cluster.get(SECRET) is None
