"""The REST API against its own description, by schemathesis: hundreds of made-up requests, the same ones at every run."""

import re
import uuid

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
from tests.tenant_app.support.live import served
from tests.tenant_app.support.site import Site

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EACH = 25


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
    person = Person(address, str(authority.ca), "omar")
    document = person.upload()
    schema = schemathesis.openapi.from_dict(person.http.get(f"{address}/api/v1/openapi.json").json())
    seen: dict[str, set[int]] = {}
    for found in schema.get_all_operations():
        operation = found.ok()
        for real in (False, True) if "{document}" in operation.path else (False,):
            _walk(person, operation, document if real else None, seen.setdefault(operation.label, set()))
    person.http.close()
    assert len(seen) == 7
    # The made-up requests got past the door, and reached what is there.
    assert all(200 in statuses or 201 in statuses for statuses in seen.values()), seen
    assert set().union(*seen.values()) >= {200, 201, 404, 422}


def _walk(person: Person, operation, document: str | None, statuses: set[int]) -> None:
    @given(case=operation.as_strategy())
    @settings(
        max_examples=EACH, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    def walk(case) -> None:
        if document is not None:
            case.path_parameters = {
                **case.path_parameters,
                "document": document,
                **({"number": 1} if "{number}" in case.path else {}),
            }
        headers = {"x-csrf-token": person.token, "user-agent": person.http.headers["User-Agent"]}
        answer = case.call(
            base_url=f"{person.address}/api/v1", session=person.http, headers=headers, verify=person.http.verify
        )
        statuses.add(answer.status_code)
        case.validate_response(answer, checks=CHECKS)

    walk()


async def test_idor_every_operation_answers_a_stranger_401_another_role_403_and_unknown_ids_404(site: Site):
    alice, manager, stranger = await site.as_("alice"), await site.as_("max"), site.browser()
    document = await alice.uploaded()
    paths = (await alice.http.get("/api/v1/openapi.json")).json()["paths"]
    wrong, walked = [], 0
    for path, operations in paths.items():
        for method, operation in operations.items():
            for browser, known, expected in (
                (stranger, document, {401}),
                (manager, document, {403} if operation["x-right"] != "signed_in" else {200}),
                (alice, str(uuid.uuid4()), {404} if "{document}" in path else {200}),
            ):
                at = "/api/v1" + path.replace("{document}", known).replace("{number}", "1")
                body = {"json": {"text": "x"}} if method == "post" else {}
                answer = await browser.http.request(method.upper(), at, headers={"x-csrf-token": browser.token}, **body)
                walked += 1
                if answer.status_code not in expected:
                    wrong.append((method, at, answer.status_code))
    assert wrong == []
    assert walked >= 21


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
