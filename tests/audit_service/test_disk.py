"""A database whose disk is full refuses clearly, acknowledges nothing, and goes on by itself when there is space again."""

import asyncio
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from audit_contract.client import AuditClient, AuditUnavailable, Receipt
from audit_contract.entry import Change, Draft
from audit_contract.verify import verify_bundle
from audit_service.store.connect import arguments
from tests.audit_service.postgres import Postgres, free_port
from tests.audit_service.service import TENANT_LOG, Service, draft, make_settings, migrated, running, until_writer

SIZE = 200 << 20
LARGE = "x" * 20_000


@pytest.fixture
def disk() -> Iterator[Path]:
    """A disk of its own for one PostgreSQL."""
    if os.getuid() != 0:
        pytest.skip("only root can mount a small disk")
    folder = Path(tempfile.mkdtemp(prefix="cloister-audit-disk-"))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=755", "cloister-audit-test", str(folder)]
    mounted = subprocess.run(mount, check=False, capture_output=True, text=True)
    try:
        if mounted.returncode:
            pytest.skip(f"this machine lets nobody mount: {mounted.stderr.strip()}")
        yield folder
    finally:
        if not mounted.returncode:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()


def _fill(disk: Path, left: int) -> Path:
    """Take all of the disk but `left` bytes."""
    ballast = disk / "ballast"
    found = os.statvfs(disk)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, found.f_bavail * found.f_frsize - left)
    return ballast


async def _append_until_refused(client: AuditClient, receipts: list[Receipt]) -> tuple[list[Draft], str]:
    for _ in range(400):
        drafts = [draft(change=[Change(path="/x", new=f"{os.urandom(8).hex()}{LARGE}")]) for _ in range(4)]
        try:
            receipts += await client.append(TENANT_LOG, drafts)
        except AuditUnavailable as refused:
            return drafts, str(refused)
    raise AssertionError("the disk never became full")


async def _use_up_segments(admin: asyncpg.Connection) -> None:
    """Make the server need a new segment of its log, which there is no space for."""
    for number in range(4):
        await admin.execute(f"CREATE TABLE segment_{number} (x int)")
        await admin.execute("SELECT pg_switch_wal()")


async def _taken_up_again(client: AuditClient, drafts: list[Draft], server: Postgres) -> list[Receipt]:
    for _ in range(400):
        if server.process.poll() is not None:  # as the kubelet would
            await asyncio.to_thread(server.start)
        try:
            return list(await client.append(TENANT_LOG, drafts))
        except AuditUnavailable:
            await asyncio.sleep(0.1)
    raise AssertionError("it did not go on when there was space again")


async def _nothing_lost_nothing_twice(service: Service, receipts: list[Receipt]) -> None:
    async with service.client(pod="reader") as client:
        size = (await client.log(TENANT_LOG))["durable"]
        await service.signed(TENANT_LOG, size)
        rows = []
        while len(rows) < size:
            rows += await client.entries(TENANT_LOG, **{"from": len(rows), "limit": 100})
        ids = [row["entry"]["id"] for row in rows]
        assert len(set(ids)) == len(ids)
        assert all(ids[receipt.index] == receipt.id for receipt in receipts)
        assert size == 1 + len({receipt.id for receipt in receipts})
        assert verify_bundle(await client.export(TENANT_LOG), (await client.log(TENANT_LOG))["keys"]).problems == []


@pytest.mark.parametrize(
    ("left", "switch"),
    [
        pytest.param(300 << 10, False, id="the tables cannot grow"),
        pytest.param(14 << 20, True, id="no segment of the write-ahead log can be made, which ends the server"),
    ],
)
async def test_a_full_disk_refuses_clearly_and_recovers(disk: Path, tmp_path: Path, left: int, switch: bool) -> None:
    server = Postgres(disk / "server", free_port())
    server.create()
    server.start()
    try:
        settings = await migrated(make_settings(server, tmp_path))
        async with running(settings, server) as service:
            await until_writer(service)
            receipts: list[Receipt] = []
            async with service.client() as client:
                await service.tenant_log(client)
                receipts += await client.append(TENANT_LOG, [draft()])
                ballast = _fill(disk, left)
                if switch:
                    admin = await asyncpg.connect(**arguments(settings.database, "postgres", settings.database.admin))
                    with pytest.raises((asyncpg.PostgresError, OSError)):
                        await _use_up_segments(admin)
                    admin.terminate()
                    assert "PANIC" in (server.folder / "log").read_text()
                refused, said = await _append_until_refused(client, receipts)
                if not switch:
                    assert " 507: the audit database has no space left, so nothing was recorded" in said
                    async with service.http(pod="other") as http:
                        body = {
                            "entries": [
                                draft(change=[Change(path="/x", new=LARGE)]).model_dump(mode="json", exclude_none=True)
                            ]
                        }
                        body["entries"][0]["src"] = {"kind": "operator", "id": "cloister-operator/other", "seq": 0}
                        answer = await http.post(f"/v1/logs/{TENANT_LOG}/entries", json=body)
                        assert (answer.status_code, answer.headers["retry-after"]) == (507, "1"), answer.text
                else:
                    assert " 503: " in said
                ballast.unlink()
                receipts += await _taken_up_again(client, refused, server)
                receipts += await client.append(TENANT_LOG, [draft()])
            await _nothing_lost_nothing_twice(service, receipts)
    finally:
        server.destroy()
