"""The image's entry point, run for real: a data directory of its own, kills, reloads, passwords, shutdown."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg
import pytest

from tenant_operator.stack.derive import Deriver
from tests.support.postgres_server import BIN, ENTRY_POINT, PostgresServer, give, make_template
from tests.support.tenant_context import tenant_context

sys.path.insert(0, str(ENTRY_POINT.parent))
from data_directory import crc32c


@pytest.fixture(scope="module")
def template():
    folder = give(Path(tempfile.mkdtemp(prefix="cloister-template-")))
    yield make_template(folder)
    shutil.rmtree(folder)


@pytest.fixture
def server(template):
    server = PostgresServer(tenant_context(), template)
    yield server
    server.remove()


def connect(server, **more):
    defaults = {
        "host": "localhost", "hostaddr": "127.0.0.1", "port": server.port, "dbname": "postgres", "user": "postgres",
        "password": server.ctx.derive.password(server.ctx.names.id, "postgres", 0), "connect_timeout": 3,
        "sslmode": "verify-full", "sslrootcert": str(server.root / "tls/ca.crt"), "autocommit": True,
    }  # fmt: skip
    return psycopg.connect(**{**defaults, **more})


def eventually(act, seconds=15):
    end = time.monotonic() + seconds
    while True:
        try:
            return act()
        except (AssertionError, psycopg.Error):
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def test_crc32c_is_castagnoli():
    assert crc32c(b"123456789") == 0xE3069283


def test_a_new_directory_has_an_identity_of_its_own_and_serves_over_tls_only(server, template):
    server.start()
    with connect(server) as db:
        identifier = db.execute("SELECT system_identifier FROM pg_control_system()").fetchone()[0]
        assert db.execute("SHOW data_checksums").fetchone()[0] == "on"
        assert db.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()[0]
    with pytest.raises(psycopg.OperationalError, match=r"pg_hba\.conf rejects"):
        connect(server, sslmode="disable")
    assert server.stop() == 0
    mine = server.control()
    theirs = subprocess.run([BIN / "pg_controldata", template], capture_output=True, text=True, check=True).stdout
    assert mine["Database system identifier"] == str(identifier)
    assert str(identifier) not in theirs
    assert mine["Mock authentication nonce"] not in theirs
    assert abs((identifier >> 32) - time.time()) < 600
    assert mine["Database cluster state"] == "shut down"
    assert not list(server.data.parent.glob("*.new"))


def test_the_password_is_never_in_the_log_nor_are_strangers_let_in(server):
    server.start()
    password = server.ctx.derive.password(server.ctx.names.id, "postgres", 0)
    with pytest.raises(psycopg.OperationalError, match="authentication failed"):
        connect(server, password="wrong")
    assert password not in server.log.read_text()
    assert "SCRAM-SHA-256$" not in server.log.read_text()


def test_a_restart_keeps_the_data_and_a_killed_server_recovers(server):
    server.start()
    with connect(server) as db:
        db.execute("CREATE TABLE kept (n int)")
        db.execute("INSERT INTO kept VALUES (1)")
    before = server.control()["Database system identifier"]
    server._process.kill()
    server._process.wait()
    eventually(lambda: _gone(server))
    server.start()
    with connect(server) as db:
        assert db.execute("SELECT n FROM kept").fetchone() == (1,)
    assert server.control()["Database system identifier"] == before


def _gone(server):
    """The entry point was killed with -9; in a container its server dies with it, here it is looked for and ended.

    By command line, not by its pid file: a server that was just about to start has none yet.
    """
    left = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if folder.name.isdigit() and str(server.data).encode() in (folder / "cmdline").read_bytes():
                os.kill(int(folder.name), signal.SIGQUIT)
                left.append(folder.name)
    assert not left, "still running"


def test_a_kill_at_any_moment_leaves_nothing_or_a_whole_directory(template):
    chosen = random.Random(7)  # noqa: S311 - moments, not secrets
    for _ in range(8):
        server = PostgresServer(tenant_context(), template)
        try:
            process = server.spawn()
            deadline = time.monotonic() + chosen.uniform(0.05, 0.5)
            while time.monotonic() < deadline and not (server.data.parent / "pgdata").exists():
                time.sleep(0.005)
            process.kill()
            process.wait()
            eventually(lambda server=server: _gone(server))
            if server.data.exists():
                server.control()
                assert (server.data / "PG_VERSION").exists()
            server.start()
            with connect(server) as db:
                assert db.execute("SELECT 1").fetchone() == (1,)
        finally:
            server.remove()


def test_a_directory_with_foreign_files_is_not_touched(server):
    give(server.data).mkdir() if server.data.exists() else server.data.mkdir()
    give(server.data)
    (server.data / "letter").write_text("keep me")
    process = server.spawn()
    assert process.wait(30) == 1
    assert "holds files but no database" in server.log.read_text()
    assert (server.data / "letter").read_text() == "keep me"


def test_a_directory_of_another_version_is_refused(server):
    server.data.mkdir()
    give(server.data)
    (server.data / "PG_VERSION").write_text("9.6\n")
    assert server.spawn().wait(30) == 1
    assert "is of PostgreSQL 9.6" in server.log.read_text()


def test_a_second_container_on_the_same_volume_gives_up(server):
    server.start()
    first = server._process
    assert server.spawn().wait(30) == 1
    server._process = first
    assert "still runs a server" in server.log.read_text()


def test_a_new_certificate_and_setting_are_taken_up_without_a_restart(server):
    server.start()
    with connect(server) as db:
        pid = db.execute("SELECT pg_backend_pid()").fetchone()
        other = Deriver(b"t" * 32, server.ctx.derive.created)
        pair = other.certificate("other", ("localhost",), server.ctx.now)
        text = (server.root / "config/postgresql.conf").read_text()
        # First, so that whoever is let in by the new certificate sees it.
        server.write("config/postgresql.conf", f"{text}work_mem = '7MB'\n")
        server.write("tls/tls.key", pair.key)
        server.write("tls/tls.crt", pair.certificate)
        server.write("tls/ca.crt", other.ca.certificate)
        with eventually(lambda: connect(server)) as new:
            assert new.execute("SHOW work_mem").fetchone() == ("7MB",)
        assert db.execute("SELECT pg_backend_pid()").fetchone() == pid


def test_the_superusers_password_follows_the_mounted_file(server):
    server.start()
    server.write("superuser/password", "another-password")
    with eventually(lambda: connect(server, password="another-password")) as db:
        assert db.execute("SELECT 1").fetchone() == (1,)
    with pytest.raises(psycopg.OperationalError):
        connect(server)
    server.stop()
    server.start()
    connect(server, password="another-password").close()


def test_sigterm_is_a_fast_shutdown_while_a_client_is_connected(server):
    server.start()
    with connect(server):
        began = time.monotonic()
        assert server.stop(signal.SIGTERM) == 0
        assert time.monotonic() - began < 20
    assert not (server.root / "sockets/ready").exists()


def test_two_tenants_never_share_an_identifier(template):
    one, two = (PostgresServer(tenant_context(), template) for _ in range(2))
    try:
        one.start()
        two.start()
        assert one.control()["Database system identifier"] != two.control()["Database system identifier"]
    finally:
        one.remove()
        two.remove()
