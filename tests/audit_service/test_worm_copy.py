"""The copy under Object Lock: whole, locked, never in the way, and caught up after an outage. The store is a real versitygw."""

import asyncio
import json
import shutil
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
from minio.commonconfig import GOVERNANCE
from minio.error import S3Error
from minio.retention import Retention

from audit_contract.checkpoint import open_checkpoint
from audit_contract.entry import Change
from audit_contract.keys import parse_vkey
from audit_contract.merkle import leaf_hash, root_of
from audit_contract.tiles import split_entries, split_hashes
from audit_service.settings import Settings, Worm, WormStores
from audit_service.store.connect import arguments
from audit_service.store.records import LogRecord
from audit_service.worm import layout
from audit_service.worm.command import run
from audit_service.worm.stores import Stores
from tenant_operator.clients.objectstore_buckets import write_bucket
from tenant_operator.clients.objectstore_calls import connect
from tenant_operator.clients.objectstore_users import write_policy
from tests.audit_service.copies import ACTIONS, REGION, CopyBucket, copied, fill, make_bucket
from tests.audit_service.postgres import Postgres
from tests.audit_service.service import TENANT_LOG, running, until_writer
from tests.support.object_store import ObjectStore, needs_store
from tests.support.tenant_context import tenant_context

pytestmark = needs_store


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    store = ObjectStore(tenant_context()).start()
    yield store
    store.remove()


@pytest.fixture
def bucket(store: ObjectStore, tmp_path: Path) -> CopyBucket:
    return make_bucket(store, tmp_path)


async def test_the_copy_holds_every_entry_tile_and_checkpoint_and_no_plain_value(
    settings: Settings, postgres: Postgres, bucket: CopyBucket
) -> None:
    async with running(bucket.settings(settings), postgres) as service:
        await until_writer(service)
        size = await fill(service, 600, change=[Change(path="/x", new="plainly visible")])
        told = await copied(service, TENANT_LOG, size)
        assert told["store"] == bucket.bucket.where
        assert told["lagSeconds"] == 0
        await copied(service, "platform", 2)
        async with service.client() as client:
            keys = (await client.log(TENANT_LOG))["keys"]
    prefix = f"{TENANT_LOG}/"
    versions = bucket.bucket.first_versions(prefix)
    objects = {name.removeprefix(prefix): bucket.bucket.read(name, version) for name, version in versions.items()}
    assert size == 601
    opened = open_checkpoint(
        objects[layout.checkpoint_name(size)], f"test.example/audit/{TENANT_LOG}", map(parse_vkey, keys)
    )
    assert len(opened.signed_by) == 2
    tails = layout.chain([tail for name in objects if (tail := layout.read_tail(name))], 512, size)
    names = ["tile/entries/000", "tile/entries/001", *(tail.name for tail in tails)]
    entries = [entry for name in names for entry in split_entries(objects[name])]
    assert root_of(leaf_hash(entry) for entry in entries) == opened.checkpoint.root
    assert split_hashes(objects["tile/0/001"]) == [leaf_hash(entry) for entry in entries[256:512]]
    assert len(layout.decode_values(objects["values/001"])) == 256
    assert not [name for name, data in objects.items() if b"plainly visible" in data]


async def test_nobody_with_the_writers_credentials_can_delete_or_overwrite_before_the_retention_ends(
    settings: Settings, postgres: Postgres, bucket: CopyBucket
) -> None:
    async with running(bucket.settings(settings), postgres) as service:
        await until_writer(service)
        size = await fill(service, 260)
        await copied(service, TENANT_LOG, size)
    versions = bucket.bucket.first_versions(f"{TENANT_LOG}/")
    assert len(versions) >= 6
    writer, admin = bucket.writer(), connect(bucket.store.access)
    earliest = datetime.now(UTC) + timedelta(days=3649)
    for name, version in versions.items():
        before = bucket.bucket.read(name, version)
        for s3 in (writer.s3, admin.s3):  # not even the store's own administrator, through S3
            with pytest.raises(S3Error):
                s3.remove_object(bucket.name, name, version_id=version)
            with pytest.raises(S3Error):
                s3.set_object_retention(
                    bucket.name, name, Retention(GOVERNANCE, datetime.now(UTC) + timedelta(days=1)), version_id=version
                )
        with pytest.raises(S3Error):
            writer.s3.remove_object(bucket.name, name)  # nor a delete marker over it
        bucket.bucket.put(name, b"another content", datetime.now(UTC) + timedelta(days=1))
        locked = admin.s3.get_object_retention(bucket.name, name, version_id=version)
        assert locked.mode == "COMPLIANCE"
        assert locked.retain_until_date > earliest
        assert bucket.bucket.first_versions(name)[name] == version
        assert bucket.bucket.read(name, version) == before
    with pytest.raises(S3Error):
        writer.s3.remove_bucket(bucket.name)


async def test_appends_go_on_while_the_store_is_away_and_the_copy_catches_up(
    settings: Settings, postgres: Postgres, tmp_path: Path
) -> None:
    store = ObjectStore(tenant_context()).start()
    try:
        bucket = make_bucket(store, tmp_path)
        async with running(bucket.settings(settings), postgres) as service:
            await until_writer(service)
            size = await fill(service, 10)
            await copied(service, TENANT_LOG, size)
            store.stop()
            size = await fill(service, 300)
            async with service.client() as client, service.http(None) as http:
                for _ in range(600):
                    behind = (await client.log(TENANT_LOG))["copy"]
                    text = (await http.get("/metrics")).text
                    if behind["lagSeconds"] > 0.5 and f'lag_seconds{{region="{behind["region"]}"}} 0.0' not in text:
                        break
                    await asyncio.sleep(0.05)
                assert behind["size"] == 11
                assert (await http.get("/readyz")).status_code == 200
                assert 'cloister_audit_worm_uncopied_entries{region="eu-central-1"} 0.0' not in text
                assert "cloister_audit_worm_failures_total{" in text
            store.start()
            assert (await copied(service, TENANT_LOG, size))["lagSeconds"] == 0
    finally:
        store.remove()


async def test_entries_that_are_young_wait_and_are_then_copied_once(
    settings: Settings, postgres: Postgres, bucket: CopyBucket
) -> None:
    async with running(bucket.settings(settings, lag_seconds=12), postgres) as service:
        await until_writer(service)
        for _ in range(5):
            size = await fill(service, 1)
        async with service.client() as client:
            assert (await client.log(TENANT_LOG))["copy"]["size"] == 0
        await copied(service, TENANT_LOG, size)
    names = list(bucket.bucket.first_versions(f"{TENANT_LOG}/tail/"))
    assert sorted(name.removeprefix(f"{TENANT_LOG}/") for name in names) == [
        layout.Tail(0, size).name,
        layout.values_beside(layout.Tail(0, size)),
    ]


async def test_a_store_that_is_named_later_is_taken_up_without_a_restart(
    settings: Settings, postgres: Postgres, bucket: CopyBucket
) -> None:
    stores = bucket.folder / "mounted" / "stores.json"
    late = settings.model_copy(update={"worm": Worm(stores_file=stores, lag_seconds=0.01, tick_seconds=0.05)})
    async with running(late, postgres) as service:
        await until_writer(service)
        size = await fill(service, 5)
        async with service.client() as client, service.http(None) as http:
            assert (await client.log(TENANT_LOG))["copy"] is None
            for _ in range(600):
                text = (await http.get("/metrics")).text
                if "cloister_audit_worm_logs_without_store 2.0" in text:
                    break
                await asyncio.sleep(0.05)
            assert "cloister_audit_worm_logs_without_store 2.0" in text
        stores.parent.mkdir()
        stores.write_text("{ half written")
        await asyncio.sleep(0.2)
        described = json.loads(bucket.described().model_dump_json(by_alias=True))
        stores.write_text(json.dumps({"stores": [described]}))
        assert (await copied(service, TENANT_LOG, size))["region"] == "eu-central-1"


async def test_a_store_that_was_emptied_is_filled_again(settings: Settings, postgres: Postgres, tmp_path: Path) -> None:
    store = ObjectStore(tenant_context()).start()
    try:
        bucket = make_bucket(store, tmp_path)
        async with running(bucket.settings(settings), postgres) as service:
            await until_writer(service)
            size = await fill(service, 300)
            await copied(service, TENANT_LOG, size)
        store.stop()
        for each in ("buckets", "versions"):  # a lost volume, not a request that was granted
            shutil.rmtree(store.root / each)
            (store.root / each).mkdir()
        store.start()
        admin = connect(store.access)
        write_bucket(admin, bucket.name)
        write_policy(admin, bucket.name, bucket.name, ACTIONS)
        async with running(bucket.settings(settings), postgres) as service:
            await until_writer(service)
            for _ in range(600):
                if f"{TENANT_LOG}/{layout.checkpoint_name(size)}" in bucket.bucket.first_versions(f"{TENANT_LOG}/"):
                    break
                await asyncio.sleep(0.05)
        assert (
            await run(
                bucket.settings(settings), Namespace(origin=REGION, log=[TENANT_LOG], all=False, check=True, key=[])
            )
            == 0
        )
    finally:
        store.remove()


async def test_a_store_that_is_away_does_not_hold_up_another_regions(
    settings: Settings, postgres: Postgres, bucket: CopyBucket
) -> None:
    away = bucket.described().model_copy(update={"endpoint": "https://localhost:1", "region": "us-east-1"})
    stores = (away, bucket.described())
    async with running(bucket.settings(settings, stores=stores, platform_region="us-east-1"), postgres) as service:
        await until_writer(service)
        size = await fill(service, 3)
        assert (await copied(service, TENANT_LOG, size))["region"] == "eu-central-1"
        async with service.client() as client:
            told = (await client.log("platform"))["copy"]
            assert (told["region"], told["size"]) == ("us-east-1", 0)


def test_the_platforms_log_goes_to_the_region_that_is_named_else_to_the_first(bucket: CopyBucket) -> None:
    described = [bucket.described().model_copy(update={"region": region}) for region in ("eu", "us")]
    file = bucket.folder / "stores.json"
    platform = LogRecord(1, "platform", "x", "platform", "", "", "", 0, b"")
    for said, own, wanted in (("", "", "eu"), ("", "us", "us"), ("us", "eu", "us")):
        file.write_text(WormStores(stores=tuple(described), platform_region=said).model_dump_json(by_alias=True))
        stores = Stores(Worm(stores_file=file, platform_region=own))
        stores.refresh()
        assert stores.region_of(platform) == wanted
        assert stores.region_of(replace(platform, name="tenant-x", region="eu")) == "eu"
        assert stores.of(replace(platform, name="tenant-x", region="elsewhere")) is None


async def test_a_flipped_bit_in_the_database_does_not_reach_the_copy(
    settings: Settings, postgres: Postgres, bucket: CopyBucket
) -> None:
    async with running(settings, postgres) as service:
        await until_writer(service)
        size = await fill(service, 3)
        number = (await service.state.find_log(TENANT_LOG)).number
    admin = await asyncpg.connect(**arguments(settings.database, settings.database.name, settings.database.admin))
    await admin.execute(
        "UPDATE leaf SET data = set_byte(data, 40, get_byte(data, 40) # 1) WHERE log = $1 AND index = 2", number
    )
    await admin.close()
    async with running(bucket.settings(settings), postgres) as service:
        await until_writer(service)
        await copied(service, "platform", 1)
        async with service.client() as client, service.http(None) as http:
            for _ in range(600):
                if 'worm_failures_total{region="eu-central-1"}' in (await http.get("/metrics")).text:
                    break
                await asyncio.sleep(0.05)
            assert (await client.log(TENANT_LOG))["copy"]["size"] == 0
    assert size == 4
    assert not bucket.bucket.first_versions(f"{TENANT_LOG}/tail/")
