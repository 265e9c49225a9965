"""`cloister audit gaps`: a real log, beside what an API server would have written of the same minutes."""

# ruff: noqa: F811 - fixtures are imported and then asked for by name

import gzip
import json
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from audit_contract.entry import Draft, ObjectRef
from tenant_operator.cli import audit, gaps
from tenant_operator.cli import gaps_apiserver as beside
from tenant_operator.cli.problems import ProblemError
from tests.audit_service.conftest import database, postgres, service, settings  # noqa: F401
from tests.audit_service.service import ACTOR, OPERATOR, TENANT_LOG
from tests.operator.test_admission_webhook import ADMISSION
from tests.support.command_line import cloister, kube  # noqa: F401

BOUND = timedelta(minutes=10)
SPACE = "tenant-acme-pharma"
APP = f"system:serviceaccount:{SPACE}:app"


class Base:
    """The moment each test's times are counted from, so that a slow machine moves none of them."""

    now = datetime.now(UTC)


@pytest.fixture(autouse=True)
def _base():
    Base.now = datetime.now(UTC)


def act(phase: str, name: str = "app-config", *, ago: float = 30, result: str = "ok", **more) -> Draft:
    at = Base.now - timedelta(seconds=ago)
    return Draft(
        actor=ACTOR,
        action=more.pop("action", "operator:object:apply"),
        phase=phase,
        event=at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        object=ObjectRef(type=more.pop("kind", "ConfigMap"), id=name, namespace=more.pop("namespace", SPACE)),
        result=None if phase == "intent" else result,
        **more,
    )


def event(verb="patch", resource="configmaps", name="app-config", *, ago: float = 20, user=OPERATOR, code=200, **more):
    at = Base.now - timedelta(seconds=ago)
    about = {"resource": resource, "name": name, "namespace": more.pop("namespace", SPACE)}
    if "subresource" in more:
        about["subresource"] = more.pop("subresource")
    return {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata",
        "auditID": str(uuid.uuid4()),
        "stage": "ResponseComplete",
        "requestURI": f"/api/v1/namespaces/{SPACE}/{resource}/{name}",
        "verb": verb,
        "user": {"username": user},
        "objectRef": about,
        "responseStatus": {"code": code},
        "requestReceivedTimestamp": at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        **more,
    }


def edges():
    """Return what makes the API server's log cover the hour around."""
    far = {"verb": "patch", "resource": "pods", "name": "x", "namespace": "other"}
    return [event("get", ago=3600), event(**far, ago=3600), event(**far, ago=-3600)]


@pytest.fixture
async def written(service):
    """Have the tenant's log with one whole act in it; give a function that adds drafts and returns the bundle."""
    async with service.client() as operator, service.client(ADMISSION, kind="admission") as admission:
        await service.tenant_log(operator)
        intent = act("intent")
        await operator.append(TENANT_LOG, [intent, act("outcome", intent=intent.id)])

        async def more(*drafts: Draft) -> bytes:
            for draft in drafts:
                await (admission if draft.action.startswith("admission") else operator).append(TENANT_LOG, [draft])
            await service.signed(TENANT_LOG, (await operator.log(TENANT_LOG))["durable"])
            return await operator.export(TENANT_LOG)

        yield more


def calls(tmp_path, *events):
    file = tmp_path / "audit.log"
    file.write_text("".join(json.dumps(item) + "\n" for item in [*edges(), *events]))
    return beside.read([file])


def look(data, found=None, **more):
    return gaps.find(data, "acme-pharma", bound=BOUND, now=datetime.now(UTC) + more.pop("later", timedelta(0)), calls=found, **more)  # fmt: skip


async def test_a_whole_log_has_no_gap_and_what_is_under_way_is_none_until_the_bound(written):
    assert look(await written()).code == 0
    data = await written(act("intent", "other"))
    assert look(data).code == 0
    late = look(data, later=timedelta(minutes=11))
    assert late.code == 2
    (problem,) = late.problems
    assert "operator:object:apply of ConfigMap other has an intent and no outcome" in problem.text


async def test_a_request_of_ours_within_its_act_is_in_both_records(written, tmp_path):
    found = calls(tmp_path, event(), event(), event("patch", ago=21))
    assert look(await written(), found).problems == []


@pytest.mark.parametrize(
    "secret",
    [
        lambda: event("delete", "secrets", "database-superuser"),
        lambda: event("patch", "configmaps", "app-config", ago=600),
        lambda: event("create", "pods", "mine", user=APP),
        lambda: event("patch", "namespaces", SPACE),
        lambda: event("delete", "secrets", "x", user=OPERATOR, impersonatedUser={"username": OPERATOR}),
    ],
)
async def test_a_mutation_by_an_identity_of_ours_without_an_act_is_a_gap(written, tmp_path, secret):
    secret = secret()
    report = look(await written(), calls(tmp_path, event(), secret))
    assert report.code == 2
    (problem,) = report.problems
    assert "the audit log has no act for it" in problem.text
    assert secret["auditID"] in problem.text
    assert secret["user"]["username"] in problem.text


@pytest.mark.parametrize(
    "harmless",
    [
        lambda: event("delete", "secrets", "x", code=403),
        lambda: event("delete", "secrets", "x", namespace="tenant-globex-bio"),
        lambda: event("delete", "secrets", "x", user="alice"),
        lambda: event("get", "secrets", "x"),
        lambda: event("create", "serviceaccounts", "app", subresource="token", user=APP),
        lambda: event("delete", "secrets", "x", stage="RequestReceived"),
        lambda: event("delete", "secrets", "x", requestURI="/api/v1/namespaces/x/secrets/x?dryRun=All"),
    ],
)
async def test_what_changed_nothing_or_is_not_ours_is_no_gap(written, tmp_path, harmless):
    assert look(await written(), calls(tmp_path, event(), harmless())).problems == []


async def test_an_act_that_the_api_server_never_saw_is_a_gap_but_not_one_that_failed(written, tmp_path):
    failed, ghost = act("intent", "failed"), act("intent", "ghost")
    data = await written(failed, act("outcome", "failed", result="error", intent=failed.id))
    assert look(data, calls(tmp_path, event())).problems == []
    data = await written(ghost, act("outcome", "ghost", intent=ghost.id))
    (problem,) = look(data, calls(tmp_path, event())).problems
    assert "an act on ConfigMap tenant-acme-pharma ghost that the API server's log does not have" in problem.text
    assert problem.index == 6  # after the log's own, two acts of two entries each, and the first export


async def test_an_edit_by_a_person_is_in_both_records_by_the_entrys_id(written, tmp_path):
    told = act("single", "acme-pharma", kind="Tenant", namespace=None, action="admission:resource:update")
    data = await written(told)
    edit = event("patch", "tenants", "acme-pharma", user="alice", namespace="", annotations={beside.ENTRY: told.id})
    assert look(data, calls(tmp_path, event(), edit)).problems == []
    (problem,) = look(data, calls(tmp_path, event())).problems
    assert "an admission that the API server's log does not have" in problem.text
    past = event("delete", "tenants", "acme-pharma", user="alice", namespace="")
    texts = [item.text for item in look(data, calls(tmp_path, event(), edit, past)).problems]
    assert len(texts) == 1
    assert "past the admission webhook" in texts[0]
    stray = event("patch", "tenants", "acme-pharma", user="alice", namespace="", annotations={beside.ENTRY: "x"})
    texts = [item.text for item in look(data, calls(tmp_path, event(), edit, stray), platform=bytes).problems]
    assert "which is in no log" in texts[0]


async def test_the_platforms_own_log_covers_records_and_what_the_operator_did_before_there_was_a_log(service, tmp_path):
    hook = event("patch", "mutatingwebhookconfigurations", "cloister-admission", namespace="", ago=25)
    late = event("patch", "mutatingwebhookconfigurations", "cloister-admission", namespace="", ago=2)
    record = event("create", "tenantrecords", "acme-pharma", namespace="")
    status = event("patch", "tenantrecords", "acme-pharma", namespace="", subresource="status")
    begun = act("single", "pod", kind="Operator", action="operator:self:start", ago=10)
    intent = act("intent", "acme-pharma", kind="TenantRecord", namespace=None, action="operator:tenant:onboard")
    outcome = act("outcome", "acme-pharma", kind="TenantRecord", namespace=None, action=intent.action, intent=intent.id)
    async with service.client() as operator:
        await operator.append("platform", [begun, intent, outcome])
        await service.signed("platform", (await operator.log("platform"))["durable"])
        data = await operator.export("platform")

    def texts(*events):
        found = calls(tmp_path, *events)
        report = gaps.find(data, "platform", bound=BOUND, now=datetime.now(UTC), calls=found)
        return [problem.text for problem in report.problems]

    assert texts(hook, record, status) == []
    (problem,) = texts(hook, record, status, late)
    assert "patch MutatingWebhookConfiguration cloister-admission" in problem


async def test_the_command_shows_a_table_or_json_and_ends_as_the_verifier_does(
    written, tmp_path, cloister, monkeypatch
):
    data = await written()
    monkeypatch.setattr(audit, "fetch", lambda _kube, _tenant: data)
    code, out, _ = cloister("audit", "gaps", "acme-pharma")
    assert code == 0
    assert "✓ acme-pharma: 3 entries of 2 sources, nothing is missing." in out
    assert "--apiserver-log FILE" in out
    file = tmp_path / "rotated.log.gz"
    with gzip.open(file, "wt") as lines:
        lines.writelines(json.dumps(item) + "\n" for item in [*edges(), event(), event("delete", "secrets", "x")])
    code, out, _ = cloister("audit", "gaps", "acme-pharma", "--apiserver-log", str(file))
    assert code == 2
    assert "incomplete" in out
    assert "delete Secret tenant-acme-pharma/x" in " ".join(out.split())
    code, out, _ = cloister("audit", "gaps", "acme-pharma", "--apiserver-log", str(file), "--json")
    assert code == 2
    body = json.loads(out)
    assert (body["code"], body["apiserverCalls"], len(body["problems"])) == (2, 4, 1)
    code, _, _ = cloister("audit", "gaps", "acme-pharma", "--bound", "1")
    assert code == 0


async def test_a_tampered_log_is_1_whatever_else_is_missing(written, cloister, monkeypatch):
    data = bytearray(await written())
    at = data.index(b'"operator:object:apply"')
    data[at + 5 : at + 7] = b"xx"
    monkeypatch.setattr(audit, "fetch", lambda _kube, _tenant: bytes(data))
    assert cloister("audit", "gaps", "acme-pharma")[0] == 1


def test_a_file_that_is_no_audit_log_is_named_with_its_line(tmp_path):
    file = tmp_path / "audit.log"
    file.write_text(json.dumps(edges()[0]) + "\nnot json\n")
    with pytest.raises(ProblemError, match=r"audit\.log:2: not a line"):
        beside.read([file])
    with pytest.raises(ProblemError, match="No such file"):
        beside.read([tmp_path / "none"])
