"""Who may do what, by their service account token."""

import base64

import pytest

from audit_contract.client import AuditClient, AuditRefused, AuditUnavailable
from audit_contract.keys import parse_vkey
from audit_contract.proof import verify_proof
from audit_service.http.errors import ApiError
from audit_service.http.identity import TokenChecker
from audit_service.settings import Identity
from tests.audit_service.service import OPERATOR, PLATFORM_AUDITOR, Cluster, Service, draft

APP = "system:serviceaccount:tenant-acme-pharma:app"
BACKUP = "system:serviceaccount:tenant-acme-pharma:backup"
AUDITOR = "system:serviceaccount:tenant-acme-pharma:auditor"
OTHER_APP = "system:serviceaccount:tenant-globex-bio:app"
OTHER_AUDITOR = "system:serviceaccount:tenant-globex-bio:auditor"
ADMISSION = "system:serviceaccount:cloister-system:cloister-admission"
STRANGER = "system:serviceaccount:default:default"


@pytest.mark.parametrize(
    ("subject", "kind", "action", "may"),
    [
        (OPERATOR, "operator", "operator:object:apply", True),
        (OPERATOR, "admission", "admission:resource:update", False),
        (ADMISSION, "admission", "admission:resource:update", True),
        (ADMISSION, "operator", "operator:object:apply", False),
        (OPERATOR, "app", "app:document:create", False),
        (APP, "app", "app:document:create", True),
        (APP, "operator", "operator:object:apply", False),
        (APP, "job", "job:backup:run", False),
        (BACKUP, "job", "job:backup:run", True),
        (BACKUP, "app", "app:document:create", False),
        (AUDITOR, "auditor", "auditor:log:review", True),
        (OTHER_APP, "app", "app:document:create", False),
        (PLATFORM_AUDITOR, "auditor", "auditor:log:review", False),
        (STRANGER, "app", "app:document:create", False),
    ],
)
async def test_who_may_append_to_a_tenants_log_as_what(service: Service, subject, kind, action, may) -> None:
    async with service.client() as operator, service.client(subject, kind=kind) as client:
        log = await service.tenant_log(operator)
        sent = draft(action=action, phase="single")
        if may:
            assert (await client.append(log, [sent]))[0].index == 1
        else:
            with pytest.raises(AuditRefused):
                await client.append(log, [sent])
            assert (await operator.log(log))["durable"] == 1


async def test_only_the_operator_writes_to_the_platforms_log_and_creates_logs(service: Service) -> None:
    async with service.client() as operator, service.client(APP, kind="app") as app:
        with pytest.raises(AuditRefused):
            await service.tenant_log(app)
        with pytest.raises(AuditRefused):
            await app.append("platform", [draft(action="app:document:create", phase="single")])
        assert await operator.append("platform", [draft()])


@pytest.mark.parametrize(
    ("subject", "may"),
    [
        (OPERATOR, True),
        (PLATFORM_AUDITOR, True),
        (AUDITOR, True),
        (OTHER_AUDITOR, False),
        (APP, False),
        (STRANGER, False),
    ],
)
async def test_who_may_read_a_tenants_log(service: Service, subject, may) -> None:
    async with service.client() as operator, service.http(subject) as http:
        log = await service.tenant_log(operator)
        await service.signed(log, 1)
        for path in (
            "",
            "/entries",
            "/checkpoint",
            "/tile/0/000.p/1",
            "/proof?index=0",
            "/consistency?from=1",
            "/export",
        ):
            answer = await http.get(f"/v1/logs/{log}{path}")
            assert (answer.status_code == 200) is may, (path, answer.text)
            assert may or answer.status_code == 403
        names = {row["log"] for row in (await http.get("/v1/logs")).json()["logs"]}
        assert (log in names) is may
        assert ("platform" in names) is (subject in {OPERATOR, PLATFORM_AUDITOR})


async def test_a_tenants_account_gets_evidence_of_what_it_wrote_itself_and_of_nothing_else(service: Service) -> None:
    async with service.client() as operator, service.client(APP, kind="app") as app:
        log = await service.tenant_log(operator)
        await app.append(log, [draft(action="app:document:create", phase="single")])
        await operator.append(log, [draft()])
        await service.signed(log, 3)
        found = await app.evidence(log, 1)
        origin, keys = found["origin"], [parse_vkey(key) for key in found["keys"]]
        index, _ = verify_proof(found["proof"].encode(), base64.b64decode(found["leaf"]), origin, keys)
        assert index == 1
        for index in (0, 2):
            with pytest.raises(AuditRefused):
                await app.evidence(log, index)
            assert (await operator.evidence(log, index))["index"] == index
        with pytest.raises(AuditRefused, match="not under a checkpoint"):
            await app.evidence(log, 99)
        for subject in (BACKUP, OTHER_APP, STRANGER):
            async with service.http(subject) as http:
                assert (await http.get(f"/v1/logs/{log}/evidence?index=1")).status_code == 403, subject


async def test_a_source_is_the_callers_own_account_and_pod(service: Service) -> None:
    async with service.client() as operator:
        log = await service.tenant_log(operator)
        for source in ("cloister-operator/pod-2", "app/pod-1"):
            async with service.client(source=source) as client:
                with pytest.raises(AuditRefused, match=r"src\.id"):
                    await client.append(log, [draft()])
        async with service.client(source="cloister-operator/pod-1/admission") as client:
            assert await client.append(log, [draft()])


async def test_a_log_has_one_identity(service: Service) -> None:
    async with service.client() as client, service.http() as http:
        log = await service.tenant_log(client)
        await service.tenant_log(client)  # again, the same
        body = {"kind": "tenant", "tenant": "acme-pharma", "namespace": "tenant-acme-pharma", "region": "eu-central-1"}
        for change, status in (
            ({"region": "us-east-1"}, 409),
            ({"retentionDays": 1}, 409),
            ({"tenant": "globex-bio"}, 422),
            ({"kind": "platform"}, 422),
            ({"colour": "blue"}, 422),
            ({}, 200),
        ):
            answer = await http.put(f"/v1/logs/{log}", json={**body, "retentionDays": 3650, **change})
            assert answer.status_code == status, answer.text
        assert (await http.put("/v1/logs/Bad_Name", json={**body, "retentionDays": 1})).status_code == 422
        assert (await http.put("/v1/logs/platform", json={**body, "retentionDays": 1})).status_code == 409


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": ["vault"]},
        {"aud": None},
        {"iss": "https://elsewhere"},
        {"exp": 1},
        {"nbf": 2**33},
        {"sub": "alice"},
        {"sub": "system:serviceaccount:x"},
        {"sub": None},
    ],
)
async def test_a_token_of_another_audience_issuer_time_or_form_is_not_believed(claims) -> None:
    cluster = Cluster()
    checker = TokenChecker(Identity(jwks_ca_file=None, jwks_token_file=None), cluster.transport())
    with pytest.raises(ApiError) as caught:
        await checker.check(f"Bearer {cluster.token(**claims)}")
    assert caught.value.status == 401


async def test_a_token_signed_by_another_key_or_none_is_not_believed() -> None:
    cluster, impostor = Cluster(), Cluster()
    checker = TokenChecker(Identity(jwks_ca_file=None, jwks_token_file=None), cluster.transport())
    for header in (f"Bearer {impostor.token()}", "", "Basic x", "Bearer x", "Bearer a.b.c"):
        with pytest.raises(ApiError) as caught:
            await checker.check(header)
        assert caught.value.status == 401
    assert (await checker.check(f"Bearer {cluster.token()}")).subject == OPERATOR
    assert cluster.asked == 1


async def test_a_new_key_of_the_cluster_is_found_and_an_unreachable_cluster_keeps_the_old_ones() -> None:
    cluster = Cluster()
    checker = TokenChecker(Identity(jwks_ca_file=None, jwks_token_file=None), cluster.transport())
    await checker.check(f"Bearer {cluster.token()}")
    old = cluster.token(pod="another")
    cluster.key, cluster.key_id = Cluster().key, "k2"
    checker._asked = float("-inf")  # five seconds later
    await checker.check(f"Bearer {cluster.token()}")
    assert cluster.asked == 2
    with pytest.raises(ApiError):
        await checker.check(f"Bearer {old}")
    cluster.fails = True
    checker._fetched = checker._asked = float("-inf")
    await checker.check(f"Bearer {cluster.token(pod='third')}")


async def test_a_cluster_that_never_answered_means_unavailable(service: Service) -> None:
    service.cluster.fails = True
    async with service.client() as client:
        with pytest.raises(AuditUnavailable):
            await client.append("platform", [draft()])


async def test_no_token_means_401_and_the_client_may_come_again(service: Service) -> None:
    async with service.http(None) as http:
        assert (await http.get("/v1/logs")).status_code == 401
        assert (await http.post("/v1/logs/platform/entries", json={})).status_code == 401
    async with AuditClient(
        "http://audit", token=lambda: "stale", source_id="x/y", transport=service.transport
    ) as client:
        with pytest.raises(AuditUnavailable):
            await client.append("platform", [draft()])
