"""The REST API against its own description, by schemathesis: hundreds of made-up requests, the same ones at every run."""

import re
import uuid
from datetime import UTC, datetime, timedelta

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tenant_app import factory
from tenant_app.adapters.directory import LdapDirectory
from tests.tenant_app.support import people
from tests.tenant_app.support.callers import sub
from tests.tenant_app.support.live import served
from tests.tenant_app.support.site import Site

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EACH = 25
OPERATIONS = 36


class Person:
    """A program that signs in like a person, over TLS."""

    def __init__(self, address: str, ca: str, uid: str) -> None:
        self.address = address
        self.http = requests.Session()
        self.http.verify = ca
        self.http.trust_env = False  # a bundle that the environment names would go before the one given
        page = self.http.get(f"{address}/sign-in").text
        token = re.search(r'name="csrf" value="([^"]*)"', page)[1]
        data = {"csrf": token, "account": uid, "password": people.password(uid)}
        assert self.http.post(f"{address}/sign-in", data=data, allow_redirects=False).status_code == 303
        self.token = self.http.get(f"{address}/api/v1/session").json()["csrfToken"]

    def upload(self) -> str:
        data = {"csrf": self.token, "title": "A note", "kind": "Report", "project": "", "reference": ""}
        answer = self.http.post(
            f"{self.address}/upload", data=data, files={"file": ("a.txt", b"Hello\n")}, allow_redirects=False
        )
        return answer.headers["location"].rsplit("/", 1)[-1]


@pytest.fixture
def address(fresh, keys, audit):
    with served(fresh, factory.Ports(keys=keys, directory=LdapDirectory(fresh.ldap), audit=audit)) as found:
        yield found


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_schemathesis_no_request_that_fits_or_breaks_the_description_is_a_defect(address, authority):
    people_of = {uid: Person(address, str(authority.ca), uid) for uid in ("omar", "max", "rita")}
    known = {"document": people_of["omar"].upload(), "number": 1}
    members = people_of["max"].http.get(f"{address}/api/v1/people").json()
    known["sub"] = next(each["sub"] for each in members if each["account"] == "rita")
    schema = schemathesis.openapi.from_dict(people_of["omar"].http.get(f"{address}/api/v1/openapi.json").json())
    seen: dict[str, set[int]] = {}
    for found in schema.get_all_operations():
        operation = found.ok()
        person = people_of["max" if operation.definition.raw["x-right"] == "administer" else "omar"]
        real = any(f"{{{name}}}" in operation.path for name in ("document", "sub"))
        for ids in ({}, known) if real else ({},):
            _walk(person, operation, ids, seen.setdefault(operation.label, set()))
    for person in people_of.values():
        person.http.close()
    assert len(seen) == OPERATIONS
    # The made-up requests got past the door of each operation, and what reads answered. What writes has rules that hardly any
    # made-up body keeps: that it works for whom it is meant is the next test's.
    assert [label for label, statuses in seen.items() if not statuses - {401, 403}] == []
    assert [label for label, statuses in seen.items() if label.startswith("GET") and 200 not in statuses] == []
    assert set().union(*seen.values()) >= {200, 201, 404, 422}


def _walk(person: Person, operation, ids: dict, statuses: set[int]) -> None:
    @given(case=operation.as_strategy())
    @settings(
        max_examples=EACH, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    def walk(case) -> None:
        case.path_parameters = {name: ids.get(name, made) for name, made in (case.path_parameters or {}).items()}
        headers = {"x-csrf-token": person.token, "user-agent": person.http.headers["User-Agent"]}
        answer = case.call(
            base_url=f"{person.address}/api/v1", session=person.http, headers=headers, verify=person.http.verify
        )
        statuses.add(answer.status_code)
        case.validate_response(answer, checks=CHECKS)

    walk()


FILLED = {
    "text": "Some words", "reason": "A good reason", "name": "review", "what": "SOP-12 course", "how": "Passport seen",
    "verifiedBy": "Hanna Resources", "verifiedOn": "2026-01-15", "kind": "Report", "title": "A title", "sha256": "0" * 64,
    "receiver": str(uuid.uuid4()), "meaning": "approval", "folder": "A/B",
    "nonce": "made-up", "last": 3, "outcome": "in_order",
    "until": (datetime.now(UTC) + timedelta(days=30)).date().isoformat(),
}  # fmt: skip


def filled(description: dict, operation: dict, path: str) -> dict:
    """Return a body that fits an operation's description."""
    content = operation.get("requestBody", {}).get("content", {})
    if "application/json" not in content:
        return {"content": b"Hello\n"} if content else {}
    schema = description["components"]["schemas"][content["application/json"]["schema"]["$ref"].rpartition("/")[2]]
    values = {**FILLED, "kind": "restore_access"} if path.endswith("/requests") else FILLED
    return {"json": {name: values[name] for name in schema["properties"] if name in values}}


async def test_idor_every_operation_answers_a_stranger_401_another_role_403_and_unknown_ids_404(site: Site):
    alice, manager, stranger = await site.as_("alice"), await site.as_("max"), site.browser()
    await site.as_("rita")
    known = {"document": await alice.uploaded(), "sub": await sub(site.app, "rita"), "number": "1"}
    description = (await alice.http.get("/api/v1/openapi.json")).json()
    through, done = set(range(200, 500)) - {401, 403}, {200, 201, 204}
    wrong, walked = [], 0
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            right = operation["x-right"]
            ours, other = (manager, alice) if right == "administer" else (alice, manager)
            read = {200} if method == "get" else through
            placed = [name for name in re.findall(r"\{(\w+)\}", path) if name != "number"]
            works = done | {409} if placed and set(placed) <= known.keys() else through
            for browser, ids, expected in (
                (stranger, known, {401}),
                (other, known, read if right == "signed_in" else {403}),
                (ours, {"number": "1"}, {404} if placed else read),
                (ours, known, works),
            ):
                at = "/api/v1" + re.sub(r"\{(\w+)\}", lambda each, ids=ids: ids.get(each[1], str(uuid.uuid4())), path)
                body = filled(description, operation, path)
                headers = {"x-csrf-token": browser.token, "x-file-name": "a.txt", "x-reason": "A good reason"}
                answer = await browser.http.request(method.upper(), at, headers=headers, **body)
                walked += 1
                if answer.status_code not in expected:
                    wrong.append((method, at, answer.status_code, answer.text[:200]))
    assert wrong == []
    assert walked == 4 * OPERATIONS


async def test_a_file_through_the_api_may_be_larger_than_any_other_body_and_is_read_only_for_who_may_store_it(
    site: Site,
):
    alice, rita = await site.as_("alice"), await site.as_("rita")
    document = await alice.uploaded()
    sent = 0

    async def parts(count: int):
        nonlocal sent
        for _ in range(count):
            sent += 65536
            yield b"x" * 65536

    async def put(browser, count: int):
        headers = {"x-csrf-token": browser.token, "x-file-name": "big.txt", "x-reason": "More%20of%20it"}
        path = f"/api/v1/documents/{document}/versions/2"
        return await browser.http.put(path, content=parts(count), headers=headers)

    assert (await put(rita, 10**6)).status_code == 403
    assert sent <= 1 << 20
    stored = await put(alice, 20)
    assert (stored.status_code, stored.json()["latest"]["size"]) == (201, 20 * 65536)
    sent, most = 0, site.app.documents.max_bytes
    assert (await put(alice, 10**6)).status_code == 413
    assert sent <= most + (1 << 20)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"text":1}',
        b'{"text":"\\ud800"}',
        b"\xff\xfe",
        b'{"text":"a\\u0000"}',
        b'{"text":' + b"[" * 3000,
    ],
)
async def test_bodies_that_are_no_remark_are_refused_with_a_problem(site: Site, body):
    alice = await site.as_("alice")
    path = f"/api/v1/documents/{await alice.uploaded()}/versions/1/annotations"
    answer = await alice.http.post(
        path, content=body, headers={"content-type": "application/json", "x-csrf-token": alice.token}
    )
    assert answer.status_code in {400, 422}
    assert answer.headers["content-type"] == "application/problem+json"
