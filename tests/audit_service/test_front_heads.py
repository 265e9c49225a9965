"""Which appends go past the parser, seen from within: a protocol over a transport and a channel of the tests' own."""

import asyncio
import json
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from uvicorn.server import ServerState

from audit_service.front import protocol
from audit_service.front.channel import GOOD, NOT
from audit_service.front.desk import FrontDesk
from audit_service.front.protocol import AppendProtocol
from audit_service.front.run import Front
from audit_service.http.identity import TokenChecker
from audit_service.http.server import make_config
from audit_service.http.taking import LARGE
from audit_service.settings import Identity
from tests.audit_service.service import TENANT_LOG, Cluster, draft

PATH = f"/v1/logs/{TENANT_LOG}/entries"
IDENTITY = Identity(jwks_ca_file=None, jwks_token_file=None)


class Channel:
    """The writer's process: a log that is there, and answers when the test gives them."""

    def __init__(self) -> None:
        self.desk: FrontDesk
        self.asked: list[tuple[int, list[Any]]] = []
        self.counted: list[int] = []

    def send(self, message: tuple[Any, ...]) -> None:
        number, what, *rest = message
        match what:
            case "log":
                fields = (1, TENANT_LOG, "o", "tenant", "acme", "tenant-acme", "r", 1, b"")
                asyncio.get_running_loop().call_soon(self.desk.heard, (number, GOOD, (fields, bytes(32))))
            case "append":
                self.asked.append((number, rest[-1]))
            case _:
                self.counted.append(rest[0])

    def answer(self, at: int = 0) -> None:
        number, rows = self.asked.pop(0)
        self.desk.heard((number, GOOD, ([(at + each, bytes(32)) for each in range(len(rows))], 7)))

    def refuse(self, status: int) -> None:
        number, _ = self.asked.pop(0)
        self.desk.heard((number, NOT, (status, "not so", {"expected": 3})))


class Transport:
    """A connection's transport: what was written, whether it is closed, whether it is read."""

    def __init__(self) -> None:
        self.written, self.closed, self.reading = b"", False, True

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def get_extra_info(self, _: str) -> None:
        return None

    def take(self) -> list[tuple[int, dict[str, str], Any]]:
        """Return (status, headers, body) of each answer so far, and forget them."""
        found = []
        while self.written:
            head, _, rest = self.written.partition(b"\r\n\r\n")
            first, *lines = head.decode().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in lines)
            size = int(headers["content-length"])
            found.append((int(first.split()[1]), headers, json.loads(rest[:size])))
            self.written = rest[size:]
        return found


class Stage:
    """A front with one connection."""

    def __init__(self) -> None:
        self.cluster, self.channel, self.usual = Cluster(), Channel(), 0
        self.desk = self.channel.desk = FrontDesk(IDENTITY)
        self.desk.tokens = TokenChecker(IDENTITY, self.cluster.transport())
        self.desk.open(self.channel)  # type: ignore[arg-type]
        self.token, self.seq = self.cluster.token(pod="pod-1"), 0
        front = Front(self.desk, None)  # type: ignore[arg-type]

        async def application(scope: Any, receive: Any, send: Any) -> None:
            self.usual += 1
            await front(scope, receive, send)

        application.desk = self.desk  # type: ignore[attr-defined]
        self.config = make_config(application, http=AppendProtocol)
        self.state = ServerState()
        self.state.default_headers = [(b"date", b"today")]
        self.protocol, self.transport = self.connect()

    def connect(self) -> tuple[AppendProtocol, Transport]:
        made = AppendProtocol(self.config, self.state, {}, asyncio.get_running_loop())
        transport = Transport()
        made.connection_made(transport)  # type: ignore[arg-type]
        return made, transport

    def request(
        self, count: int = 1, *, line: str = f"POST {PATH} HTTP/1.1", length: str = "content-length", **more
    ) -> bytes:
        entries = []
        for _ in range(count):
            src = {"kind": "operator", "id": "cloister-operator/pod-1", "seq": self.seq}
            entries.append({**draft().body(), "src": src, **more})
            self.seq += 1
        body = json.dumps({"entries": entries}).encode()
        head = [line, "host: x", f"authorization: Bearer {self.token}", f"{length}: {len(body)}", "accept: */*"]
        return "\r\n".join(head).encode() + b"\r\n\r\n" + body

    async def send(self, data: bytes, asks: int = 1) -> None:
        """Give the protocol some bytes, and wait until so many batches are with the writer."""
        self.protocol.data_received(data)
        await self.until(lambda: len(self.channel.asked) == asks)

    async def until(self, seen: Callable[[], bool]) -> None:
        for _ in range(1000):
            if seen():
                return
            await asyncio.sleep(0.001)
        raise AssertionError("it never came")

    async def append(self, data: bytes) -> tuple[int, dict[str, str], Any]:
        await self.send(data)
        self.channel.answer()
        await self.until(lambda: bool(self.transport.written))
        (found,) = self.transport.take()
        return found


@pytest.fixture
async def stage() -> Stage:
    """A front that has seen the head of `request` twice: once for the token, once to remember it."""
    made = Stage()
    for _ in range(2):
        assert (await made.append(made.request()))[0] == 200
    assert made.usual == 2
    return made


async def test_a_head_that_came_before_goes_past_whatever_its_length(stage: Stage) -> None:
    for count in (1, 2, 30):
        status, headers, said = await stage.append(stage.request(count))
        assert (status, len(said["entries"]), said["next"]) == (200, count, 7)
        assert headers["date"] == "today"
    other, transport = stage.connect()
    other.data_received(stage.request())
    stage.channel.answer()
    await stage.until(lambda: bool(transport.written))
    assert transport.take()[0][0] == 200
    assert stage.usual == 2


async def test_to_keep_the_connection_is_what_is_done_anyway(stage: Stage) -> None:
    for _ in range(2):
        await stage.append(stage.request().replace(b"accept: */*", b"connection: keep-alive"))
    assert (stage.usual, len(stage.desk.heads)) == (3, 2)


async def test_any_other_head_goes_the_usual_way_first(stage: Stage) -> None:
    for more in ({"line": f"POST {PATH}? HTTP/1.1"}, {"length": "Content-length"}):
        assert (await stage.append(stage.request(**more)))[0] == 200
    assert stage.usual == 4
    await stage.append(stage.request(length="Content-length"))
    assert stage.usual == 4


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b"HTTP/1.1", b"HTTP/1.0"),
        lambda data: data.replace(b"accept: */*", b"connection: close"),
        lambda data: data.replace(b"accept: */*", b"connection: keep-alive, upgrade"),
        lambda data: data.replace(b"accept: */*", b"expect: 100-continue"),
        lambda data: data.replace(b"entries HTTP", b"entries?wait=none HTTP"),
        lambda data: data.replace(b"host: x\r\n", b"host: x\r\nhost: y\r\n"),
    ],
)
async def test_what_is_special_is_never_remembered(stage: Stage, change) -> None:
    heads = dict(stage.desk.heads)
    stage.protocol.data_received(change(stage.request()))
    await asyncio.sleep(0.02)
    assert stage.desk.heads == heads


@pytest.mark.parametrize("at", [1, 40, -1])
async def test_a_request_in_pieces(stage: Stage, at) -> None:
    data = stage.request()
    body = data.index(b"\r\n\r\n") + 4
    cut = {1: 1, 40: body, -1: len(data) - 1}[at]
    stage.protocol.data_received(data[:cut])
    await asyncio.sleep(0)
    assert not stage.channel.asked
    assert (await stage.append(data[cut:]))[0] == 200
    assert stage.usual == (3 if at == 1 else 2)  # a head in pieces is for the parser
    assert (await stage.append(stage.request()))[0] == 200


async def test_what_comes_meanwhile_is_answered_in_turn(stage: Stage) -> None:
    first, second, third = stage.request(), stage.request(phase="none"), stage.request()
    await stage.send(first + second[:50])
    assert not stage.transport.reading
    stage.protocol.data_received(second[50:] + third)
    assert len(stage.channel.asked) == 1
    stage.channel.answer(4)
    await stage.until(lambda: bool(stage.channel.asked))
    stage.channel.answer(5)
    await stage.until(lambda: stage.transport.written.count(b"HTTP/1.1") == 3)
    answers = stage.transport.take()
    assert [status for status, _, _ in answers] == [200, 422, 200]
    assert [said["entries"][0]["index"] for status, _, said in answers if status == 200] == [4, 5]
    assert stage.channel.counted == [422]
    assert stage.transport.reading


async def test_of_several_requests_at_once_no_head_is_remembered_for_another(stage: Stage) -> None:
    stranger = stage.request().replace(b"/entries HTTP", b"/other HTTP")
    stage.protocol.data_received(stranger + stage.request())
    await stage.until(lambda: bool(stage.channel.asked) or stage.transport.closed)
    assert len(stage.desk.heads) == 1


async def test_a_refusal_comes_the_usual_way_and_the_connection_goes_on(stage: Stage) -> None:
    await stage.send(stage.request())
    stage.channel.refuse(409)
    await stage.until(lambda: bool(stage.transport.written))
    assert stage.transport.take()[0][::2] == (409, {"error": "not so", "expected": 3})
    assert stage.channel.counted == [409]
    assert (await stage.append(stage.request()))[0] == 200


async def test_a_token_that_has_ended_is_no_longer_believed(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    later = time.time() + 3600
    monkeypatch.setattr(protocol, "time", SimpleNamespace(time=lambda: later))
    assert (await stage.append(stage.request()))[0] == 200  # the usual way, where it is still good by the clock
    assert stage.usual == 3


async def test_the_rest_of_a_body_that_was_refused_is_no_request(stage: Stage) -> None:
    inner = stage.request()
    large = stage.request().split(b"\r\n\r\n")[0] + b"\r\n\r\n"
    at = large.index(b"content-length: ")
    large = large[:at] + b"content-length: 20000000" + large[large.index(b"\r\n", at) :]
    stage.protocol.data_received(large)
    await stage.until(lambda: bool(stage.transport.written))
    assert stage.transport.take()[0][0] == 413
    stage.protocol.data_received(inner)
    await asyncio.sleep(0.02)
    assert (stage.channel.asked, stage.transport.written) == ([], b"")


async def test_lines_that_end_otherwise_and_large_bodies_are_for_the_parser(stage: Stage) -> None:
    assert protocol.arrival(b"POST / HTTP/1.1\nx: y\r\ncontent-length: 3\r\n\r\nabc") is None
    assert protocol.arrival(b"POST / HTTP/1.1\r\ncontent-length: 3\r\n") is None
    assert protocol.arrival(b"POST / HTTP/1.1\r\n\r\ncontent-length: 3\r\n\r\n") is None
    assert protocol.arrival(b"POST / HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % (LARGE + 1)) is None
    found = protocol.arrival(b"POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nabcd")
    assert found is not None
    assert (found.body, found.end) == (38, 41)


async def test_a_stop_waits_for_the_answer_and_says_that_it_is_the_last(stage: Stage) -> None:
    await stage.send(stage.request())
    stage.protocol.shutdown()
    assert not stage.transport.closed
    stage.channel.answer()
    (answer,) = stage.transport.take()
    assert (answer[0], answer[1]["connection"], stage.transport.closed) == (200, "close", True)
    other, transport = stage.connect()
    other.shutdown()
    assert transport.closed


async def test_a_stop_waits_for_a_refusal_too(stage: Stage) -> None:
    await stage.send(stage.request())
    stage.protocol.shutdown()
    stage.channel.refuse(503)
    await stage.until(lambda: stage.transport.closed)
    (answer,) = stage.transport.take()
    assert (answer[0], answer[1]["connection"]) == (503, "close")


async def test_whoever_left_is_not_answered(stage: Stage) -> None:
    await stage.send(stage.request())
    stage.transport.close()
    stage.protocol.connection_lost(None)
    stage.channel.answer()
    assert stage.transport.written == b""


async def test_an_idle_connection_is_closed_and_a_busy_one_is_not(stage: Stage) -> None:
    stage.protocol.timeout_keep_alive = 0.2
    for _ in range(5):
        assert (await stage.append(stage.request()))[0] == 200
        await asyncio.sleep(0.1)
        assert not stage.transport.closed
    await stage.send(stage.request())
    stage.protocol.timeout_keep_alive_handler()
    await asyncio.sleep(0.3)
    assert not stage.transport.closed
    stage.channel.answer()
    await stage.until(lambda: stage.transport.closed)
    assert len(stage.transport.take()) == 1


async def test_nobody_waits_for_a_connection_that_is_gone(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.protocol.data_received(stage.request()[:-1])
    stage.transport.close()
    stage.protocol.connection_lost(OSError())
    monkeypatch.setattr(stage.protocol, "_close_when_idle", lambda _: pytest.fail("it set its alarm again"))
    stage.protocol.timeout_keep_alive_handler()


async def test_no_more_heads_are_remembered_than_there_is_room_for(stage: Stage, monkeypatch) -> None:
    monkeypatch.setattr(protocol, "_REMEMBERED", 3)
    for number in range(6):
        await stage.append(stage.request().replace(b"accept: */*", b"accept: %d" % number))
    assert len(stage.desk.heads) == 1
