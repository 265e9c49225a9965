"""The calls: waiting for a checkpoint, searching in time, walking a growing log, tlog-tiles' own paths, what OpenAPI says."""

import asyncio
import gzip
import re
from hashlib import sha256

import jsonschema
import pytest
from starlette.routing import Route

from audit_contract import zipapp
from audit_contract.checkpoint import open_checkpoint
from audit_contract.entry import Actor, ObjectRef, timestamp
from audit_contract.keys import parse_vkey
from audit_contract.proof import verify_proof
from audit_contract.tiles import split_entries
from audit_service.http import append, search
from audit_service.http.openapi import document
from tests.audit_service.service import Service, draft

AUDITOR = "system:serviceaccount:tenant-acme-pharma:auditor"


def bodies(count: int, start: int = 0) -> dict[str, object]:
    source = {"kind": "operator", "id": "cloister-operator/pod-1"}
    return {"entries": [{**draft().body(), "src": {**source, "seq": start + number}} for number in range(count)]}


async def test_whoever_waits_for_the_checkpoint_gets_each_entrys_proof_with_its_receipt(service: Service) -> None:
    async with service.client() as client, service.http() as http:
        log = await service.tenant_log(client)
        sent = bodies(40)
        answer = await http.post(f"/v1/logs/{log}/entries?wait=checkpoint", json=sent)
        assert answer.status_code == 200
        facts = await client.log(log)
        keys = [parse_vkey(text) for text in facts["keys"]]
        leaves = split_entries((await http.get(f"/v1/logs/{log}/tile/entries/000.p/41")).content)
        for receipt in answer.json()["entries"]:
            index, point = verify_proof(receipt["proof"].encode(), leaves[receipt["index"]], facts["origin"], keys)
            assert (index, point.size) == (receipt["index"], 41)
        again = await http.post(f"/v1/logs/{log}/entries?wait=checkpoint", json=sent)  # an answer that was lost
        assert again.json() == answer.json()
        plain = await http.post(f"/v1/logs/{log}/entries", json=bodies(1, 40))
        assert "proof" not in plain.json()["entries"][0]
        for query in ("wait=proof", "wait=", "wait=checkpoint&wait=checkpoint", "hold=checkpoint"):
            assert (await http.post(f"/v1/logs/{log}/entries?{query}", json=bodies(1, 41))).status_code == 400
        assert (await client.log(log))["durable"] == 42


async def test_the_client_brings_proofs_along_when_asked_also_when_its_numbering_was_behind(service: Service) -> None:
    async with service.client() as client, service.client() as behind:
        log = await service.tenant_log(client)
        sent = draft()
        plain = await client.append(log, [sent])
        proven = await behind.append(log, [sent, draft()], prove=True)
        assert (plain[0].proof, proven[0].index) == ("", plain[0].index)
        facts = await client.log(log)
        keys = [parse_vkey(text) for text in facts["keys"]]
        async with service.http() as http:
            leaves = split_entries((await http.get(f"/v1/logs/{log}/tile/entries/000.p/3")).content)
        for receipt in proven:
            assert (
                verify_proof(receipt.proof.encode(), leaves[receipt.index], facts["origin"], keys)[0] == receipt.index
            )


async def test_when_no_checkpoint_comes_in_time_the_entry_is_durable_and_the_answer_says_so(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with service.client() as client, service.http() as http:
        log = await service.tenant_log(client)
        await service.signed(log, 1)
        monkeypatch.setattr(append, "WAIT_SECONDS", 0.2)
        integrator = service.state.writer.desk.integrator
        original = integrator.integrate

        async def stuck(_: int):
            await asyncio.sleep(3600)

        integrator.integrate = stuck
        answer = await http.post(f"/v1/logs/{log}/entries?wait=checkpoint", json=bodies(1))
        assert (answer.status_code, answer.json()["entries"][0]["index"]) == (202, 1)
        assert "proof" not in answer.json()["entries"][0]
        assert (await client.log(log))["durable"] == 2
        integrator.integrate = original


async def test_when_nothing_can_be_recorded_whoever_waits_is_told_to_come_again(service: Service) -> None:
    async with service.client() as client, service.http() as http:
        log = await service.tenant_log(client)
        desk, service.state.writer._desk = service.state.writer._desk, None
        answer = await http.post(f"/v1/logs/{log}/entries?wait=checkpoint", json=bodies(1))
        service.state.writer._desk = desk
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert (await client.log(log))["durable"] == 1


async def test_entries_are_found_by_when_they_happened_and_by_when_they_came_in(service: Service) -> None:
    async with service.client() as client, service.http() as http:
        log = await service.tenant_log(client)
        times = [f"2026-03-0{day}T12:00:00.000000Z" for day in (3, 1, 2)]  # late news of earlier days
        await client.append(log, [draft(event=at) for at in times])
        await asyncio.sleep(0.01)
        between = timestamp()
        await asyncio.sleep(0.01)
        await client.append(log, [draft(event=times[0])])
        await service.signed(log, 5)

        async def found(query: str) -> list[int]:
            answer = await http.get(f"/v1/logs/{log}/entries?{query}")
            assert answer.status_code == 200, answer.text
            return [row["index"] for row in answer.json()["entries"]]

        assert await found("from=2026-03-02T00:00:00Z&to=2026-03-04T00:00:00Z") == [1, 3, 4]
        assert await found("from=2026-03-02T14:00:00%2B02:00&to=2026-03-02T12:00:00.000001Z") == [3]
        assert await found("to=2026-03-02T00:00:00Z") == [2]
        assert await found("since=2026-03-02T00:00:00Z&until=2026-03-03T00:00:00Z") == [3]
        assert await found(f"time=received&to={between}") == [0, 1, 2, 3]
        assert await found(f"time=received&from={between}") == [4]
        assert await found(f"time=received&from={between}&action=operator:object:delete") == []
        assert await found("time=received&from=2100-01-01T00:00:00Z") == []
        assert await found("from=3") == [3, 4]  # a whole number is an index
        assert await found("from=2026-03-01T00:00:00Z&to=2026-03-04T00:00:00Z&start=3") == [3, 4]
        assert await found("order=newest&limit=2") == [4, 3]
        assert await found(f"order=newest&time=received&to={between}&limit=2&start=2") == [2, 1]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("from=yesterday-ishT", "from"), ("from=2026-03-02T00:00:00", "from"), ("from=2026-03-02T00:00:00+02:00", "%2B"),
        ("to=2026-03-02", "to"), ("to=2026-02-30T00:00:00Z", "to"), ("since=2026-W10-1T00:00:00Z", "since"), ("to=17", "to"),
        ("time=sometimes", "time"), ("order=random", "order"), ("start=-1", "start"), ("size=x", "size"), ("limit=0", "limit"),
        ("from=1&start=2", "from"), ("from=%D9%A3", "from"), ("to=0001-01-01T00:00:00%2B23:00", "to"), ("colour=blue", "colour"),
    ],
)  # fmt: skip
async def test_a_wrong_question_is_refused_by_name(service: Service, query: str, said: str) -> None:
    async with service.client() as client, service.http() as http:
        log = await service.tenant_log(client)
        await service.signed(log, 1)
        answer = await http.get(f"/v1/logs/{log}/entries?{query}")
        assert answer.status_code == 400
        assert said in answer.json()["error"]


async def test_a_walk_through_pages_meets_every_entry_once_while_the_log_grows(service: Service) -> None:
    async with service.client() as client, service.http() as http:
        log = await service.tenant_log(client)
        actors = [Actor(type="user", sub=f"u-{number % 2}") for number in range(40)]
        await client.append(log, [draft(actor=actor) for actor in actors])
        await service.signed(log, 41)
        for order, query in (("oldest", ""), ("oldest", "&actor=u-1"), ("newest", ""), ("newest", "&actor=u-1")):
            before = (await client.log(log))["durable"]
            seen, following = [], None
            while True:
                start = "" if following is None else f"&start={following}"
                path = f"/v1/logs/{log}/entries?limit=7&order={order}{query}{start}&size={before}"
                answer = (await http.get(path)).json()
                seen += [row["index"] for row in answer["entries"]]
                following = answer["next"]
                if following is None:
                    break
                size = (await client.append(log, [draft(actor=actors[1])]))[0].index + 1
                await service.signed(log, size)
            every = [
                index for index in range(before) if not query or (index % 2 == 0 and 0 < index < 41) or index >= 41
            ]
            assert seen == (every if order == "oldest" else every[::-1])
        assert (await http.get(f"/v1/logs/{log}/entries?size=9999")).status_code == 404


async def test_tlog_tiles_own_paths_answer_under_the_logs_name_and_may_be_kept_for_ever(service: Service) -> None:
    async with service.client() as client, service.http() as http, service.http(None) as stranger:
        log = await service.tenant_log(client)
        await client.append(log, [draft() for _ in range(299)])
        await service.signed(log, 300)
        facts = await client.log(log)
        keys = [parse_vkey(text) for text in facts["keys"]]
        checkpoint = await http.get(f"/{log}/checkpoint")
        assert open_checkpoint(checkpoint.content, facts["origin"], keys).checkpoint.size == 300
        assert checkpoint.headers["cache-control"] == "no-store"
        for name in ("0/000", "0/001.p/44", "1/000.p/1", "entries/000", "entries/001.p/44", "0/001.p/7"):
            answer = await http.get(f"/{log}/tile/{name}")
            assert answer.content == (await http.get(f"/v1/logs/{log}/tile/{name}")).content
            assert answer.headers["content-type"] == "application/octet-stream"
            assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
            assert (await stranger.get(f"/{log}/tile/{name}")).status_code == 401
        for name in (
            "0/001",
            "2/000.p/1",
            "0/001.p/45",
            "0/001.p/256",
            "entries/002.p/1",
            "64/000",
            "00/000",
            "-1/000",
            "entries/1",
            "0/000/",
        ):
            assert (await http.get(f"/{log}/tile/{name}")).status_code == 404, name
        zipped = await http.get(f"/{log}/tile/entries/000", headers={"Accept-Encoding": "gzip"})
        plain = await http.get(f"/{log}/tile/entries/000", headers={"Accept-Encoding": "identity"})
        assert (zipped.headers["content-encoding"], zipped.content) == ("gzip", plain.content)
        assert "content-encoding" not in plain.headers
        assert int(zipped.headers["content-length"]) == len(gzip.compress(plain.content, mtime=0))


async def test_every_route_is_in_the_description_and_nothing_else_is(service: Service) -> None:
    app = service.transport.app
    there = set()
    for route in app.routes:
        assert isinstance(route, Route)
        path = re.sub(r"\{(\w+):path\}", r"{\1}", route.path)
        there |= {(path, method.lower()) for method in (route.methods or {"GET"}) - {"HEAD"}}
    said = {(path, method) for path, methods in document()["paths"].items() for method in methods}
    assert said == there
    for path, methods in document()["paths"].items():
        for call in methods.values():
            named = {each["name"] for each in call["parameters"] if each["in"] == "path"}
            assert named == set(re.findall(r"\{(\w+)\}", path))
            assert call["summary"]
            assert call["responses"]
    listed = {
        each["name"]
        for each in document()["paths"]["/v1/logs/{log}/entries"]["get"]["parameters"]
        if each["in"] == "query"
    }
    assert listed == search.PARAMETERS


async def test_what_is_answered_is_what_the_description_says(service: Service) -> None:
    async with service.client() as client, service.http() as http, service.http(None) as stranger:
        log = await service.tenant_log(client)
        said = (await stranger.get("/openapi.json")).json()
        assert said["openapi"] == "3.1.0"
        sent = bodies(2)
        batch = said["components"]["schemas"]["Batch"]
        validator = jsonschema.Draft202012Validator({**batch, "components": said["components"]})
        validator.validate(sent)
        assert not validator.is_valid({"entries": []})
        assert not validator.is_valid({"entries": [{**draft().body(), "colour": "blue"}]})
        answers = {
            ("post", "/v1/logs/{log}/entries"): await http.post(f"/v1/logs/{log}/entries?wait=checkpoint", json=sent),
            ("get", "/v1/logs/{log}/entries"): await http.get(f"/v1/logs/{log}/entries"),
            ("get", "/v1/logs"): await http.get("/v1/logs"),
            ("get", "/v1/logs/{log}"): await http.get(f"/v1/logs/{log}"),
        }
        for (method, path), answer in answers.items():
            described = said["paths"][path][method]["responses"][str(answer.status_code)]["content"]
            media = answer.headers["content-type"].partition(";")[0]
            jsonschema.validate(answer.json(), described[media]["schema"])
        public = {
            path
            for path, methods in said["paths"].items()
            if methods.get("get", {}).get("security") == [] and "{" not in path
        }
        assert public == {"/", "/inspect", "/cloister-verify.pyz", "/openapi.json", "/healthz", "/readyz", "/metrics"}
        for path in public:
            assert (await stranger.get(path)).status_code in {200, 303}, path
        for path in (
            f"/v1/logs/{log}{rest}"
            for rest in ("", "/entries", "/checkpoint", "/proof?index=0", "/consistency?from=1", "/export")
        ):
            assert (await stranger.get(path)).status_code == 401


async def test_the_verifier_is_offered_and_its_hash_is_in_the_logs_first_entry_and_at_each_writers_start(
    service: Service,
) -> None:
    async with service.client() as client, service.http(None) as stranger:
        log = await service.tenant_log(client)
        await service.signed(log, 1)
        await service.signed("platform", 2)
        answer = await stranger.get("/cloister-verify.pyz")
        digest = sha256(answer.content).hexdigest()
        assert (answer.content, answer.headers["etag"]) == (zipapp.build(), f'"{digest}"')
        first = (await client.entries(log, action="audit:log:create"))[0]["entry"]
        started = (await client.entries("platform", action="audit:writer:start"))[0]["entry"]
        assert first["system"]["verifier"] == started["system"]["verifier"] == f"sha256:{digest}"


async def test_the_operators_own_look_ups_are_not_recorded_its_exports_are(service: Service) -> None:
    async with service.client() as client:
        log = await service.tenant_log(client)
        await service.signed(log, 1)
        await client.entries(log)
        assert (await client.log(log))["durable"] == 1
        await client.export(log)
        await service.signed(log, 2)
        (row,) = await client.entries(log, action="audit:log:read")
        assert (row["entry"]["system"], row["entry"]["object"]["name"]) == ({"how": "export"}, log)
        assert ObjectRef.model_validate(row["entry"]["object"]).type == "Log"


@pytest.mark.parametrize(
    "query",
    [
        "start=9999999999999999999",
        "start=9999999999999999999&actor=x",
        "start=9223372036854775807&order=newest",
        "actor=%00",
    ],
)
async def test_a_strange_question_is_no_servers_error(service: Service, query: str) -> None:
    async with service.client() as client, service.http() as http:
        log = await service.tenant_log(client)
        await service.signed(log, 1)
        assert (await http.get(f"/v1/logs/{log}/entries?{query}")).status_code in {200, 400}


async def test_text_that_the_search_cannot_hold_never_stops_a_log_from_being_signed(service: Service) -> None:
    async with service.client() as client, service.http() as http:
        log = await service.tenant_log(client)
        for field in ("actor.sub", "object.id", "object.type"):
            part, _, name = field.partition(".")
            (body,) = bodies(1)["entries"]
            body[part] = {**body[part], name: "a\0b"}
            answer = await http.post(f"/v1/logs/{log}/entries", json={"entries": [body]})
            assert (answer.status_code, f"entries.0.{field}" in answer.json()["error"]) == (422, True), answer.text
        await client.append(log, [draft(object=ObjectRef(type="D", id="\x01\x1b[31m\u202e\U0001f600"))])
        await service.signed(log, 2)
