"""The backup job against a real server and a real store; Vault and the audit log are stood in for."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from minio.commonconfig import GOVERNANCE
from minio.retention import Retention

from audit_contract.client import AuditUnavailable
from tenant_operator.clients.objectstore import ObjectStores
from tenant_operator.clients.objectstore_calls import connect
from tenant_operator.clients.postgres import Address, Postgres
from tenant_operator.jobs import backup as job
from tenant_operator.jobs.backup_source import SourceFailed
from tenant_operator.jobs.backup_store import BackupStore, StoreFailed
from tenant_operator.jobs.crypt import new_header, unseal
from tenant_operator.stack import backup, database
from tenant_operator.stack.part import External
from tests.support.object_store import ObjectStore
from tests.support.postgres_server import BIN, PostgresServer, give, make_template
from tests.support.tenant_context import tenant_context

CTX = tenant_context()
KEY = b"d" * 32


@pytest.fixture(scope="module")
def server():
    folder = give(Path(tempfile.mkdtemp(prefix="cloister-template-")))
    server = PostgresServer(CTX, make_template(folder)).start()
    yield server
    server.remove()
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def store():
    store = ObjectStore(CTX).start()
    yield store
    store.remove()


@pytest.fixture
async def config(server, store, tmp_path):
    """What the pod would mount, with the roles, the database, the bucket and its user made by the operator's own clients."""

    async def access(_):
        return store.access

    systems = {
        "postgres": Postgres(lambda _: Address("localhost", server.port, "127.0.0.1")),
        "objectstore": ObjectStores(access),
    }
    for wanted in (*database.desired(CTX), *backup.desired(CTX)):
        if isinstance(wanted, External):
            system = systems[wanted.key.system]
            await system.ensure(CTX, wanted, await system.observe(CTX, wanted))
    await systems["postgres"].close()
    systems["objectstore"].close()
    found = backup.config(CTX)
    files = {
        "dbpass": CTX.derive.password(CTX.names.id, "backup", 0), "access": CTX.names.bucket, "secret": backup.secret_key(CTX),
        "ca": CTX.derive.ca.certificate,
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    local = {"host": "localhost", "hostaddr": "127.0.0.1", "port": server.port}
    found["database"] |= local | {"passwordFile": f"{tmp_path}/dbpass", "caFile": f"{tmp_path}/ca"}
    found["store"] |= {
        "endpoint": store.access.endpoint, "accessKeyFile": f"{tmp_path}/access", "secretKeyFile": f"{tmp_path}/secret",
        "caFile": f"{tmp_path}/ca",
    }  # fmt: skip
    return found


class Auditor:
    """Stands in for AuditClient: keeps what was appended, or refuses."""

    def __init__(self, *, down=False):
        self.drafts, self.down = [], down

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass

    async def append(self, log, drafts):
        if self.down:
            raise AuditUnavailable("down")
        assert log == CTX.names.audit_log
        self.drafts += drafts


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch):
    auditor = Auditor()
    monkeypatch.setattr(job, "_auditor", lambda _: auditor)
    monkeypatch.setenv("PATH", f"{BIN}:{os.environ['PATH']}")

    async def data_key(_):
        return KEY, "vault:v1:wrapped"

    monkeypatch.setattr(job, "data_key", data_key)
    return auditor


async def test_a_backup_is_stored_locked_recorded_and_starts_as_a_server_again(
    config, server, store, stand_ins, tmp_path
):
    login = {
        "host": "localhost", "hostaddr": "127.0.0.1", "port": server.port, "dbname": "app", "user": "app_owner",
        "password": CTX.derive.password(CTX.names.id, "app_owner", 0),
    }  # fmt: skip
    with psycopg.connect(**login) as db:
        db.execute("CREATE TABLE letters AS SELECT n, md5(n::text) AS t FROM generate_series(1, 20000) n")
        before = db.execute("SELECT md5(string_agg(t, '' ORDER BY n)) FROM letters").fetchone()
    report = await job.run(config)
    intent, outcome = stand_ins.drafts
    assert (intent.phase, outcome.phase, outcome.result, outcome.intent) == ("intent", "outcome", "ok", intent.id)
    assert outcome.object.sha256 == report["sha256"]
    assert "wrapped" in json.dumps(outcome.body())
    s3 = connect(store.access).s3
    name = f"backups/{report['backup']}/base.sealed"
    data = s3.get_object(CTX.names.bucket, name).data
    assert (len(data), hashlib.sha256(data).hexdigest()) == (report["size"], report["sha256"])
    manifest = json.loads(s3.get_object(CTX.names.bucket, f"backups/{report['backup']}/manifest.json").data)
    assert manifest["systemIdentifier"] == server.control()["Database system identifier"]
    for each in (name, f"backups/{report['backup']}/manifest.json"):
        lock = s3.get_object_retention(CTX.names.bucket, each)
        assert lock.mode == "GOVERNANCE"
        assert lock.retain_until_date > datetime.now(UTC) + timedelta(days=29)
    restored = restore(data, server)
    assert restored == before


def restore(data, server):
    """Open, unpack, verify and start it, as a person would."""
    other = PostgresServer(CTX, server.template)
    plain = b"".join(unseal(io.BytesIO(data), lambda _: KEY))
    other.data.mkdir(mode=0o700)
    subprocess.run(["tar", "--zstd", "-xf", "-", "-C", other.data], input=plain, check=True)
    subprocess.run([BIN / "pg_verifybackup", "--exit-on-error", other.data], check=True, capture_output=True)
    subprocess.run(["chown", "-R", f"--reference={other.root}", other.data], check=True)
    try:
        other.start()
        login = {
            "host": "localhost", "hostaddr": "127.0.0.1", "port": other.port, "dbname": "app", "user": "app_owner",
            "password": CTX.derive.password(CTX.names.id, "app_owner", 0),
        }  # fmt: skip
        with psycopg.connect(**login) as db:
            return db.execute("SELECT md5(string_agg(t, '' ORDER BY n)) FROM letters").fetchone()
    finally:
        other.remove()


async def test_without_the_audit_log_nothing_is_read_or_stored(config, store, stand_ins):
    stand_ins.down = True
    before = len(list(connect(store.access).s3.list_objects(CTX.names.bucket, recursive=True)))
    with pytest.raises(AuditUnavailable):
        await job.run(config)
    assert len(list(connect(store.access).s3.list_objects(CTX.names.bucket, recursive=True))) == before


async def test_a_server_that_cannot_be_read_is_an_error_in_the_log_and_leaves_no_manifest(config, store, stand_ins):
    config["database"]["port"] += 1
    with pytest.raises(SourceFailed):
        await job.run(config)
    assert [draft.phase for draft in stand_ins.drafts] == ["intent", "outcome"]
    assert stand_ins.drafts[1].result == "error"


async def test_a_basebackup_that_dies_half_way_leaves_no_manifest(config, store, stand_ins, monkeypatch, tmp_path):
    fake = tmp_path / "bin" / "pg_basebackup"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\nhead -c 100000 /dev/zero\necho it broke >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:/usr/bin:/bin")
    with pytest.raises(SourceFailed, match="it broke"):
        await job.run(config)
    name = stand_ins.drafts[0].object.id
    names = {found.object_name for found in connect(store.access).s3.list_objects(CTX.names.bucket, recursive=True)}
    assert f"backups/{name}/manifest.json" not in names


async def test_what_reads_back_changed_is_no_backup(config, monkeypatch):
    store = BackupStore(config["store"])
    header = new_header("vault:v1:x", chunk=1024)
    until = datetime.now(UTC) + timedelta(seconds=30)
    found = store.write("20260101T000000Z-changed", io.BytesIO(b"x" * 5000), KEY, header, until, expected=5000)
    store.verify(found, KEY)
    with pytest.raises(StoreFailed):
        store.verify({**found, "sha256": "0" * 64}, KEY)


async def test_only_expired_backups_are_pruned_and_never_the_newest(config, store):
    bucket, s3 = CTX.names.bucket, connect(store.access).s3
    mine = BackupStore(config["store"])
    old, older = "20200102T000000Z-a", "20200101T000000Z-b"
    for name in (old, older, "strange"):
        for file in ("base.sealed", "manifest.json"):
            s3.put_object(bucket, f"backups/{name}/{file}", io.BytesIO(b"x"), 1)
    held = Retention(GOVERNANCE, datetime.now(UTC) + timedelta(days=1))
    s3.put_object(bucket, "backups/20200103T000000Z-held/base.sealed", io.BytesIO(b"x"), 1, retention=held)
    now = datetime.now(UTC)
    newer = {found.object_name.split("/")[1] for found in s3.list_objects(bucket, "backups/", recursive=True)} - {
        old,
        older,
    }
    gone = mine.prune(now, timedelta(days=30))
    assert {old, older} & set(gone) >= {older}
    left = {found.object_name.split("/")[1] for found in s3.list_objects(bucket, "backups/", recursive=True)}
    assert newer - set(gone) <= left
    assert {"strange", "20200103T000000Z-held"} <= left
    assert mine.prune(now, timedelta(days=30)) == []


def test_the_report_of_a_failure_is_a_termination_message(config, monkeypatch, tmp_path, capsys):
    config["database"]["port"] += 1
    (tmp_path / "config.json").write_text(json.dumps(config))
    monkeypatch.setenv("CLOISTER_BACKUP_CONFIG", str(tmp_path / "config.json"))
    monkeypatch.setattr(job, "REPORT", tmp_path / "report")
    assert job.main() == 1
    report = json.loads((tmp_path / "report").read_text())
    assert set(report) == {"at", "error"}
    assert "cannot be asked" in report["error"]
