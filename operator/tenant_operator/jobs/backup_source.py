"""Where a backup comes from: pg_basebackup over TLS, as a stream of one compressed tar with its WAL and its own manifest."""

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import psycopg
from psycopg.conninfo import make_conninfo

_CONNECT_SECONDS = 10
_PIPE = 1 << 20


class SourceFailed(Exception):
    """The server could not be read; the message is pg_basebackup's own."""


def _address(database: Mapping[str, Any]) -> dict[str, str]:
    found = {
        "host": database["host"],
        "port": str(database["port"]),
        "user": database["user"],
        "sslmode": "verify-full",
        "sslrootcert": database["caFile"],
        "channel_binding": "require",
        "connect_timeout": str(_CONNECT_SECONDS),
    }
    return {**found, "hostaddr": database["hostaddr"]} if "hostaddr" in database else found


def _password(database: Mapping[str, Any]) -> str:
    return Path(database["passwordFile"]).read_text(encoding="utf-8").strip()


def server_facts(database: Mapping[str, Any]) -> dict[str, Any]:
    """Return the server's identity and where its WAL is, and how many bytes a backup may have. Raises SourceFailed."""
    query = (
        "SELECT (SELECT system_identifier::text FROM pg_control_system()), pg_current_wal_lsn()::text, "
        "current_setting('server_version'), (SELECT sum(pg_database_size(oid)) FROM pg_database)::bigint"
    )
    try:
        where = make_conninfo(**_address(database), dbname=database["name"], password=_password(database))
        with psycopg.connect(where) as db:
            row = db.execute(query).fetchone() or ()
    except psycopg.Error as error:
        raise SourceFailed(f"the database cannot be asked: {' '.join(str(error).split())}") from error
    return dict(zip(("systemIdentifier", "lsn", "serverVersion", "bytes"), row, strict=True))


@contextmanager
def base_backup(database: Mapping[str, Any], label: str) -> Iterator[IO[bytes]]:
    """Yield the stream of a base backup. Raises SourceFailed at the end when the server did not deliver all of it.

    The WAL is fetched at the end (a tar on standard output allows nothing else): wal_keep_size holds it until then. The
    server sends a manifest with the SHA-256 of each file inside the tar, which `pg_verifybackup` checks after a restore.
    """
    command = [
        "pg_basebackup", f"--dbname={make_conninfo(**_address(database))}", "--pgdata=-", "--format=tar", "--wal-method=fetch",
        "--checkpoint=fast", "--compress=client-zstd:level=1", "--manifest-checksums=SHA256", f"--label={label}",
        "--no-password",
    ]  # fmt: skip
    environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "PGPASSWORD": _password(database)}
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=errors, bufsize=_PIPE)
        try:
            yield process.stdout  # type: ignore[misc]  # it is a pipe, as asked
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            if process.stdout:
                process.stdout.close()
        if process.wait():
            errors.seek(0)
            said = errors.read()[-1000:].decode(errors="replace").strip()
            raise SourceFailed(f"pg_basebackup ended with code {process.returncode}: {said}")
