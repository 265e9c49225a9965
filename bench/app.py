"""Times the tenant app and, in the same run, a bare Starlette + psycopg handler that does the same reads and writes.

    python -m bench.app [--documents 100000] [--seconds 5] [--write]

Both run in this process over ASGI with a real PostgreSQL and a real slapd; keys are wrapped in process, so Vault's own time is
in neither. Prints p50 and p99 in milliseconds with one and eight users, ratios to the floor, and memory. All of it on loopback.
"""

import argparse
import asyncio
import json
import resource
import statistics
import sys
import time
from contextlib import ExitStack
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / each) for each in ("tenant-app", "audit-service", ".")]

import httpx  # noqa: E402
import psycopg  # noqa: E402
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: E402
from psycopg_pool import AsyncConnectionPool  # noqa: E402
from starlette.applications import Starlette  # noqa: E402
from starlette.responses import JSONResponse, Response  # noqa: E402
from starlette.routing import Route  # noqa: E402

from bench.results import machine, replace_section, table  # noqa: E402
from tenant_app import factory, settings  # noqa: E402
from tenant_app.adapters.directory import LdapDirectory  # noqa: E402
from tenant_app.domain.sealing import sha256_hex  # noqa: E402
from tenant_app.storage.migrations import connect_args  # noqa: E402
from tests.tenant_app.support.fakes import FakeAuditLog, FakeKeys  # noqa: E402
from tests.tenant_app.support.ground import grounded  # noqa: E402
from tests.tenant_app.support.site import Browser  # noqa: E402
from tests.tenant_app.test_workflow import sign  # noqa: E402

SEE_OTHER = 303
LONG_AGO = "2026-01-01T00:00:00Z"
CONTENT = ["assay", "batch", "result", "sample", "chamber", "humidity", "release", "impurity", "method", "reference"]
MIB10 = bytes(range(256)) * 40960


def percentiles(samples: list[float]) -> tuple[float, float]:
    ordered = sorted(samples)
    return statistics.median(ordered) * 1e3, ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))] * 1e3


async def timed(users: int, seconds: float, act) -> tuple[float, float, float]:
    samples: list[float] = []
    end = time.perf_counter() + seconds

    async def user(number: int) -> None:
        while time.perf_counter() < end:
            began = time.perf_counter()
            await act(number)
            samples.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(user(number) for number in range(users)))
    return (*percentiles(samples), len(samples) / (time.perf_counter() - began))


async def fill(app: factory.App, count: int, sub: str) -> None:
    """Copy in `count` documents, their words sealed as the app seals them."""
    await app.columns.ready()
    from tenant_app.domain.ids import uuid7

    async with app.database.transaction() as conn, conn.cursor() as cursor:
        rows = [(uuid7(), number) for number in range(count)]
        async with cursor.copy("COPY documents (id, sealed, created_at, changed_at, created_by) FROM STDIN") as copy:
            for key, number in rows:
                words = {
                    "title": f"Stability report {number} of batch {number % 977}",
                    "kind": "Report",
                    "project": f"P{number % 50}",
                    "reference": "",
                }
                sealed = app.columns.seal(words, "documents", str(key))
                await copy.write_row((key, sealed, LONG_AGO, LONG_AGO, sub))
        columns = "document, number, sha256, size, sealed_size, media_type, sealed, wrapped_key, created_at, created_by"
        statement = f"COPY versions ({columns}) FROM STDIN"
        async with cursor.copy(statement) as copy:
            for key, number in rows:
                sealed = app.columns.seal(
                    {"file_name": f"report-{number}.txt", "reason": "First version"}, "versions", str(key), "1"
                )
                await copy.write_row((key, 1, sha256_hex(b"x"), 1, 30, "text/plain", sealed, "", LONG_AGO, sub))
        statement = "COPY version_texts (document, version, sealed, created_at) FROM STDIN"
        async with cursor.copy(statement) as copy:
            for key, number in rows:
                words = " ".join(f"{word}{number % 1009}" for word in CONTENT)
                sealed = app.columns.seal({"words": words, "pages": 1}, "version_texts", str(key), "1")
                await copy.write_row((key, 1, sealed, LONG_AGO))


def floor(found: settings.Settings) -> tuple[Starlette, AsyncConnectionPool]:
    """The least that lists, opens and stores: no session, no sealing, no trail."""
    pool = AsyncConnectionPool(
        kwargs={**connect_args(found.database, found.database.app)}, min_size=1, max_size=8, open=False
    )

    async def listing(_request) -> Response:
        async with pool.connection() as conn:
            rows = await (
                await conn.execute("SELECT id, number, created_at FROM documents ORDER BY number DESC LIMIT 50")
            ).fetchall()
        return JSONResponse([[str(row[0]), row[1], row[2].isoformat()] for row in rows])

    async def one(request) -> Response:
        async with pool.connection() as conn:
            row = await (
                await conn.execute("SELECT id, number FROM documents WHERE id = %s", (request.path_params["id"],))
            ).fetchone()
        return JSONResponse([str(row[0]), row[1]])

    async def store(request) -> Response:
        form = await request.form()
        content = await form["file"].read()
        async with pool.connection() as conn:
            await conn.execute("INSERT INTO bench_floor (content) VALUES (%b)", (content,))
        await form.close()
        return JSONResponse({"sha256": sha256_hex(content)})

    async def search(_request) -> Response:
        statement = (
            "SELECT number FROM bench_titles WHERE words @@ to_tsquery('simple', 'stability:* & 9771:*')"
            " ORDER BY number DESC LIMIT 50"
        )
        async with pool.connection() as conn:
            rows = await (await conn.execute(statement)).fetchall()
        return JSONResponse([row[0] for row in rows])

    key = Ed25519PrivateKey.generate()

    async def sign(request) -> Response:
        body = await request.body()
        async with pool.connection() as conn:
            await conn.execute("INSERT INTO bench_floor (content) VALUES (%b)", (key.sign(body) + body,))
        return JSONResponse({})

    return Starlette(
        routes=[
            Route("/list", listing),
            Route("/one/{id}", one),
            Route("/search", search),
            Route("/store", store, methods=["POST"]),
            Route("/sign", sign, methods=["POST"]),
        ]
    ), pool


async def run(found: settings.Settings, admin: dict, documents: int, seconds: float) -> dict:
    app = factory.build(
        found, factory.Ports(keys=FakeKeys(), directory=LdapDirectory(found.ldap), audit=FakeAuditLog())
    )
    app.recorder._max_lag = 10**9  # noqa: SLF001  # nothing is delivered here, and nothing may wait for that
    await app.database.open()
    from tenant_app.web.app import create

    web = create(app)
    browsers = [Browser(web, agent=f"user-{number}") for number in range(8)]
    for browser, uid in zip(browsers, ["alice", "andre", "omar"] * 3, strict=False):
        assert (await browser.sign_in(uid)).status_code == SEE_OTHER
    sub = (await app.ports.directory.authenticate("alice", "alice-password")).sub
    rosa = (await app.ports.directory.authenticate("rosa", "rosa-password")).sub
    one = await browsers[0].uploaded(b"one\n")
    bare, pool = floor(found)
    await pool.open()
    http = httpx.AsyncClient(transport=httpx.ASGITransport(app=bare), base_url="http://floor")
    began = time.perf_counter()
    await fill(app, documents, sub)
    # A database that has lived knows its tables; this one would get to know them in the middle of a measurement.
    with psycopg.connect(**admin, autocommit=True) as conn:
        conn.execute("VACUUM (ANALYZE)")
    print(f"filled {documents} documents in {time.perf_counter() - began:.1f} s")
    began = time.perf_counter()
    await app.search.refresh()
    built = time.perf_counter() - began
    print(f"search index of {documents} documents built in {built:.1f} s")
    noise = iter(range(10**9))

    async def ok(answer) -> None:
        found_answer = await answer
        assert found_answer.status_code in {200, SEE_OTHER}, found_answer.status_code

    async def signing(number: int) -> None:
        uid = ["alice", "andre", "omar"][number % 3]
        document = await browsers[number].uploaded(b"%d\n" % next(noise))
        answer = await sign(browsers[number], uid, document, "submit", reviewers=[rosa])
        assert answer.status_code == SEE_OTHER

    async def signing_floor(number: int) -> None:
        await ok(http.post("/store", files={"file": ("n.txt", b"%d\n" % next(noise))}))
        await ok(http.get(f"/one/{one}"))
        await ok(http.post("/sign", content=b"payload %d" % number))

    acts = {
        "list": (lambda n: ok(browsers[n].get("/documents")), lambda _: ok(http.get("/list"))),
        "open": (lambda n: ok(browsers[n].get(f"/documents/{one}")), lambda _: ok(http.get(f"/one/{one}"))),
        "search": (
            lambda n: ok(browsers[n].get("/documents?q=stability 9771")),
            lambda _: ok(http.get("/search")),
        ),
        "upload 10 MiB": (
            lambda n: ok(browsers[n].upload(b"\xff\xd8\xff%d" % next(noise) + MIB10, "big.jpg")),
            lambda _: ok(http.post("/store", files={"file": ("big.jpg", MIB10)})),
        ),
        "upload + sign": (signing, signing_floor),
    }
    results: dict = {"documents": documents, "index_seconds": round(built, 1)}
    for name, (ours, theirs) in acts.items():
        for users in (1, 8):
            p50, p99, rate = await timed(users, seconds, ours)
            row = {"p50": round(p50, 1), "p99": round(p99, 1), "per_s": round(rate, 1)}
            if theirs is not None:
                floor50, _, floor_rate = await timed(users, seconds / 2, theirs)
                row |= {
                    "floor_p50": round(floor50, 1),
                    "ratio": round(p50 / floor50, 1),
                    "floor_per_s": round(floor_rate, 1),
                }
            results[f"{name}, {users} user{'s' if users > 1 else ''}"] = row
            print(f"{name:14} {users} user(s): {row}")
    results["max_rss_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print("memory at most, MiB:", results["max_rss_mib"])
    for browser in browsers:
        await browser.http.aclose()
    await http.aclose()
    await pool.close()
    await app.close()
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=100_000, help="how many lie there before")
    parser.add_argument("--seconds", type=float, default=5, help="how long each act is measured")
    parser.add_argument("--out", type=Path, help="write the figures to this file as JSON")
    parser.add_argument("--write", action="store_true", help="put the figures into bench/RESULTS.md")
    parsed = parser.parse_args()
    with ExitStack() as stack:
        found, admin = grounded(stack)
        with psycopg.connect(**admin, autocommit=True) as conn:
            conn.execute("CREATE TABLE bench_floor (content bytea)")
            conn.execute("ALTER TABLE bench_floor ALTER COLUMN content SET STORAGE EXTERNAL")
            conn.execute("GRANT INSERT ON bench_floor TO app")
            conn.execute(
                "CREATE TABLE bench_titles AS SELECT number, to_tsvector('simple', 'stability report ' || number || ' batch '"
                " || number %% 977) AS words FROM generate_series(1, %s::integer) AS number",
                (parsed.documents,),
            )
            conn.execute("CREATE INDEX ON bench_titles USING gin (words)")
            conn.execute("GRANT SELECT ON bench_titles TO app")
        results = asyncio.run(run(found, admin, parsed.documents, parsed.seconds))
    if parsed.out:
        parsed.out.write_text(json.dumps(results, indent=2) + "\n")
    if parsed.write:
        replace_section("The tenant app (`python -m bench.app`)", report(results, parsed.seconds))


def report(results: dict, seconds: float) -> str:
    """Return the section for RESULTS.md."""
    keys = ("p50", "p99", "per_s", "floor_p50", "floor_per_s", "ratio")
    rows = [[name, *(row[key] for key in keys)] for name, row in results.items() if isinstance(row, dict)]
    head = ["act", "p50 ms", "p99 ms", "a second", "floor p50 ms", "floor a second", "p50 to floor"]
    return (
        f"Taken {machine()}, {results['documents']:,} documents with the words of their contents, {seconds:g} s an act.\n"
        "The floor is a bare Starlette and psycopg handler in the same run: no session, rights, sealing, trail or page.\n"
        "For signing it stores, reads and signs in three requests and binds to no directory, which the app does each time.\n\n"
        f"{table(head, rows)}\n\n"
        f"Building the search index anew took {results['index_seconds']} s. Memory at most, in one process with the load "
        f"generator and the floor: {results['max_rss_mib']} MiB."
    )


if __name__ == "__main__":
    main()
