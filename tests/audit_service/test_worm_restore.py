"""A log is made again from its copy, proven against what was signed, and goes on; a copy that was tampered with is refused."""

import asyncio
import shutil
from argparse import Namespace
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from audit_contract.entry import Change, Reason
from audit_contract.merkle import leaf_hash
from audit_contract.report import Exit
from audit_contract.tiles import bundle_entries, split_entries
from audit_contract.verify import verify_bundle
from audit_service.http.entries import bundle_parts
from audit_service.settings import Settings
from audit_service.store.connect import arguments
from audit_service.worm import layout
from audit_service.worm.command import run
from tests.audit_service.copies import REGION, CopyBucket, at_rest, copied, fill, make_bucket
from tests.audit_service.postgres import Postgres
from tests.audit_service.service import TENANT_LOG, Service, draft, migrated, running, until_writer
from tests.audit_service.test_rotation import new_keys, until_keys, vkeys, with_keys
from tests.support.object_store import ObjectStore, needs_store
from tests.support.tenant_context import tenant_context

pytestmark = needs_store
PERSON = {"type": "user", "sub": "dpo-1", "name": "Data Protection"}
ERASURE = {
    "index": 2,
    "field": "change.0.new",
    "actor": PERSON,
    "reason": {"code": "ErasureRequest", "text": "ticket 17"},
}
OTHER = "tenant-7d1c7ef0-27b5-4b41-9f8e-0d5b1c7f2b22"


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    store = ObjectStore(tenant_context()).start()
    yield store
    store.remove()


@pytest.fixture
def bucket(store: ObjectStore, tmp_path: Path) -> CopyBucket:
    return make_bucket(store, tmp_path)


async def restore(settings: Settings, origin: str = REGION, *, log: str = "", check: bool = False) -> int:
    chosen = Namespace(origin=origin, log=[log] if log else [], all=not log, check=check, key=[])
    return await run(settings, chosen)


async def another_database(settings: Settings) -> Settings:
    """An empty database beside the first one, as a new volume would be."""
    database = settings.database.model_copy(update={"name": f"audit_{uuid4().hex[:12]}"})
    return await migrated(settings.model_copy(update={"database": database}))


async def facts(service: Service, log: str = TENANT_LOG) -> tuple[dict, list[dict], dict]:
    async with service.client() as client:
        said = await client.log(log)
        rows = [row async for row in _rows(client, log, said["size"])]
        report = verify_bundle(await _bundle(service, log), said["keys"])
        assert report.problems == []
    return said, rows, {"values": report.values, "erased": report.erased, "sources": report.sources}


async def _bundle(service: Service, log: str) -> bytes:
    """Make the bundle past HTTP: there an export would be recorded, and the log would grow by being looked at."""
    record = await service.state.books.find(log)
    assert record is not None
    signed = await service.state.reading.checkpoint(record.number)
    return b"".join([part async for part in bundle_parts(service.state, record, signed)])


async def _rows(client, log: str, size: int):
    at = 0
    while at < size:
        rows = await client.entries(log, **{"from": at, "limit": 100})
        for row in rows:
            yield row
        at = rows[-1]["index"] + 1


async def test_a_restored_log_is_the_same_log_and_goes_on(
    settings: Settings, postgres: Postgres, bucket: CopyBucket, tmp_path: Path
) -> None:
    (tmp_path / "guard").mkdir()
    settings = bucket.settings(settings.model_copy(update={"guard_folder": tmp_path / "guard"}))
    async with running(settings, postgres) as service:
        await until_writer(service)
        await fill(
            service, 600, change=[Change(path="/x", old=None, new="Ana Ruiz")], reason=Reason(code="X", text="why")
        )
        async with service.http() as http:
            assert (await http.post(f"/v1/logs/{TENANT_LOG}/erasures", json=ERASURE)).status_code == 200
        size = await fill(service, 3)
        await service.tenant_log(service.client(), OTHER, "other")
        await service.signed(OTHER, 1)
        for log, least in ((TENANT_LOG, size), (OTHER, 1)):
            await copied(service, log, least)
        before = await facts(service)
    # The service is stopped; what it signed last may not be copied yet, and the guard would remember it.
    async with running(settings, postgres) as service:
        await until_writer(service)
        await at_rest(service, TENANT_LOG, OTHER)
        async with service.client() as client:
            for log in (TENANT_LOG, OTHER, "platform"):
                await copied(service, log, (await client.log(log))["durable"])
        last = await facts(service, "platform")
    empty = await another_database(settings)
    assert await restore(empty) == 0
    async with running(empty, postgres) as service:
        await until_writer(service)
        assert service.state.writer.guard.refusal == ""
        after = await facts(service)
        assert after[0]["checkpoint"] == before[0]["checkpoint"]
        assert after[0]["root"] == before[0]["root"]
        assert after[1:] == before[1:]
        assert after[2]["erased"] == 1
        platform = await facts(service, "platform")
        assert platform[1][: len(last[1])] == last[1]
        async with service.client() as client:
            assert (await client.proof(TENANT_LOG, 0)).startswith(b"c2sp.org/tlog-proof@v1")
            rows = await client.entries(TENANT_LOG, actor="u-1", limit=5)
            assert [row["index"] for row in rows] == [1, 2, 3, 4, 5]
        # The source that wrote before goes on with its next number, and the copy goes on as well.
        async with service.client(pod="filler") as client:
            (receipt,) = await client.append(TENANT_LOG, [draft()])
            assert receipt.index == size
            entry = await client.entries(TENANT_LOG, **{"from": size})
        await service.signed(TENANT_LOG, size + 1)
        async with service.client() as client:
            entry = (await client.entries(TENANT_LOG, **{"from": size}))[0]["entry"]
        assert entry["src"]["seq"] == 603
        assert (await copied(service, TENANT_LOG, size + 1))["size"] == size + 1
    again = await another_database(settings)
    assert await restore(again) == 0


async def test_the_writer_after_a_restore_is_a_source_that_no_log_knows(
    settings: Settings, postgres: Postgres, bucket: CopyBucket
) -> None:
    settings = bucket.settings(settings)
    for _ in range(3):
        async with running(settings, postgres) as service:
            await until_writer(service)
            await asyncio.sleep(0.1)
            size = (await service.client().log("platform"))["durable"]
            await copied(service, "platform", size)
    empty = await another_database(settings)
    assert await restore(empty) == 0
    async with running(empty, postgres) as service:
        await until_writer(service)
        await service.signed("platform", size + 1)
        sources = [row["entry"]["src"] for row in (await facts(service, "platform"))[1]]
        own = {source["id"] for source in sources[:size]}
        assert sources[size]["id"] not in own
        assert sources[size]["seq"] == 0


async def test_an_erased_value_does_not_come_back(settings: Settings, postgres: Postgres, bucket: CopyBucket) -> None:
    settings = bucket.settings(settings)
    async with running(settings, postgres) as service:
        await until_writer(service)
        size = await fill(service, 3, change=[Change(path="/x", old=None, new="Ana Ruiz of Sevilla")])
        await copied(service, TENANT_LOG, size)  # copied with its values, before the erasure
        async with service.http() as http:
            assert (await http.post(f"/v1/logs/{TENANT_LOG}/erasures", json=ERASURE)).status_code == 200
        await service.signed(TENANT_LOG, size + 1)
        await copied(service, TENANT_LOG, size + 1)
    empty = await another_database(settings)
    assert await restore(empty) == 0  # with the platform's log, without which nothing is written
    async with running(empty, postgres) as service:
        await until_writer(service)
        _, rows, counted = await facts(service)
        assert counted["erased"] == 1
        assert rows[2]["values"]["change.0.new"] == {"erased": size}
        assert rows[1]["values"]["change.0.new"]["value"] == "Ana Ruiz of Sevilla"


async def test_a_new_or_set_back_database_is_not_written_to_while_its_copy_has_more(
    settings: Settings, postgres: Postgres, bucket: CopyBucket, caplog: pytest.LogCaptureFixture
) -> None:
    settings = bucket.settings(settings)
    async with running(settings, postgres) as service:
        await until_writer(service)
        size = (await service.client().log("platform"))["durable"]
        await copied(service, "platform", size)
    # Somebody with the writer's credentials cannot keep the service away by laying checkpoints there.
    until = datetime.now(UTC) + timedelta(days=1)
    bucket.bucket.put(f"platform/{layout.checkpoint_name(10**6)}", b"not signed by anybody", until)
    async with running(settings, postgres) as service:
        await until_writer(service)
    assert "names 1 checkpoints beyond the" in caplog.text
    empty = await another_database(settings)
    async with running(empty, postgres) as service:
        for _ in range(1500):
            if service.state.writer.guard.refusal:
                break
            await asyncio.sleep(0.02)
        assert "signed entries and the database has 0: it is new or was set back" in service.state.writer.guard.refusal
        assert not service.state.writer.is_writer
        async with service.http(None) as http:
            assert (await http.get("/readyz")).status_code == 503
        assert await service.state.reading.logs() == []
    assert await restore(empty) == 0
    async with running(empty, postgres) as service:
        await until_writer(service)


async def test_a_store_that_is_away_keeps_nobody_from_writing(
    settings: Settings, postgres: Postgres, bucket: CopyBucket
) -> None:
    away = bucket.described().model_copy(update={"endpoint": "https://localhost:1"})
    async with running(bucket.settings(settings, stores=(away,)), postgres) as service:
        await until_writer(service)
        await fill(service, 3)


@pytest.fixture
async def mirror(settings: Settings, postgres: Postgres, bucket: CopyBucket, tmp_path: Path) -> Path:
    """A folder with the objects of a copy that has three checkpoints, which tests may alter."""
    async with running(bucket.settings(settings), postgres) as service:
        await until_writer(service)
        for count in (300, 100, 150):
            size = await fill(service, count, change=[Change(path="/x", new="value")])
            await copied(service, TENANT_LOG, size)
    folder = tmp_path / "mirror"
    for name, version in bucket.bucket.first_versions("").items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bucket.bucket.read(name, version))
    return folder


def _swap(data: bytes, at: int) -> bytes:
    entries = split_entries(data)
    entries[at], entries[at + 1] = entries[at + 1], entries[at]
    return bundle_entries(entries)


def _drop(data: bytes, at: int) -> bytes:
    entries = split_entries(data)
    del entries[at]
    return bundle_entries(entries)


def _flip(data: bytes, at: int) -> bytes:
    entries = split_entries(data)
    entries[at] = entries[at].replace(b"operator:object:apply", b"operator:object:adopt")
    return bundle_entries(entries)


@pytest.mark.parametrize(
    ("name", "change", "code", "index"),
    [
        ("tile/entries/000", lambda data: _flip(data, 17), Exit.TAMPERED, 17),
        ("tile/entries/000", lambda data: _swap(data, 30), Exit.TAMPERED, 30),
        ("tile/entries/001", lambda data: _flip(data, 4), Exit.TAMPERED, 260),
        ("tile/entries/001", lambda data: _drop(data, 200), Exit.TAMPERED, None),
        ("tile/entries/001", lambda data: data[:-5], Exit.TAMPERED, None),
        ("tile/0/000", lambda data: data[:64] + bytes(32) + data[96:], Exit.TAMPERED, 2),
        ("values/000", lambda data: data.replace(b'"sealed":"', b'"sealed":"AAAA', 1), Exit.TAMPERED, 1),
        ("values/000", lambda data: b"".join(data.splitlines(keepends=True)[1:]), Exit.INCOMPLETE, 1),
        ("values/000", lambda data: data + data.splitlines(keepends=True)[3].replace(b'"field":2', b'"field":9'), Exit.TAMPERED, 4),
        ("values/000", lambda data: b'{"index":1,"field":2,"erased":5}\n' + b"".join(data.splitlines(keepends=True)[1:]), Exit.INCOMPLETE, 1),
    ],
)  # fmt: skip
async def test_a_copy_that_was_tampered_with_is_refused_with_the_first_bad_index(
    mirror: Path,
    settings: Settings,
    postgres: Postgres,
    capsys: pytest.CaptureFixture[str],
    name: str,
    change: Callable[[bytes], bytes],
    code: Exit,
    index: int | None,
) -> None:
    assert await restore(settings, str(mirror), log=TENANT_LOG, check=True) == 0
    file = mirror / TENANT_LOG / name
    old = file.read_bytes()
    file.write_bytes(change(old))
    assert file.read_bytes() != old
    empty = await another_database(settings)
    capsys.readouterr()
    assert await restore(empty, str(mirror), log=TENANT_LOG) == code
    if index is not None:
        assert f"entry {index}: " in capsys.readouterr().err
    async with running(empty, postgres) as service:
        await until_writer(service)
        assert [log.name for log in await service.state.reading.logs()] == ["platform"]


async def test_an_entry_altered_together_with_its_tile_is_found_between_two_checkpoints(
    mirror: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = sorted(int(file.name) for file in (mirror / TENANT_LOG / "checkpoint").iterdir())
    assert len(sizes) >= 3
    bad = 350
    at = bad - 256
    entries, tile = mirror / TENANT_LOG / "tile/entries/001", mirror / TENANT_LOG / "tile/0/001"
    entries.write_bytes(_flip(entries.read_bytes(), at))
    hashes = tile.read_bytes()
    new = leaf_hash(split_entries(entries.read_bytes())[at])
    tile.write_bytes(hashes[: at * 32] + new + hashes[(at + 1) * 32 :])
    assert await restore(settings, str(mirror), log=TENANT_LOG, check=True) == Exit.TAMPERED
    good = max(size for size in sizes if size <= bad)
    worse = min(size for size in sizes if size > bad)
    said = f"entry {good}: the first entry that was altered lies between {good} and {worse - 1}"
    assert said in capsys.readouterr().err


async def test_a_copy_with_a_hole_or_of_another_identity_or_signed_by_nobody_is_refused(
    mirror: Path, settings: Settings, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    async def refused(code: Exit, text: str, change: Callable[[Path], None]) -> None:
        broken = tmp_path / uuid4().hex
        shutil.copytree(mirror, broken)
        change(broken / TENANT_LOG)
        capsys.readouterr()
        assert await restore(settings, str(broken), log=TENANT_LOG, check=True) == code
        assert text in capsys.readouterr().err

    def other_retention(folder: Path) -> None:
        (identity,) = (folder / "identity").iterdir()
        identity.write_bytes(identity.read_bytes().replace(b'"retentionDays":3650', b'"retentionDays":1'))

    def unsigned(folder: Path) -> None:
        for file in (folder / "checkpoint").iterdir():
            lines = file.read_text().split("\n")
            lines[2] = "A" * 43 + "="
            file.write_text("\n".join(lines))

    last = sorted((mirror / TENANT_LOG / "tail").iterdir())[-2]
    await refused(Exit.INCOMPLETE, "are not all in the copy", lambda folder: (folder / "tail" / last.name).unlink())
    await refused(Exit.INCOMPLETE, "tile/entries/000 is missing", lambda folder: (folder / "tile/entries/000").unlink())
    await refused(Exit.TAMPERED, "retentionDays '3650', the copy says '1'", other_retention)
    await refused(Exit.POLICY, "no checkpoint signed by", unsigned)
    await refused(Exit.INCOMPLETE, "holds no copy of", shutil.rmtree)


async def test_what_was_laid_over_the_copy_later_is_not_seen(
    settings: Settings, postgres: Postgres, bucket: CopyBucket
) -> None:
    settings = bucket.settings(settings)
    async with running(settings, postgres) as service:
        await until_writer(service)
        size = await fill(service, 300)
        await copied(service, TENANT_LOG, size)
    until = datetime.now(UTC) + timedelta(days=1)
    for name in bucket.bucket.first_versions(f"{TENANT_LOG}/"):
        bucket.bucket.put(name, b"overwritten", until)
    bucket.bucket.put(f"{TENANT_LOG}/{layout.checkpoint_name(10**6)}", b"not a checkpoint", until)
    assert await restore(settings, log=TENANT_LOG, check=True) == 0
    empty = await another_database(settings)
    assert await restore(empty, log=TENANT_LOG) == 0


async def test_it_is_never_restored_over_more_or_other_entries_or_beside_a_writer(
    settings: Settings, postgres: Postgres, bucket: CopyBucket, capsys: pytest.CaptureFixture[str]
) -> None:
    copying = bucket.settings(settings)
    async with running(copying, postgres) as service:
        await until_writer(service)
        size = await fill(service, 5)
        await copied(service, TENANT_LOG, size)
        assert await restore(copying, log=TENANT_LOG) == Exit.POLICY
        assert "stop it first" in capsys.readouterr().err
    async with running(settings, postgres) as service:  # without copying
        await until_writer(service)
        longer = await fill(service, 1)
    assert await restore(copying, log=TENANT_LOG) == Exit.POLICY
    assert f"the database has {longer} entries of {TENANT_LOG} and the copy {size}" in capsys.readouterr().err
    other = await another_database(settings)
    async with running(other, postgres) as service:
        await until_writer(service)
        await fill(service, 1)
    assert await restore(bucket.settings(other), log=TENANT_LOG) == Exit.POLICY
    assert "another log by the name" in capsys.readouterr().err


async def test_who_has_an_older_key_follows_a_restored_log_to_the_newest(
    settings: Settings, postgres: Postgres, bucket: CopyBucket, tmp_path: Path
) -> None:
    old = vkeys(settings)
    following = new_keys(tmp_path / "keys-1")
    settings = bucket.settings(with_keys(settings, following=following))
    async with running(settings, postgres) as service:
        await until_writer(service)
        await fill(service, 3)
        async with service.client() as client:
            await until_keys(client, vkeys(with_keys(settings, following)))
        size = await fill(service, 3)
        await copied(service, TENANT_LOG, size)
    settings = with_keys(settings, following)
    empty = await another_database(settings)
    assert await restore(empty, log=TENANT_LOG) == 0
    async with running(empty.model_copy(update={"worm": type(empty.worm)()}), postgres) as service:
        await until_writer(service)
        data = await _bundle(service, TENANT_LOG)
        assert verify_bundle(data, old).problems == []
        assert await fill(service, 1) == size + 1
        assert verify_bundle(await _bundle(service, TENANT_LOG), old).trusted


async def test_a_database_that_was_set_back_is_completed_from_the_copy(
    settings: Settings, postgres: Postgres, bucket: CopyBucket, tmp_path: Path
) -> None:
    (tmp_path / "guard").mkdir()
    settings = bucket.settings(settings.model_copy(update={"guard_folder": tmp_path / "guard"}))
    kept = f"kept_{uuid4().hex[:12]}"
    admin = await asyncpg.connect(**arguments(settings.database, "postgres", settings.database.admin))
    try:
        async with running(settings, postgres) as service:
            await until_writer(service)
            await fill(service, 290)
        await admin.execute(f"CREATE DATABASE {kept} TEMPLATE {settings.database.name}")
        async with running(settings, postgres) as service:
            await until_writer(service)
            size = await fill(service, 300)
            await at_rest(service, TENANT_LOG)
            async with service.client() as client:
                for log in (TENANT_LOG, "platform"):
                    await copied(service, log, (await client.log(log))["durable"])
            before = await facts(service)
        backup = settings.model_copy(update={"database": settings.database.model_copy(update={"name": kept})})
        async with running(backup, postgres) as service:
            for _ in range(1500):
                if service.state.writer.guard.refusal:
                    break
                await asyncio.sleep(0.02)
            assert "it was set back" in service.state.writer.guard.refusal
        await asyncio.sleep(0.2)
        assert await restore(backup) == 0
        async with running(backup, postgres) as service:
            await until_writer(service)
            after = await facts(service)
            assert after[0]["size"] == size
            assert after[0]["checkpoint"] == before[0]["checkpoint"]
            assert after[1:] == before[1:]
    finally:
        await admin.close()
