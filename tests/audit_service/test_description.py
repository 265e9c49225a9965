"""The description put to the test by a stranger's tool: whatever it allows is answered as it says, and never with an error of ours."""

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from audit_service.http.openapi import document
from tests.audit_service.live import served
from tests.audit_service.service import OPERATOR, TENANT_LOG, Service, draft

READING = [path for path, methods in document()["paths"].items() if "get" in methods and "{name}" not in path]


async def fill(service: Service) -> None:
    async with service.client() as client:
        log = await service.tenant_log(client)
        await client.append(log, [draft() for _ in range(5)])
        await service.signed(log, 6)


@pytest.mark.parametrize("token", ["operator", "none"])
def test_no_question_that_the_description_allows_gets_an_answer_it_does_not_tell_of(
    settings_, postgres, tmp_path, token: str
) -> None:
    schema = schemathesis.openapi.from_dict(document())
    with served(settings_, postgres, tmp_path) as live:
        live.do(fill)
        headers = {"Authorization": f"Bearer {live.service.cluster.token(OPERATOR)}"} if token == "operator" else {}
        for path in READING:
            operation = schema[path]["GET"]

            @settings(
                max_examples=12,
                deadline=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
                database=None,
            )
            @given(case=operation.as_strategy(), ours=st.booleans())
            def ask(case, ours: bool) -> None:
                if ours and "log" in case.path_parameters:
                    case.path_parameters["log"] = TENANT_LOG
                response = case.call(
                    base_url=live.address, headers=headers, verify=str(tmp_path / "live.crt"), allow_redirects=False
                )
                case.validate_response(
                    response, checks=[not_a_server_error, status_code_conformance, response_schema_conformance]
                )

            ask()


@pytest.fixture(name="settings_")
def the_services(request):
    """The service's settings, under a name that is not Hypothesis's."""
    return request.getfixturevalue("settings")
