"""A raw look at the files of a tenant's PostgreSQL: as a thief of the volume would, after everything was flushed to it."""

import base64
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.kubectl import kubectl

DATA = "/var/lib/postgresql/data"
SCRATCH = "clear_control_"


def forms(marker: str) -> dict[str, str]:
    """Return patterns of the marker as it is and as a careless program could have written it, base64 in all three alignments."""
    raw = marker.encode()
    found = {
        "plain": marker,
        "hex": raw.hex(),
        "upper hex": raw.hex().upper(),
        "UTF-16": "\\x00".join(marker),
    }
    for shift in range(3):
        text = base64.b64encode(b"\0" * shift + raw).decode().rstrip("=")
        head, cut = -(-shift * 4 // 3), bool((len(raw) + shift) % 3)
        found[f"base64 at {shift}"] = text[head : len(text) - cut].replace("+", "\\+")
    return found


def sql(tenant: str, statement: str, database: str = "postgres") -> str:
    """Run one statement as the superuser, in the database's own pod."""
    script = (
        "PGPASSWORD=$(cat /var/run/cloister/database-superuser/password) exec psql -XAtq -v ON_ERROR_STOP=1"
        ' -h /var/run/postgresql -U postgres -d "$1" -c "$2"'
    )
    return _in_database(tenant, script, database, statement).strip()


def _in_database(tenant: str, script: str, *args: str) -> str:
    return kubectl("exec", "-n", f"tenant-{tenant}", "database-0", "--", "sh", "-c", script, "sh", *args)


def seen_on_disk(tenant: str, marker: str) -> set[str]:
    """Return in which forms the marker lies on the data volume, write-ahead log included, after a checkpoint."""
    sql(tenant, "CHECKPOINT")
    # 2 is also what grep says of a file that PostgreSQL renamed between its being listed and opened.
    look = f'for again in 1 2 3 4; do grep -rqaP -- "$form" {DATA}; found=$?; [ $found -gt 1 ] || break; done'
    script = f'for form; do {look}; case $found in 0) echo "$form";; 1) ;; *) exit 3;; esac; done'
    patterns = forms(marker)
    found = _in_database(tenant, script, *patterns.values()).splitlines()
    return {name for name, pattern in patterns.items() if pattern in found}


def scratch_databases(tenant: str) -> list[str]:
    """Return the databases that controls were written to, of this run or of one that was killed."""
    return [name for name in sql(tenant, "SELECT datname FROM pg_database").split() if name.startswith(SCRATCH)]


@contextmanager
def written_in_the_clear(tenant: str, marker: str) -> Iterator[None]:
    """Have the marker in a table of a scratch database in each of its forms: what a scan that works must find."""
    for old in scratch_databases(tenant):
        sql(tenant, f"DROP DATABASE {old} WITH (FORCE)")
    name = f"{SCRATCH}{uuid.uuid4().hex[:8]}"
    sql(tenant, f"CREATE DATABASE {name}")
    try:
        raw = marker.encode()
        ways = [raw, raw.hex().encode(), raw.hex().upper().encode(), marker.encode("utf-16-le")]
        ways += [base64.b64encode(b"\0" * shift + raw) for shift in range(3)]
        rows = ", ".join(f"('\\x{way.hex()}'::bytea)" for way in ways)
        sql(tenant, "CREATE TABLE control (seen bytea)", name)
        sql(tenant, f"INSERT INTO control VALUES {rows}", name)  # noqa: S608 - made here, of hexadecimal digits
        yield
    finally:
        sql(tenant, f"DROP DATABASE {name} WITH (FORCE)")
