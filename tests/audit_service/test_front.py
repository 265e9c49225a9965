"""Fronts: they answer as the writer's process would, pass on the rest, and neither lives on nor is missed without the other."""

import asyncio
import contextlib
import marshal
import os
import signal
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_contract.client import AuditUnavailable
from audit_contract.entry import Change, Reason
from audit_service.front.answering import Answering
from audit_service.front.channel import Channel, pair
from audit_service.front.desk import FrontDesk
from audit_service.front.run import Front
from tests.audit_service.service import TENANT_LOG, Service, draft
from tests.audit_service.stage import Outside, outside, retried

PATH = f"/v1/logs/{TENANT_LOG}/entries"


class Nobody:
    """Where nothing is passed on to."""

    async def __call__(self, scope, _receive, _send) -> None:
        raise AssertionError(f"{scope['method']} {scope['path']} was passed on")


@contextlib.asynccontextmanager
async def fronted(service: Service) -> AsyncIterator[Service]:
    """The same service, spoken to through a front in this process."""
    ours, theirs = pair()
    answering = Answering(service.state)
    await answering.open(ours)
    desk = FrontDesk(service.settings.identity)
    desk.tokens = service.state.tokens
    channel = await Channel.open(theirs, desk.heard, lambda: None)
    desk.open(channel)
    transport = httpx.ASGITransport(Front(desk, Nobody()), raise_app_exceptions=False)
    try:
        yield Service(service.settings, service.state, service.cluster, service.pool, transport, service.postgres)
    finally:
        channel.close()
        answering.close()
        await asyncio.sleep(0)


def body(*drafts, **source) -> dict:
    src = {"kind": "operator", "id": "cloister-operator/pod-1", **source}
    return {"entries": [{**each.body(), "src": {**src, "seq": number}} for number, each in enumerate(drafts)]}


async def test_what_a_front_takes_in_is_recorded_with_its_values_and_verifies(service: Service) -> None:
    async with service.client() as direct, fronted(service) as front, front.client(pod="f") as client:
        log = await service.tenant_log(direct)
        changed = draft(change=[Change(path="/spec", old={"a": [1, 2.5]}, new="é")], tz="Europe/Paris")
        receipts = await client.append(log, [changed, draft(reason=Reason(code="fix", text="why not"))])
        await service.signed(log, receipts[-1].index + 1)
        rows = (await service.http().get(f"/v1/logs/{log}/entries", params={"from": receipts[0].index})).json()[
            "entries"
        ]
        found = {row["entry"]["id"]: row for row in rows}
        assert found[receipts[0].id]["values"]["change.0.old"]["value"] == {"a": [1, 2.5]}
        assert found[receipts[0].id]["entry"]["t"]["tz"] == "Europe/Paris"
        assert found[receipts[1].id]["values"]["reason.text"]["value"] == "why not"
        assert [row["leafHash"] for row in rows] == [each.leaf_hash for each in receipts]


async def test_the_same_drafts_again_get_the_same_answer_and_other_bodies_are_refused(service: Service) -> None:
    async with service.client() as direct, fronted(service) as front, front.http() as http:
        await service.tenant_log(direct)
        sent = body(draft(change=[Change(path="/x", new=1)]), draft())
        first = (await http.post(PATH, json=sent)).json()
        assert (await http.post(PATH, json=sent)).json() == first
        sent["entries"][0]["change"][0]["new"] = 2
        again = await http.post(PATH, json=sent)
        assert (again.status_code, again.json()["error"]) == (
            409,
            f"the log has an entry {sent['entries'][0]['id']} with another body",
        )
        ahead = await http.post(PATH, json={"entries": [{**sent["entries"][1], "id": draft().id}]})
        assert (ahead.status_code, ahead.json()["expected"]) == (409, 2)


REFUSED = {
    "no token": ({}, body(draft()), {"Authorization": ""}),
    "a token that is not one": ({}, body(draft()), {"Authorization": "Bearer x.y.z"}),
    "another's source": ({}, body(draft(), id="cloister-operator/pod-2"), {}),
    "a kind that is not the caller's": ({}, body(draft(), kind="app"), {}),
    "no such log": ({"path": "/v1/logs/nobody/entries"}, body(draft()), {}),
    "nothing": ({}, {"entries": []}, {}),
    "a wrong field": ({}, {"entries": [{**body(draft())["entries"][0], "phase": "other", "extra": 1}]}, {}),
    "a value that is too large": ({}, body(draft(change=[Change(path="/x", new="x" * 40_000)])), {}),
    "too much": ({}, b"x", {"Content-Length": str(1 << 30)}),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_front_refuses_as_the_writers_process_does(service: Service, case: str) -> None:
    more, sent, headers = REFUSED[case]
    content = sent if isinstance(sent, bytes) else orjson.dumps(sent)
    async with service.client() as direct, fronted(service) as front:
        await service.tenant_log(direct)
        answers = []
        for each in (service, front):
            async with each.http() as http:
                said = await http.post(more.get("path", PATH), content=content, headers=headers)
                answers.append((said.status_code, said.json()))
    assert answers[0] == answers[1]
    assert answers[0][0] >= 400


async def test_a_front_whose_writer_is_none_says_so(service: Service) -> None:
    async with service.client() as direct, fronted(service) as front, front.http() as http:
        await service.tenant_log(direct)
        assert (await http.post(PATH, json=body(draft()))).status_code == 200
        writer = service.state.writer
        desk, writer._desk = writer._desk, None
        try:
            said = await http.post(PATH, json=body(draft()))
        finally:
            writer._desk = desk
        assert (said.status_code, said.headers["retry-after"]) == (503, "1")
        assert "nothing was recorded" in said.json()["error"]


MESSAGES = st.lists(st.tuples(st.integers(0, 2**40), st.text(), st.binary(max_size=200)), max_size=20)


@given(MESSAGES, st.lists(st.integers(1, 64), min_size=1))
def test_frames_are_read_however_they_are_cut(messages: list[tuple], cuts: list[int]) -> None:
    frames = [marshal.dumps(message) for message in messages]
    data = b"".join(struct.pack("!I", len(frame)) + frame for frame in frames)
    heard: list[tuple] = []

    async def cut() -> None:
        channel = Channel(heard.append, lambda: None)
        at, number = 0, 0
        while at < len(data):
            step = cuts[number % len(cuts)]
            channel.data_received(data[at : at + step])
            at, number = at + step, number + 1

    asyncio.run(cut())
    assert heard == messages


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Outside]:
    with outside(tmp_path) as found:
        yield found


def front_of(stage: Outside) -> int:
    assert stage.process is not None
    return int(Path(f"/proc/{stage.process.pid}/task/{stage.process.pid}/children").read_text().split()[0])


async def ready(stage: Outside, client) -> None:
    await retried(client.ensure_log, TENANT_LOG, tenant="acme", namespace="tenant-acme", region="r", retention_days=1)


async def test_what_a_front_passes_on_comes_back_whole(stage: Outside) -> None:
    url = f"http://127.0.0.1:{stage.settings.listen.port}"
    async with stage.client("p") as client, httpx.AsyncClient(base_url=url) as http:
        await ready(stage, client)
        receipts = await client.append(TENANT_LOG, [draft() for _ in range(300)])
        proved = await client.append(TENANT_LOG, [draft()], prove=True)
        assert receipts[-1].index + 1 == proved[0].index
        assert "tlog-proof" in proved[0].proof
        headers = {"Authorization": f"Bearer {stage.cluster.token(pod='p', exp=2**33)}"}
        bundle = await http.get(f"/v1/logs/{TENANT_LOG}/export", headers=headers)
        assert len(bundle.content) > 100_000
        assert bundle.headers["content-disposition"].startswith("attachment")
        assert (await http.get(f"/v1/logs/{TENANT_LOG}/tile/../x%2Fy", headers=headers)).status_code == 404
        page = await http.get("/inspect")
        assert "content-security-policy" in page.headers
        assert len(page.headers.get_list("date")) == 1
        elsewhere = await http.get("/inspect/", headers={"X-Forwarded-Proto": "https", "Host": "audit.example"})
        assert elsewhere.headers["location"] == "http://audit.example/inspect"
        await http.post(PATH, json={"entries": []}, headers=headers)
        counted = (await http.get("/metrics")).text
        assert 'cloister_audit_refused_total{status="422"} 1.0' in counted


async def test_a_front_that_is_killed_is_replaced(stage: Outside) -> None:
    async with stage.client("p") as client:
        await ready(stage, client)
        first = await client.append(TENANT_LOG, [draft()])
        killed = front_of(stage)
        os.kill(killed, signal.SIGKILL)
        second = await retried(client.append, TENANT_LOG, [draft()])
        assert second[0].index == first[0].index + 1
        assert front_of(stage) != killed


async def test_a_front_ends_with_its_writer_and_leaves_the_address(stage: Outside) -> None:
    async with stage.client("p") as client:
        await ready(stage, client)
    stage.kill()
    for _ in range(600):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", stage.settings.listen.port)):
            return
        await asyncio.sleep(0.05)
    raise AssertionError("somebody still listens")


async def test_what_is_under_way_is_answered_before_the_service_ends(stage: Outside) -> None:
    assert stage.process is not None
    async with stage.client("p") as client:
        await ready(stage, client)
        sending = [asyncio.create_task(_append(stage, f"p{number}")) for number in range(8)]
        await asyncio.sleep(0.05)
        stage.process.send_signal(signal.SIGTERM)
        answers = await asyncio.gather(*sending)
        assert await asyncio.to_thread(stage.process.wait, 20) == 0
        stage.start()
        facts = await retried(client.log, TENANT_LOG)
        assert facts["durable"] >= 1 + sum(map(len, answers))


async def _append(stage: Outside, pod: str) -> list:
    """Append until the service ends, and return what was acknowledged."""
    said: list = []
    async with stage.client(pod) as client:
        with contextlib.suppress(AuditUnavailable):
            while True:
                said += await client.append(TENANT_LOG, [draft() for _ in range(40)])
    return said
