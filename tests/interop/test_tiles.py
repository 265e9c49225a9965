"""golang.org/x/mod/sumdb/tlog and Tessera's client and fsck read our tiles over HTTP; a tile with one bit changed they refuse."""

import http.server
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.interop.conftest import BIG_SIZE, SMALL_SIZES, Grown, Strangers

pytestmark = pytest.mark.services

SIZE = SMALL_SIZES[-1]
Change = Callable[[str, bytes], bytes]


def same(_: str, data: bytes) -> bytes:
    return data


def one_bit_of(path: str) -> Change:
    """Change the last bit of the answer to this path, and of no other."""

    def change(asked: str, data: bytes) -> bytes:
        return data[:-1] + bytes((data[-1] ^ 1,)) if asked == path else data

    return change


@contextmanager
def between(log: Grown, change: Change) -> Iterator[str]:
    """Serve the log at an address without tokens, as a public log is, each answer changed on its way."""
    reached = set()
    client = log.http()

    class Passing(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = self.path.removeprefix("/")
            answer: httpx.Response = client.get(path)
            data = change(path, answer.content) if answer.is_success else answer.content
            reached.add(path)
            self.send_response(answer.status_code)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Passing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        client.close()
    assert reached


def fsck(built: dict[str, Path], folder: Path, log: Grown, url: str, *more: str) -> str:
    """Run Tessera's fsck and return what it said. It ends with 0 whatever it finds: its words are the verdict."""
    key = folder / "log.vkey"
    key.write_text(log.keys[0])
    command = [
        built["fsck"],
        f"--storage_url={url}",
        f"--public_key={key}",
        "--ui=false",
        "--N=4",
        "--logtostderr",
        *more,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    return done.stderr


def whole(said: str, size: int) -> bool:
    return f"Successfully fsck'd log with size {size} and root" in said and "fsck failed" not in said


@pytest.mark.parametrize("name", ["small", "big"])
def test_tesseras_fsck_passes_on_the_tiles_the_service_serves(
    name: str, built: dict[str, Path], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    log: Grown = request.getfixturevalue(name)
    said = fsck(built, tmp_path, log, log.url, f"--bearer_token={log.token}")
    assert whole(said, log.size), said


def test_tesseras_fsck_is_refused_without_a_token(built: dict[str, Path], tmp_path: Path, small: Grown) -> None:
    said = fsck(built, tmp_path, small, small.url)
    assert "fsck failed" in said
    assert "401" in said


def test_tesseras_fsck_passes_on_a_reverse_proxy_that_adds_the_token(
    built: dict[str, Path], tmp_path: Path, small: Grown
) -> None:
    with between(small, same) as url:
        said = fsck(built, tmp_path, small, url)
    assert whole(said, SIZE), said


@pytest.mark.parametrize(
    "path",
    [
        "checkpoint",
        "tile/0/000",
        "tile/0/001",
        "tile/0/002.p/88",
        "tile/1/000.p/2",
        "tile/entries/000",
        "tile/entries/002.p/88",
    ],
)
def test_tesseras_fsck_fails_when_one_bit_of_an_answer_is_changed(
    built: dict[str, Path], tmp_path: Path, small: Grown, path: str
) -> None:
    with between(small, one_bit_of(path)) as url:
        said = fsck(built, tmp_path, small, url)
    assert "fsck failed" in said
    assert not whole(said, SIZE)


@pytest.mark.parametrize("path", ["tile/1/000", "tile/2/000.p/1", "tile/entries/258.p/77"])
def test_tesseras_fsck_fails_on_a_changed_tile_of_a_tree_of_three_levels(
    built: dict[str, Path], tmp_path: Path, big: Grown, path: str
) -> None:
    with between(big, one_bit_of(path)) as url:
        said = fsck(built, tmp_path, big, url)
    assert "fsck failed" in said
    assert not whole(said, BIG_SIZE)


def test_tesseras_client_reads_entries_and_builds_our_proofs(small: Grown, big: Grown, strangers: Strangers) -> None:
    for log in (small, big):
        for index in (0, 255, 256, log.size - 1):
            said = strangers.one(
                ask="tessera", url=log.url, token=log.token, origin=log.origin, keys=log.keys[:1], index=index
            )
            assert said["accepted"], said
            assert said["path"] == log.hashes(f"proof?index={index}&size={log.size}")


def test_tlog_authenticates_our_tiles_and_proves_what_we_prove(small: Grown, big: Grown, strangers: Strangers) -> None:
    for log in (small, big):
        for index, old in ((0, 1), (257, 256), (log.size - 1, 599)):
            question = {"ask": "tlog", "url": log.url, "token": log.token, "size": log.size, "root": log.root(log.size)}
            said = strangers.one(**question, index=index, old=old)
            assert said["accepted"], said
            assert said["path"] == log.hashes(f"proof?index={index}&size={log.size}")
            if old in log.checkpoints:
                assert said["root"] == log.root(old)


def test_tlog_refuses_a_changed_tile(small: Grown, strangers: Strangers) -> None:
    for path in ("tile/0/001", "tile/0/002.p/88", "tile/1/000.p/2"):
        with between(small, one_bit_of(path)) as url:
            said = strangers.one(ask="tlog", url=url, size=SIZE, root=small.root(SIZE), index=300, old=256)
        assert not said["accepted"]
        assert "tile" in said["error"]


def test_the_big_log_has_three_levels(big: Grown) -> None:
    with big.http() as http:
        assert len(http.get("tile/2/000.p/1").content) == 32
    assert big.size == BIG_SIZE
