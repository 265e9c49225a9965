"""What the chart renders: strict values, the generated CRDs, and agreement with the programs that read it."""

import json

import pytest
import yaml

from audit_service.settings import Settings
from tenant_operator.api.kinds import BY_KIND, KINDS
from tenant_operator.handlers.settings import OperatorConfig
from tests.operator.conftest import PDFA_JUDGE
from tests.support.helm import CHART, NEEDED, ROOT, helm, of

pytestmark = pytest.mark.cluster
"""Helm comes with the local cluster; the cluster itself is not needed."""


def test_lint_finds_no_fault():
    done = helm("lint", "--strict", str(CHART), *NEEDED)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("operator.loglevel=debug", "additional properties 'loglevel' not allowed"),
        ("operator.logLevel=loud", "value must be one of"),
        ("apiServer.cidrs={somewhere}", "does not match pattern"),
        ("audit.storage.size=big", "does not match pattern"),
        ("images.tag=5", "got number, want string"),
    ],
)
def test_a_wrong_value_is_refused_by_name(setting, words):
    done = helm("template", "c", str(CHART), *NEEDED, f"--set={setting}")
    assert done.returncode
    assert words in done.stderr


def test_without_a_cluster_the_api_servers_address_is_asked_for():
    done = helm("template", "c", str(CHART))
    assert done.returncode
    assert "Set apiServer.cidrs" in done.stderr
    assert "kubectl get endpointslices kubernetes" in done.stderr


def test_every_value_is_documented_and_in_the_schema():
    text = (CHART / "values.yaml").read_text()
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load(text)
    assert set(values) == set(schema["properties"]) - {"global"}
    for key in values:
        before = text.split(f"\n{key}:")[0].rsplit("\n", 1)[-1]
        assert before.startswith("#"), f"{key} has no comment above it"


def test_the_chart_ships_the_generated_crds():
    shown = helm("show", "crds", str(CHART)).stdout
    found = {item["metadata"]["name"]: item for item in yaml.safe_load_all(shown) if item}
    assert set(found) == {f"{kind.plural}.cloister.dev" for kind in KINDS}
    for path in (ROOT / "crds").glob("*.yaml"):
        wanted = yaml.safe_load(path.read_text())
        assert found[wanted["metadata"]["name"]] == wanted


def test_the_programs_understand_their_configuration(plain, loud):
    for objects in (plain, loud):
        (operator,) = of(objects, "ConfigMap", "cloister-operator")
        config = OperatorConfig.model_validate_json(operator["data"]["config.json"])
        assert config.audit_url == "https://audit.cloister-audit.svc:8443"
        (audit,) = of(objects, "ConfigMap", "audit")
        assert Settings.model_validate_json(audit["data"]["config.json"]).identity.operator.endswith(
            "cloister-operator"
        )
    assert (config.images.pdfa_judge, config.platform().images.pdfa_judge) == (PDFA_JUDGE, PDFA_JUDGE)
    (operator,) = of(plain, "ConfigMap", "cloister-operator")
    assert OperatorConfig.model_validate_json(operator["data"]["config.json"]).platform().images.pdfa_judge == ""
    assert config.ingress_class == "nginx"
    assert config.cert_manager_issuer == "letsencrypt"


def test_monitoring_is_off_until_asked_for(plain, loud):
    kinds = {"ServiceMonitor", "PrometheusRule"}
    assert not kinds & {item["kind"] for item in plain}
    assert kinds <= {item["kind"] for item in loud}
    (dashboard,) = [item for item in of(loud, "ConfigMap") if "dashboard" in item["metadata"]["name"]]
    assert json.loads(dashboard["data"]["cloister.json"])["panels"]


@pytest.mark.parametrize("name", ["regions", "classes", "acme-pharma", "globex-bio"])
def test_the_examples_are_valid(name):
    for item in yaml.safe_load_all((ROOT / "examples" / f"{name}.yaml").read_text()):
        BY_KIND[item["kind"]].spec.model_validate(item["spec"])
