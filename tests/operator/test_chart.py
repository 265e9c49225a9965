"""What the chart renders: strict values, least rights, restricted pods, closed networks, and agreement with the programs."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from audit_service.settings import Settings
from tenant_operator.api.kinds import BY_KIND, KINDS
from tenant_operator.clients.resources import CHILDREN
from tenant_operator.handlers.settings import OperatorConfig
from tests.support.helm import CHART, NEEDED, ROOT, helm, template

pytestmark = pytest.mark.cluster
"""Helm comes with the local cluster; the cluster itself is not needed."""

LOUD = (
    "--set=monitoring.serviceMonitor.enabled=true",
    "--set=monitoring.prometheusRule.enabled=true",
    "--set=monitoring.dashboard.enabled=true",
    "--set=certificates.certManagerIssuer=letsencrypt",
    "--set=ingress.className=nginx",
    '--set-json=rbac.approvers=[{"kind":"Group","name":"cloister:approvers"}]',
    '--set-json=egress={"namespaces":[{"name":"vault","ports":[8200]}],"cidrs":[{"cidr":"203.0.113.0/24","ports":[443]}]}',
)


@pytest.fixture(scope="module")
def plain() -> list[dict[str, Any]]:
    return template()


@pytest.fixture(scope="module")
def loud() -> list[dict[str, Any]]:
    return template(*LOUD)


def of(objects: list[dict[str, Any]], kind: str, name: str | None = None) -> list[dict[str, Any]]:
    return [item for item in objects if item["kind"] == kind and name in {None, item["metadata"]["name"]}]


def pod_specs(objects: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for item in of(objects, "Deployment") + of(objects, "StatefulSet"):
        yield item["spec"]["template"]["spec"]


def rules(objects: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for item in of(objects, "ClusterRole") + of(objects, "Role"):
        for rule in item["rules"]:
            yield item["metadata"]["name"], rule


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
    assert config.ingress_class == "nginx"
    assert config.cert_manager_issuer == "letsencrypt"


def test_no_right_is_a_wildcard_nor_a_way_up(loud):
    for name, rule in rules(loud):
        words = [word for field in ("apiGroups", "resources", "verbs") for word in rule.get(field, ())]
        assert not any("*" in word for word in words), name
        assert not {"escalate", "bind", "impersonate"} & set(words), name
        assert "nonResourceURLs" not in rule


def granted(objects: list[dict[str, Any]]) -> dict[tuple[str, str], set[str]]:
    """Return what the operator's ClusterRole grants: verbs by group and resource."""
    (role,) = of(objects, "ClusterRole", "cloister-operator")
    found: dict[tuple[str, str], set[str]] = {}
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                found.setdefault((group, resource), set()).update(rule["verbs"])
    return found


def test_the_operator_may_watch_and_write_every_kind_it_renders(plain):
    have = granted(plain)
    for resource in CHILDREN:
        group = resource.api_version.rpartition("/")[0]
        assert {"list", "watch"} <= have[group, resource.plural], resource


def test_the_operator_is_confined_in_everything_it_may_write(loud):
    outside = {"cloister.dev", "events.k8s.io"}
    written = {key for key, verbs in granted(loud).items() if verbs & {"create", "patch", "delete", "update"}}
    confined = set()
    for policy in of(loud, "ValidatingAdmissionPolicy"):
        if not policy["metadata"]["name"].startswith("cloister-operator"):
            continue
        for rule in policy["spec"]["matchConstraints"]["resourceRules"]:
            assert rule["operations"] == ["CREATE", "UPDATE", "DELETE"]
            confined |= {(group, resource) for group in rule["apiGroups"] for resource in rule["resources"]}
    assert {key for key in written if key[0] not in outside and key[1] != "events"} <= confined


def test_the_tenants_auditor_is_granted_nothing_the_operator_lacks(plain):
    have = granted(plain)
    for group, resources in (
        ("", ["pods"]),
        ("apps", ["deployments", "statefulsets"]),
        ("batch", ["cronjobs", "jobs"]),
    ):
        assert all({"get", "list", "watch"} <= have[group, resource] for resource in resources)


def test_every_pod_is_restricted_and_every_image_given(plain):
    for spec in pod_specs(plain):
        security = spec["securityContext"]
        assert (security["runAsNonRoot"], security["runAsUser"]) == (True, 65532)
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"] + spec.get("initContainers", []):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["image"].startswith("localhost/cloister/")
            assert set(container["resources"]) == {"requests", "limits"}
            mounted = {mount["name"] for mount in container["volumeMounts"]}
            known = {volume["name"] for volume in spec["volumes"]} | {"data"}
            assert mounted <= known


def test_only_the_operator_has_a_token_for_the_api_server_by_itself(plain):
    automounted = [spec["serviceAccountName"] for spec in pod_specs(plain) if spec["automountServiceAccountToken"]]
    assert automounted == ["cloister-operator"]
    assert not any(account["automountServiceAccountToken"] for account in of(plain, "ServiceAccount"))


def test_the_superusers_password_is_mounted_where_it_is_used_only(plain):
    (audit,) = of(plain, "Deployment", "audit")
    spec = audit["spec"]["template"]["spec"]
    paths = {
        c["name"]: [m["mountPath"] for m in c["volumeMounts"]] for c in spec["containers"] + spec["initContainers"]
    }
    assert "/var/run/cloister/database-superuser" in paths["migrate"]
    assert "/var/run/cloister/database-superuser" not in paths["audit"]


def test_both_namespaces_deny_by_default_and_no_policy_selects_everybody(plain):
    policies = of(plain, "NetworkPolicy")
    denied = [p["metadata"]["namespace"] for p in policies if p["metadata"]["name"] == "default-deny"]
    assert sorted(denied) == ["cloister-audit", "cloister-system"]
    for policy in policies:
        if policy["metadata"]["name"] != "default-deny":
            assert policy["spec"]["podSelector"]["matchLabels"]
            assert all(rule.get("to") and rule.get("ports") for rule in policy["spec"].get("egress", ()))
    open_to_all = [
        (policy["metadata"]["name"], rule["ports"])
        for policy in policies
        for rule in policy["spec"].get("ingress", ())
        if not rule.get("from")
    ]
    assert open_to_all == [("operator", [{"protocol": "TCP", "port": 8090}])]


def test_inspectors_come_through_the_namespaces_that_values_name_and_through_no_other(plain):
    def sources(objects):
        (policy,) = of(objects, "NetworkPolicy", "audit")
        (rule,) = policy["spec"]["ingress"]
        assert rule["ports"] == [{"protocol": "TCP", "port": 8443}]
        return rule["from"]

    named = template('--set-json=audit.readers=[{"kubernetes.io/metadata.name":"ingress"}]')
    added = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}
    assert sources(named) == [*sources(plain), added]
    for wrong in ("[{}]", '["ingress"]'):  # no labels would be every namespace
        assert helm("template", "x", str(CHART), *NEEDED, f"--set-json=audit.readers={wrong}").returncode != 0


def test_each_policy_of_admission_is_bound_and_fails_closed(plain):
    policies = of(plain, "ValidatingAdmissionPolicy")
    bound = {
        b["spec"]["policyName"]: b["spec"]["validationActions"] for b in of(plain, "ValidatingAdmissionPolicyBinding")
    }
    assert len(policies) >= 7
    for policy in policies:
        assert policy["spec"]["failurePolicy"] == "Fail"
        assert bound[policy["metadata"]["name"]] == ["Deny"]


def test_admission_can_be_turned_off_whole():
    assert not of(template("--set=admission.enabled=false"), "ValidatingAdmissionPolicy")


def test_monitoring_is_off_until_asked_for(plain, loud):
    kinds = {"ServiceMonitor", "PrometheusRule"}
    assert not kinds & {item["kind"] for item in plain}
    assert kinds <= {item["kind"] for item in loud}
    (dashboard,) = [item for item in of(loud, "ConfigMap") if "dashboard" in item["metadata"]["name"]]
    assert json.loads(dashboard["data"]["cloister.json"])["panels"]


def test_people_are_bound_to_the_roles_that_values_name(plain, loud):
    assert not of(plain, "ClusterRoleBinding", "cloister-approver")
    (binding,) = of(loud, "ClusterRoleBinding", "cloister-approver")
    assert binding["subjects"] == [
        {"kind": "Group", "name": "cloister:approvers", "apiGroup": "rbac.authorization.k8s.io"}
    ]


def test_who_asks_cannot_approve_and_who_approves_cannot_ask(plain):
    hands = {
        name: {} for name in ("cloister-platform-engineer", "cloister-approver", "cloister-legal", "cloister-auditor")
    }
    for name, rule in rules(plain):
        for resource in rule["resources"]:
            if name in hands and set(rule["verbs"]) & {"create", "update", "patch", "delete"}:
                hands[name].setdefault(resource, set()).update(rule["verbs"])
    assert "tenantapprovals" not in hands["cloister-platform-engineer"]
    assert set(hands["cloister-approver"]) == {"tenantapprovals"}
    assert hands["cloister-approver"]["tenantapprovals"] & {"update", "patch", "delete"} == set()
    assert set(hands["cloister-legal"]) == {"tenantholds"}


@pytest.mark.parametrize("name", ["regions", "classes", "acme-pharma", "globex-bio"])
def test_the_examples_are_valid(name):
    for item in yaml.safe_load_all((ROOT / "examples" / f"{name}.yaml").read_text()):
        BY_KIND[item["kind"]].spec.model_validate(item["spec"])
