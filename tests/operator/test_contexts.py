"""What a Tenant may name in the operator's namespace: its own, whether it runs or is stopped."""

import base64
import json

import pytest

from tenant_operator.api.tenant import TenantSpec
from tenant_operator.reconcile.contexts import Contexts, Home, NotReadyError
from tenant_operator.stack.part import Desired
from tenant_operator.stack.parts import PARTS
from tests.support.tenants import ACME, DERIVE, PLATFORM, documents, tenant_body
from tests.support.world import FakeAudit, FakeCluster, FixedClock

PLACE = "cloister-system"
FOREIGN = "what acme-pharma must never see"


def home_object(kind: str, name: str, labels: dict[str, str], **data: str) -> dict:
    values = {key: base64.b64encode(text.encode()).decode() if kind == "Secret" else text for key, text in data.items()}
    metadata = {"name": name, "namespace": PLACE, "labels": labels}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, "data": values}


@pytest.fixture
def contexts() -> Contexts:
    audit = FakeAudit()
    cluster, home = FakeCluster(audit), FakeCluster(audit)
    for name in ("regions", "classes"):
        for item in documents(name):
            cluster.put(item)
    theirs, nobodys = {"cloister.dev/tenant": "globex-bio"}, {"app.kubernetes.io/managed-by": "cloister"}
    for item in (
        home_object("ConfigMap", "local-services-ca", {}, **{"ca.crt": "CA"}),
        home_object("Secret", "globex-bio-directory", theirs, bindDN=FOREIGN, password=FOREIGN, **{"ca.crt": FOREIGN}),
        home_object("Secret", "cloister-root", nobodys, seed=FOREIGN),
        home_object("ConfigMap", "globex-bio-workflow", theirs, **{"workflow.json": json.dumps(FOREIGN)}),
    ):
        home.put(item)
    return Contexts(cluster, Home(home, PLACE), PLATFORM, DERIVE, FixedClock())


def spec(secret: str, key: str) -> TenantSpec:
    """Return acme-pharma's spec, naming a Secret and a ConfigMap that are not its own wherever it may name one."""
    body = tenant_body()["spec"]
    body["identity"]["ldap"] |= {"bindSecret": secret, "tls": {"caSecretKey": key}}
    body["alerts"] = [{"kind": "webhook", "url": "https://alerts.example/", "secret": secret, "tokenKey": key}]
    body["signatures"] = {"workflow": {"configMap": "globex-bio-workflow"}}
    return TenantSpec.model_validate(body)


@pytest.mark.parametrize(("secret", "key"), [("globex-bio-directory", "password"), ("cloister-root", "seed")])
def test_a_stopped_tenant_is_given_nothing_of_another_tenants_or_of_the_operators_own(contexts, secret, key):
    ctx = contexts.build(ACME, spec(secret, key), 1, running=False)
    rendered = [item.manifest for part in PARTS for item in part.desired(ctx) if isinstance(item, Desired)]
    names = {(item["kind"], item["metadata"]["name"]) for item in rendered}
    assert {("Secret", "directory"), ("Secret", "app-named"), ("ConfigMap", "app-config")} <= names
    text = json.dumps(rendered)
    assert FOREIGN not in text
    assert base64.b64encode(FOREIGN.encode()).decode() not in text


def test_a_stopped_tenant_keeps_what_is_its_own(contexts):
    own = {"cloister.dev/tenant": "acme-pharma"}
    contexts.home.cluster.put(home_object("Secret", "own", own, bindDN="reader", password="word", ca="CA"))
    contexts.home.cluster.put(home_object("ConfigMap", "globex-bio-workflow", own, **{"workflow.json": "{}"}))
    ctx = contexts.build(ACME, spec("own", "ca"), 1, running=False)
    assert ctx.bind_secret == ctx.secrets["own"] == {"bindDN": "reader", "password": "word", "ca": "CA"}
    assert ctx.workflow == "{}"


def test_a_value_that_is_no_text_is_named_where_it_is_needed_and_nobodys_business_elsewhere(contexts):
    binary = base64.b64encode(b"\xff\xfe").decode()
    found = home_object(
        "Secret", "own", {"cloister.dev/tenant": "acme-pharma"}, bindDN="reader", password="word", ca="CA"
    )
    found["data"]["logo"] = binary
    contexts.home.cluster.put(found)
    plain = tenant_body()["spec"]
    plain["identity"]["ldap"] |= {"bindSecret": "own", "tls": {"caSecretKey": "ca"}}
    wanted = TenantSpec.model_validate(plain)
    assert contexts.build(ACME, wanted, 1, running=True).bind_secret["password"] == "word"
    found["data"]["password"] = binary
    contexts.home.cluster.put(found)
    with pytest.raises(NotReadyError, match=r"own .*: password must be text in UTF-8"):
        contexts.build(ACME, wanted, 1, running=True)
