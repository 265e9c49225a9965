"""A dedicated PostgreSQL from our template against initdb and start, in one run on this machine; prints the ratio.

`python -m bench.database [rounds] [--write]`, from the root of the repository. Both run as the same user on the same file system,
both durable (initdb syncs what it wrote, so do we), the order alternating. Ready means: the server takes connections.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / folder) for folder in ("operator", "audit-service", ".")]

from bench.results import machine, replace_section  # noqa: E402
from tests.support.postgres_server import BIN, INITDB, PostgresServer, give, make_template, run_as  # noqa: E402
from tests.support.tenant_context import tenant_context  # noqa: E402


def ours(template):
    server = PostgresServer(tenant_context(), template)
    began = time.perf_counter()
    server.start()
    took = time.perf_counter() - began
    server.remove()
    return took


def theirs(template):
    """The usual entry point's way: initdb with sync, password by file, then start with the same configuration."""
    server = PostgresServer(tenant_context(), template)
    options = [option for option in INITDB if option != "--no-sync"]
    began = time.perf_counter()
    initdb = run_as(
        [str(BIN / "initdb"), f"--pgdata={server.data}", f"--pwfile={server.root}/superuser/password", *options],
        stdout=subprocess.DEVNULL,
    )
    assert initdb.wait() == 0
    files = {"config_file": "config/postgresql.conf", "hba_file": "config/pg_hba.conf"}
    settings = [part for name, file in files.items() for part in ("-c", f"{name}={server.root}/{file}")]
    with server.log.open("ab") as log:
        server._process = run_as(  # noqa: SLF001 - so that `remove` ends it
            [str(BIN / "postgres"), "-D", str(server.data), *settings], stdout=log, stderr=log
        )
    ready = [BIN / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(server.port)]
    while subprocess.run(ready, check=False).returncode:
        time.sleep(0.01)
    took = time.perf_counter() - began
    server.remove()
    return took


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rounds", type=int, nargs="?", default=5, help="how often each is started")
    parser.add_argument("--write", action="store_true", help="put the figure into bench/RESULTS.md")
    asked = parser.parse_args()
    rounds = asked.rounds
    folder = give(Path(tempfile.mkdtemp(prefix="cloister-template-")))
    try:
        template = make_template(folder)
        times = {ours: [], theirs: []}
        for number in range(rounds):
            for way in (ours, theirs) if number % 2 else (theirs, ours):
                times[way].append(way(template))
    finally:
        shutil.rmtree(folder)
    mine, initdb = (statistics.median(times[way]) for way in (ours, theirs))
    said = f"template {mine:.2f} s, initdb + start {initdb:.2f} s, median of {rounds}: ratio {mine / initdb:.2f} (bar 0.20)"
    print(said)
    if asked.write:
        replace_section("A tenant's PostgreSQL (`python -m bench.database`)", f"Taken {machine()}.\n\nFrom the {said}.")


if __name__ == "__main__":
    main()
