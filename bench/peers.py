"""What the audit service is measured against, on the same disk and in the same run: Tessera's POSIX log, and bare PostgreSQL."""

import base64
import contextlib
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit_contract.keys import KeySigner, KeyType
from tests.audit_service.postgres import BIN, PASSWORD, Postgres, free_port

WRITERS = 1024
_NO_THROTTLE = 100_000
_POLL = 0.02


@dataclass
class Tessera:
    """Tessera's conformance server on a folder of its own; it runs only while it is measured."""

    programs: dict[str, Path]
    folder: Path
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    runs: int = 0

    @contextlib.contextmanager
    def _serving(self) -> Iterator[str]:
        self.runs += 1
        place = self.folder / f"tessera-{self.runs}"
        place.mkdir()
        verifier = KeySigner("bench.example/tessera", KeyType.ED25519, self.key).verifier
        secret = base64.b64encode(bytes((KeyType.ED25519,)) + self.key.private_bytes_raw()).decode()
        (place / "key").write_text(f"PRIVATE+KEY+{verifier.name}+{verifier.key_id.hex()}+{secret}")
        port = free_port()
        command = [f"--listen=127.0.0.1:{port}", f"--storage_dir={place}/log", f"--private_key={place}/key"]
        with (place / "server.log").open("w") as log:
            server = subprocess.Popen([self.programs["posix"], *command], stderr=log)
        try:
            yield f"http://127.0.0.1:{port}/"
        finally:
            server.kill()
            server.wait()

    def rate(self, leaf_bytes: int, seconds: float, writers: int = WRITERS) -> float:
        """Return how many entries a second get under signed checkpoints while its own hammer writes one a request.

        Counted between the first checkpoint after two seconds and the last one, so that both ends are checkpoints.
        """
        verifier = KeySigner("bench.example/tessera", KeyType.ED25519, self.key).verifier
        with self._serving() as url, httpx.Client(base_url=url) as http:
            while _size(http) is None:
                time.sleep(_POLL)
            command = [
                self.programs["hammer"], f"--log_url={url}", f"--log_public_key={verifier.vkey}", f"--num_writers={writers}",
                f"--max_write_ops={_NO_THROTTLE}", "--num_readers_random=0", "--num_readers_full=0", "--dup_chance=0",
                f"--leaf_min_size={leaf_bytes}", "--show_ui=false",
            ]  # fmt: skip
            with (self.folder / "hammer.log").open("w") as log:
                hammer = subprocess.Popen(command, stderr=log)
            try:
                seen = _watch(http, seconds + 2)
            finally:
                hammer.kill()
                hammer.wait()
        began = seen[0][0]
        counted = [point for point in seen if point[0] - began >= 2]  # noqa: PLR2004  # seconds of warm-up
        if len(counted) < 2:  # noqa: PLR2004  # two ends
            raise RuntimeError(f"Tessera published {len(counted)} checkpoints in {seconds} s: give it longer")
        return (counted[-1][1] - counted[0][1]) / (counted[-1][0] - counted[0][0])


def _size(http: httpx.Client) -> int | None:
    try:
        return int(http.get("checkpoint").raise_for_status().content.split(b"\n")[1])
    except httpx.HTTPError:  # it is starting
        return None


def _watch(http: httpx.Client, seconds: float) -> list[tuple[float, int]]:
    """Return when the published size was seen to change, and to what."""
    seen: list[tuple[float, int]] = [(time.monotonic(), _size(http) or 0)]
    end = seen[0][0] + seconds
    while time.monotonic() < end:
        time.sleep(_POLL)
        size = _size(http)
        if size is not None and size != seen[-1][1]:
            seen.append((time.monotonic(), size))
    return seen


@dataclass
class Pgbench:
    """Bare inserts into a table of the same server that the audit service uses, as its superuser."""

    postgres: Postgres
    folder: Path

    def rate(self, rows: int, clients: int, seconds: float) -> float:
        """Return rows a second, durable, `rows` in one statement."""
        script = self.folder / f"insert-{rows}.sql"
        rows_of = "SELECT 1, g, repeat('x', 500)::bytea FROM generate_series(1, :rows) g"
        script.write_text(f"\\set rows {rows}\nINSERT INTO bench_floor (log, index, data) {rows_of};\n")
        self._psql("CREATE TABLE IF NOT EXISTS bench_floor (log int, index bigint, data bytea)")
        command = ["--no-vacuum", f"--client={clients}", "--jobs=2", f"--time={round(seconds)}", "--protocol=prepared"]
        try:
            said = self._run("pgbench", *command, f"--file={script}", "postgres").stdout
        finally:
            self._psql("DROP TABLE bench_floor")
        found = re.search(r"tps = ([0-9.]+)", said)
        if found is None:
            raise RuntimeError(f"pgbench said no rate:\n{said}")
        return float(found[1]) * rows

    def _psql(self, statement: str) -> None:
        self._run("psql", "--quiet", "--command", statement, "postgres")

    def _run(self, program: str, *more: str) -> subprocess.CompletedProcess[str]:
        where = {"PGHOST": "127.0.0.1", "PGPORT": str(self.postgres.port), "PGUSER": "postgres", "PGPASSWORD": PASSWORD}
        return subprocess.run([BIN / program, *more], env=where, capture_output=True, text=True, check=True)
