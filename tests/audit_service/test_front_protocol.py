"""Appends over bare sockets: however a request is written, its answer is that of the writer's process, in its order."""

import json
import socket
from collections.abc import AsyncIterator, Iterator
from http.client import HTTPResponse
from io import BufferedReader
from uuid import uuid4

import pytest

from tests.audit_service.service import TENANT_LOG, draft
from tests.audit_service.stage import Outside, outside
from tests.audit_service.test_front import ready

PATH = f"/v1/logs/{TENANT_LOG}/entries"


@pytest.fixture(scope="module")
def stage(tmp_path_factory) -> Iterator[Outside]:
    with outside(tmp_path_factory.mktemp("front")) as found:
        yield found


class Caller:
    """A connection and a source that numbers its drafts."""

    def __init__(self, stage: Outside, pod: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", stage.settings.listen.port), timeout=20)
        self.token, self.pod, self.seq = stage.cluster.token(pod=pod), pod, 0
        self.file = self.socket.makefile("rb")

    def close(self) -> None:
        self.file.close()
        self.socket.close()

    def body(self, count: int = 1, **more) -> bytes:
        entries = []
        for _ in range(count):
            src = {"kind": "operator", "id": f"cloister-operator/{self.pod}", "seq": self.seq}
            entries.append({**draft().body(), "src": src, **more})
            self.seq += 1
        return json.dumps({"entries": entries}).encode()

    def request(self, body: bytes, *headers: str, version: str = "1.1", path: str = PATH) -> bytes:
        length = [] if any("ransfer" in each for each in headers) else [f"Content-Length: {len(body)}"]
        lines = [f"POST {path} HTTP/{version}", "Host: x", f"Authorization: Bearer {self.token}", *length, *headers]
        return "\r\n".join(lines).encode() + b"\r\n\r\n"

    def answer(self) -> tuple[int, dict, HTTPResponse]:
        found = HTTPResponse(Shared(self.file), method="POST")
        found.begin()
        return found.status, json.loads(found.read()), found

    def append(self, count: int = 1, **more) -> tuple[int, dict, HTTPResponse]:
        body = self.body(count, **more)
        self.socket.sendall(self.request(body) + body)
        return self.answer()


class Shared:
    """What `HTTPResponse` takes for a socket: one buffered file for all answers of a connection, which it must not close."""

    def __init__(self, file: BufferedReader) -> None:
        self._file = file
        self.read, self.read1, self.readinto, self.readline = file.read, file.read1, file.readinto, file.readline

    def makefile(self, _mode: str) -> "Shared":
        return self

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture
async def caller(stage: Outside) -> AsyncIterator[Caller]:
    async with stage.client("first") as client:
        await ready(stage, client)
    found = Caller(stage, f"pod-{uuid4().hex[:12]}")
    assert found.append()[0] == 200  # the usual way: neither the token nor, once, the log was seen before
    yield found
    found.close()


async def test_answers_have_the_same_form_both_ways(caller: Caller) -> None:
    status, short, quick = caller.append()
    body = caller.body()
    caller.socket.sendall(
        caller.request(body, "Transfer-Encoding: chunked") + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    )
    again, other, usual = caller.answer()
    assert (status, again) == (200, 200)
    assert short.keys() == other.keys()
    assert [each.keys() for each in short["entries"]] == [each.keys() for each in other["entries"]]
    assert other["entries"][0]["index"] == short["entries"][0]["index"] + 1
    assert (short["next"], other["next"]) == (2, 3)
    assert {name.lower() for name in quick.headers} == {name.lower() for name in usual.headers}


async def test_a_request_may_come_in_any_pieces(caller: Caller) -> None:
    body = caller.body(3)
    whole = caller.request(body) + body
    for at in range(0, len(whole), 97):
        caller.socket.sendall(whole[at : at + 97])
    status, said, _ = caller.answer()
    assert (status, len(said["entries"])) == (200, 3)


async def test_requests_that_do_not_wait_for_answers_are_answered_in_turn(caller: Caller) -> None:
    bodies = [caller.body() for _ in range(20)]
    get = b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"
    parts = [caller.request(each) + each for each in bodies]
    caller.socket.sendall(b"".join([*parts[:10], get, *parts[10:]]))
    answers = [caller.answer() for _ in range(21)]
    assert [status for status, _, _ in answers] == [200] * 21
    said = [each["next"] for _, each, _ in answers if "next" in each]
    assert said == list(range(2, 22))
    assert "next" not in answers[10][1]


async def test_a_connection_that_is_to_end_ends_after_its_answer(caller: Caller) -> None:
    body = caller.body()
    caller.socket.sendall(caller.request(body, "Connection: close") + body)
    status, _, found = caller.answer()
    assert (status, found.headers["connection"]) == (200, "close")
    assert caller.file.read() == b""


async def test_who_asks_first_whether_to_send_is_told_to_go_on(caller: Caller) -> None:
    body = caller.body()
    caller.socket.sendall(caller.request(body, "Expect: 100-continue"))
    assert caller.file.readline().split()[1] == b"100"
    assert caller.file.readline() == b"\r\n"
    caller.socket.sendall(body)
    assert caller.answer()[0] == 200


@pytest.mark.parametrize(
    ("more", "status"),
    [({"phase": "none"}, 422), ({"id": "x"}, 422), ({"src": {"kind": "operator", "id": "other/x", "seq": 1}}, 403)],
)
async def test_what_is_refused_is_refused_by_name_and_the_connection_goes_on(caller: Caller, more, status) -> None:
    said = caller.append(**more)
    assert said[0] == status
    assert said[1]["error"]
    caller.seq -= 1
    assert caller.append()[0] == 200


async def test_a_number_out_of_step_and_an_id_with_another_body_are_conflicts(caller: Caller) -> None:
    first = caller.append()[1]["entries"][0]
    caller.seq += 5
    status, said, _ = caller.append()
    assert (status, said["expected"]) == (409, 2)
    caller.seq = 2
    status, said, _ = caller.append(id=first["id"], phase="single", result="ok")
    assert (status, said["error"]) == (409, f"the log has an entry {first['id']} with another body")
    caller.seq = 2
    assert caller.append()[0] == 200


async def test_a_token_that_is_not_believed_is_refused_also_where_another_was(caller: Caller) -> None:
    good, caller.token = caller.token, caller.token[:-8] + "AAAAAAAA"
    assert caller.append()[0] == 401
    caller.token = good
    caller.seq -= 1
    assert caller.append()[0] == 200


async def test_a_caller_that_leaves_before_its_answer_harms_nobody(stage: Outside, caller: Caller) -> None:
    other = Caller(stage, "leaves")
    for _ in range(20):
        body = other.body()
        other.socket.sendall(other.request(body) + body)
    other.close()
    assert caller.append()[0] == 200
    async with stage.client("reader") as client:
        facts = await client.log(TENANT_LOG)
    assert facts["durable"] >= 3
