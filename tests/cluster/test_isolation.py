"""What one tenant can reach of another: nothing, tried from its own pods and with its own tokens and passwords."""

import base64
import json

import psycopg
import pytest

from tests.support import api, living, outside
from tests.support.kubectl import forwarded, get, kubectl
from tests.support.outside import VaultError
from tests.support.waiting import say

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("demo")]

ACME, GLOBEX = "tenant-acme-pharma", "tenant-globex-bio"
OPEN = {
    "own database": ("database.tenant-acme-pharma.svc", 5432),
    "audit service": ("audit.cloister-audit.svc", 8443),
    "own Region's Vault": ("vault-eu-central-1.vault.svc", 8200),
}
CLOSED = {
    "globex's app": ("app.tenant-globex-bio.svc", 8443),
    "globex's database": ("database.tenant-globex-bio.svc", 5432),
    "audit database": ("audit-database.cloister-audit.svc", 5432),
    "metadata address": ("169.254.169.254", 80),
    "Kubernetes API": ("kubernetes.default.svc", 443),
    "the node's API server": ("10.89.0.1", 7443),
    "the kubelet": ("10.89.0.11", 10250),
    "object storage": ("objectstore-eu-central-1.objectstore.svc", 7070),
    "the operator": ("beacon.cloister-system.svc", 8090),
    "the world": ("1.1.1.1", 443),
}
_TRY = """
import concurrent.futures, json, socket, sys
def attempt(address):
    try:
        socket.create_connection(tuple(address), 4).close()
    except OSError as error:
        return type(error).__name__
    return "open"
wanted = json.loads(sys.argv[1])
with concurrent.futures.ThreadPoolExecutor(len(wanted)) as pool:
    print(json.dumps(dict(zip(wanted, pool.map(attempt, wanted.values())))))
"""


@pytest.fixture(scope="module")
def reached() -> dict[str, str]:
    """Try every address from acme's app pod at once; return what came of each."""
    wanted = json.dumps(OPEN | CLOSED)
    said = kubectl("exec", "deploy/app", "-c", "app", "-n", ACME, "--", "python", "-c", _TRY, wanted)
    found: dict[str, str] = json.loads(said.strip().splitlines()[-1])
    say(f"from acme's app pod: {found}")
    return found


@pytest.mark.parametrize("name", OPEN)
def test_from_the_app_pod_what_it_needs_answers(reached, name):
    assert reached[name] == "open"


@pytest.mark.parametrize("name", CLOSED)
def test_from_the_app_pod_everything_else_times_out(reached, name):
    assert reached[name] == "TimeoutError", f"{name} at {CLOSED[name]}: {reached[name]}"


# ---- Vault


@pytest.fixture(scope="module")
def ids() -> dict[str, str]:
    return {name: living.identity(name) for name in living.DEMO}


@pytest.fixture(scope="module")
def acme_token() -> str:
    return outside.account_token(ACME, "app", "vault")


def use(region: str, identity: str, token: str) -> str:
    """Seal three bytes with a tenant's key."""
    answer = outside.vault(region).call(
        "POST", f"transit/encrypt/cloister-{identity}", {"plaintext": "YWJj"}, token=token
    )
    return str(answer["data"]["ciphertext"])


def test_the_apps_account_uses_its_own_key(ids, acme_token):
    token = outside.vault_login(living.EU, f"cloister-{ids['acme-pharma']}-app", acme_token)
    assert use(living.EU, ids["acme-pharma"], token).startswith("vault:v")


def test_it_cannot_log_in_as_another_tenant(ids, acme_token):
    with pytest.raises(VaultError, match=r"invalid subject|error validating") as caught:
        outside.vault_login(living.US, f"cloister-{ids['globex-bio']}-app", acme_token)
    assert caught.value.status == 400
    with pytest.raises(VaultError):
        outside.vault_login(living.EU, f"cloister-{ids['globex-bio']}-app", acme_token)


@pytest.mark.parametrize("region", [living.EU, living.US])
def test_its_vault_token_opens_no_other_tenants_key(ids, acme_token, region):
    token = outside.vault_login(living.EU, f"cloister-{ids['acme-pharma']}-app", acme_token)
    with pytest.raises(VaultError) as caught:
        use(region, ids["globex-bio"], token)
    assert caught.value.status == 403, caught.value


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("LIST", "transit/keys"),
        ("GET", "transit/keys/cloister-{id}"),
        ("GET", "transit/export/encryption-key/cloister-{id}"),
        ("DELETE", "transit/keys/cloister-{id}"),
        ("POST", "transit/keys/cloister-{id}/rotate"),
        ("GET", "sys/policies/acl/cloister-{id}-app"),
        ("GET", "auth/jwt/role/cloister-{id}-app"),
    ],
)
def test_nor_may_it_do_more_with_its_own_than_use_it(ids, acme_token, method, path):
    own = ids["acme-pharma"]
    token = outside.vault_login(living.EU, f"cloister-{own}-app", acme_token)
    with pytest.raises(VaultError) as caught:
        outside.vault(living.EU).call(method, path.format(id=own), token=token)
    assert caught.value.status == 403, caught.value


@pytest.mark.parametrize("account", ["database", "default", "isolation-probe"])
def test_other_accounts_of_the_tenant_have_no_way_in(ids, account):
    token = outside.account_token(ACME, account, "vault")
    with pytest.raises(VaultError):
        outside.vault_login(living.EU, f"cloister-{ids['acme-pharma']}-app", token)


def test_a_token_for_another_audience_is_no_way_in(ids):
    token = outside.account_token(ACME, "app", "cloister-audit")
    with pytest.raises(VaultError, match="audience"):
        outside.vault_login(living.EU, f"cloister-{ids['acme-pharma']}-app", token)


# ---- the database


def password(namespace: str, secret: str) -> str:
    data = get("secret", secret, "-n", namespace)["data"]["password"]
    return base64.b64decode(data).decode()


@pytest.mark.parametrize(
    ("role", "secret"),
    [
        ("app", "database-app"),
        ("app_owner", "database-owner"),
        ("audit_writer", "database-audit-writer"),
        ("backup", "database-backup"),
        ("postgres", "database-superuser"),
    ],
)
def test_acmes_passwords_are_refused_by_globexs_database(role, secret):
    with forwarded(GLOBEX, "pod/database-0", 5432) as port:
        where = {"host": "localhost", "port": port, "dbname": "app", "user": role, "connect_timeout": 10}
        with psycopg.connect(**where, password=password(GLOBEX, secret), sslmode="require") as connection:
            assert connection.execute("select current_user").fetchone() == (role,)
    with forwarded(GLOBEX, "pod/database-0", 5432) as port:
        where["port"] = port
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(**where, password=password(ACME, secret), sslmode="require")


def test_a_connection_without_tls_is_refused():
    with forwarded(GLOBEX, "pod/database-0", 5432) as port:
        where = {"host": "localhost", "port": port, "dbname": "app", "user": "app", "connect_timeout": 10}
        with pytest.raises(psycopg.OperationalError, match=r"pg_hba\.conf rejects"):
            psycopg.connect(**where, password=password(GLOBEX, "database-app"), sslmode="disable")


def test_the_servers_are_two_and_each_has_checksums():
    found = {}
    for space in (ACME, GLOBEX):
        query = "select system_identifier || ' ' || current_setting('data_checksums') from pg_control_system()"
        command = ("psql", "-h", "/var/run/postgresql", "-U", "postgres", "-d", "postgres", "-Atc", query)
        found[space], checksums = kubectl("exec", "database-0", "-n", space, "--", *command).split()
        assert checksums == "on"
    assert found[ACME] != found[GLOBEX]


# ---- where it runs


@pytest.mark.parametrize("name", living.DEMO)
def test_pods_run_and_volumes_lie_in_the_tenants_region_only(name):
    region = living.live(name)["spec"]["region"]
    nodes = {item["metadata"]["name"]: item["metadata"]["labels"] for item in get("nodes")["items"]}
    pods = get("pods", "-n", f"tenant-{name}")["items"]
    assert len(pods) >= 2
    for pod in pods:
        node = nodes[pod["spec"]["nodeName"]]
        assert node["topology.kubernetes.io/region"] == region, (
            f"{pod['metadata']['name']} runs on {pod['spec']['nodeName']}"
        )
    volumes = [v for v in get("pv")["items"] if v["spec"].get("claimRef", {}).get("namespace") == f"tenant-{name}"]
    assert volumes
    for volume in volumes:
        terms = json.dumps(volume["spec"]["nodeAffinity"])
        fitting = [node for node, labels in nodes.items() if node in terms or region in terms]
        assert {nodes[node]["topology.kubernetes.io/region"] for node in fitting if node in terms} <= {region}, terms


def test_no_account_of_a_tenant_may_do_anything_in_the_cluster():
    for account in ("app", "database", "backup", "export", "isolation-probe", "default"):
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": f"system:serviceaccount:{ACME}:{account}",
                "groups": ["system:serviceaccounts", f"system:serviceaccounts:{ACME}", "system:authenticated"],
                "resourceAttributes": {"namespace": ACME, "verb": "get", "resource": "secrets"},
            },
        }
        answer = api.call("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body)
        assert not answer["status"]["allowed"], f"{account} may read Secrets: {answer['status']}"
