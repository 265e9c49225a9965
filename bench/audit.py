"""Durable appends a second to the audit service over HTTP, side by side with Tessera's POSIX log and bare PostgreSQL.

    python -m bench.audit [--seconds 5] [--rounds 3] [--write]

Everything runs in one go on this machine and its disk: the service as a process of its own, with its production pace and the
interpreter of its image, over a PostgreSQL that writes as the chart's does; Tessera's conformance server driven by its own
hammer; pgbench. Each round measures all of them, so what else the machine does hits all alike; ratios within one run are what
counts. `--write` puts the report into bench/RESULTS.md. About seven minutes as it stands. Needs Go, and two free cores to mean
anything.
"""

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "audit-service"), str(ROOT)]

from audit_contract.client import AuditUnavailable  # noqa: E402
from audit_service.settings import Pace  # noqa: E402
from bench.disk import flushes  # noqa: E402
from bench.peers import WRITERS, Pgbench, Tessera  # noqa: E402
from bench.results import machine, replace_section, table  # noqa: E402
from bench.shipped import shipped_python  # noqa: E402
from tests.audit_service.service import TENANT_LOG  # noqa: E402
from tests.audit_service.stage import Outside, outside  # noqa: E402
from tests.interop.programs import TESSERA_VERSION, programs  # noqa: E402

SINGLE = [(1, 1), (8, 1), (32, 1), (WRITERS, 1)]
BATCHED = [(clients, batch) for batch in (16, 256) for clients in (1, 8, 32)]
CASES = [*SINGLE, *BATCHED]
PROBED = [(32, 1), (8, 16), (32, 256)]
FEW = 32
LEAF_BYTES = 500  # about what one of the service's leaves has; hammer's own are a few bytes
BARS = {"batches": 1.5, "one": 0.5, "signed": 250.0}


class Load:
    """Runs the load generator against one log of a running service."""

    def __init__(self, stage: Outside, folder: Path) -> None:
        self._program = folder / "load"
        self._token = folder / "token"
        self._token.write_text(stage.cluster.token(pod="bench", exp=2**33))
        self._url = f"http://127.0.0.1:{stage.settings.listen.port}/v1/logs/{TENANT_LOG}"
        command = ["go", "build", "-trimpath", "-buildvcs=false", "-o", self._program, "."]
        subprocess.run(command, cwd=ROOT / "bench/load", check=True, env={**os.environ, "CGO_ENABLED": "0"})
        asyncio.run(_make_log(stage))

    def run(self, clients: int, batch: int, seconds: float, *, probe: bool = False) -> dict[str, float]:
        """Run one case and return what load said."""
        asked = {
            "url": self._url,
            "token": self._token,
            "run": f"r{time.monotonic_ns()}",
            "clients": clients,
            "batch": batch,
        }
        command = [f"-{key}={value}" for key, value in asked.items()]
        command += [f"-seconds={seconds}", *(["-probe"] if probe else [])]
        done = subprocess.run([self._program, *command], check=True, stdout=subprocess.PIPE, text=True)
        return json.loads(done.stdout)


async def _make_log(stage: Outside) -> None:
    async with stage.client("bench") as client:
        for _ in range(200):
            with contextlib.suppress(AuditUnavailable):  # it is starting
                await client.ensure_log(
                    TENANT_LOG, tenant="acme", namespace="tenant-acme", region="r", retention_days=1
                )
                return
            await asyncio.sleep(0.1)
    raise RuntimeError(f"the service did not start: {(stage.config.parent / 'service.log').read_text()[-2000:]}")


def measure(folder: Path, seconds: float, rounds: int) -> dict[str, list[dict[str, float]]]:
    """Run everything `rounds` times and return each figure's values."""
    found: dict[str, list[dict[str, float]]] = defaultdict(list)

    def keep(name: str, **values: float) -> None:
        found[name].append(values)
        print(f"{name:>28}", "  ".join(f"{key} {value:,.1f}" for key, value in values.items()), flush=True)

    tessera = Tessera(programs(), folder)
    with outside(folder, shipped_python(folder), pace=Pace()) as stage:
        load, pgbench = Load(stage, folder), Pgbench(stage.postgres, folder)
        for number in range(rounds):
            print(f"round {number + 1} of {rounds}", flush=True)
            for leaf, cases in ((0, SINGLE), (LEAF_BYTES, BATCHED)):  # the peer right before what is held against it
                keep(f"tessera {leaf}", perSecond=tessera.rate(leaf, 2 * seconds))
                for clients, batch in cases:
                    said = load.run(clients, batch, seconds)
                    keep(f"ours {clients}x{batch}", **{key: said[key] for key in ("perSecond", "p50", "p99")})
            keep(f"tessera by {FEW}", perSecond=tessera.rate(0, 2 * seconds, FEW))
            keep("the disk alone", **flushes(folder, 2 * seconds))
            for clients, batch in PROBED:
                said = load.run(clients, batch, seconds, probe=True)
                keys = ("perSecond", "signed50", "signed99", "signedMost", "probes")
                keep(f"signed {clients}x{batch}", **{key: said[key] for key in keys})
            for rows in (1, 256):
                keep(f"pgbench {rows}", perSecond=pgbench.rate(rows, 32, seconds))
    return found


def report(found: dict[str, list[dict[str, float]]], seconds: float, rounds: int) -> str:
    """Return the section for RESULTS.md: figures are medians over the rounds."""

    def rates(name: str, key: str = "perSecond") -> list[float]:
        return [each[key] for each in found[name]]

    def of(name: str, key: str = "perSecond") -> float:
        return statistics.median(rates(name, key))

    peers = [max(*each) for each in zip(rates("tessera 0"), rates(f"tessera {LEAF_BYTES}"), strict=True)]

    def to_peer(name: str) -> list[float]:
        """Against the better of Tessera's two in the same round: the machine's speed changes from round to round."""
        return [ours / peer for ours, peer in zip(rates(name), peers, strict=True)]

    rows = [
        [
            clients,
            batch,
            f"{of(name):,.0f}",
            f"{statistics.median(to_peer(name)):.2f}",
            f"{of(name, 'p50'):.1f}",
            f"{of(name, 'p99'):.1f}",
        ]
        for clients, batch in CASES
        if (name := f"ours {clients}x{batch}")
    ]
    lags = [
        [
            f"{clients} by {batch}",
            f"{of(name):,.0f}",
            *(f"{of(name, key):.0f}" for key in ("signed50", "signed99", "signedMost")),
        ]
        for clients, batch in PROBED
        if (name := f"signed {clients}x{batch}")
    ]
    lags.append(["none: the disk alone", "", *(f"{of('the disk alone', key):.1f}" for key in ("p50", "p99", "most"))])
    batches = max((to_peer(f"ours {clients}x{batch}") for clients, batch in BATCHED), key=statistics.median)
    signed = max((rates(f"signed {clients}x{batch}", "signed99") for clients, batch in PROBED), key=statistics.median)
    many = f"one entry a request, as many clients as Tessera has writers ({WRITERS})"
    goals = [
        _goal("in batches, against Tessera", batches, BARS["batches"]),
        _goal(f"one entry a request, {FEW} clients", to_peer(f"ours {FEW}x1"), BARS["one"]),
        _goal(many, to_peer(f"ours {WRITERS}x1"), BARS["one"]),
        _goal("entry → signed checkpoint, p99, ms", signed, BARS["signed"], most=True),
    ]
    floor = [f"{of(f'pgbench {rows}'):,.0f}" for rows in (1, 256)]
    return "\n\n".join(
        (
            (
                f"Taken {machine()}, one run, rounds: {rounds}, {seconds:g} s a case (Tessera {2 * seconds:g} s), medians over "
                "the rounds. Load, service (Debian's Python, as in its image), PostgreSQL and peers share the machine; "
                "ratios are within this run."
            ),
            table(["goal", "found", "in single rounds", "bar", ""], goals),
            table(["clients", "batch", "entries/s", "to Tessera", "p50 ms", "p99 ms"], rows),
            "Acknowledged means flushed to disk by PostgreSQL. Times are from sending a request to its answer.",
            table(["load, clients by batch", "entries/s beside", "p50 ms", "p99 ms", "most ms"], lags),
            (
                "Entry → signed checkpoint: from sending a single entry with `?wait=checkpoint` until its answer, which has its "
                "proof under a signed checkpoint, under that load. A log's checkpoints are at least "
                f"{Pace().checkpoint_ms} ms apart. The last row is this disk right before, with nothing else to do: 4 KiB "
                "written in place and flushed. Where that stands still, everything that promises to have flushed waits as long."
            ),
            table(
                ["beside", "entries or rows/s"],
                [
                    [
                        f"Tessera {TESSERA_VERSION} POSIX, {WRITERS} writers, hammer's own small leaves",
                        f"{of('tessera 0'):,.0f}",
                    ],
                    [f"the same, leaves of {LEAF_BYTES} bytes as ours have", f"{of(f'tessera {LEAF_BYTES}'):,.0f}"],
                    [f"Tessera with {FEW} writers, small leaves", f"{of(f'tessera by {FEW}'):,.0f}"],
                    ["pgbench, 32 clients, one row of 500 bytes a statement, no index", floor[0]],
                    ["pgbench, 32 clients, 256 rows a statement, no index", floor[1]],
                ],
            ),
            (
                "Tessera's figure is what its signed checkpoints covered, one a second; ratios are to the better of its two "
                f"with {WRITERS} writers in the same round, also those of our {FEW} clients and fewer."
            ),
        )
    )


def _goal(what: str, found: list[float], bar: float, *, most: bool = False) -> list[str]:
    """Return a row: the median over the rounds, between which values it lies, and whether it is where it should be."""
    middle = statistics.median(found)
    met, sign, digits = (middle <= bar, "≤", 0) if most else (middle >= bar, "≥", 3)
    rounds = f"{min(found):.{digits}f} to {max(found):.{digits}f}"
    return [what, f"{middle:.{digits}f}", rounds, f"{sign} {bar:g}", "met" if met else "missed"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5, help="how long each case is measured")
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured")
    parser.add_argument("--write", action="store_true", help="put the report into bench/RESULTS.md")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cloister-bench-") as folder:
        found = measure(Path(folder), asked.seconds, asked.rounds)
    text = report(found, asked.seconds, asked.rounds)
    print(f"\n{text}")
    if asked.write:
        replace_section("The audit log: appends and checkpoints (`python -m bench.audit`)", text)


if __name__ == "__main__":
    main()
