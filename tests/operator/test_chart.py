"""What the chart renders: strict values, least rights, restricted pods, closed networks, and agreement with the programs."""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from audit_contract.keys import KeyType, parse_vkey
from audit_service.settings import Settings
from audit_service.witness.config import WitnessConfig
from tenant_operator.api.kinds import BY_KIND, KINDS
from tenant_operator.clients.resources import CHILDREN
from tenant_operator.handlers.bootstrap import witness_secrets
from tenant_operator.handlers.settings import OperatorConfig
from tenant_operator.stack import audit_copies
from tenant_operator.stack.derive import Deriver
from tests.support.helm import CHART, NEEDED, ROOT, helm, template

pytestmark = pytest.mark.cluster
"""Helm comes with the local cluster; the cluster itself is not needed."""

LOUD = (
    "--set=monitoring.serviceMonitor.enabled=true",
    "--set=monitoring.prometheusRule.enabled=true",
    "--set=monitoring.dashboard.enabled=true",
    "--set=certificates.certManagerIssuer=letsencrypt",
    "--set=ingress.className=nginx",
    "--set=witness.enabled=true",
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


def test_the_witness_is_alone_with_its_keys_and_the_audit_service_asks_it(plain, loud):
    assert not [item for item in plain if item["metadata"].get("namespace") == "cloister-witness"]
    (found,) = of(loud, "ConfigMap", "witness")
    config = WitnessConfig.model_validate_json(found["data"]["config.json"])
    assert config.rule("cloister.localhost/audit/tenant-x") is config.logs[0]
    assert config.rule("elsewhere/audit/tenant-x") is None
    audit = Settings.model_validate_json(of(loud, "ConfigMap", "audit")[0]["data"]["config.json"])
    assert [each.url for each in audit.witnesses] == ["https://witness.cloister-witness.svc:8444"]
    assert not Settings.model_validate_json(of(plain, "ConfigMap", "audit")[0]["data"]["config.json"]).witnesses
    (deployment,) = of(loud, "Deployment", "witness")
    spec = deployment["spec"]["template"]["spec"]
    secrets = {volume["secret"]["secretName"] for volume in spec["volumes"] if "secret" in volume}
    derived = witness_secrets(
        Deriver(bytes(32), datetime(2026, 1, 1, tzinfo=UTC)), "cloister-witness", datetime.now(UTC)
    )
    assert secrets == {manifest["metadata"]["name"] for manifest in derived} == {"witness-tls", "witness-logs"}
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    policies = {item["metadata"]["name"]: item["spec"] for item in of(loud, "NetworkPolicy")}
    assert "egress" not in policies["witness"]
    assert [rule["from"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for rule in policies["witness"]["ingress"]] == ["audit"]  # fmt: skip
    assert [item["metadata"]["annotations"] for item in of(loud, "PersistentVolumeClaim")] == [
        {"helm.sh/resource-policy": "keep"}
    ] * 2


def test_the_guard_remembers_on_another_volume_than_the_database(plain):
    (audit,) = of(plain, "Deployment", "audit")
    spec = audit["spec"]["template"]["spec"]
    folder = str(Settings.model_validate_json(of(plain, "ConfigMap", "audit")[0]["data"]["config.json"]).guard_folder)
    (mount,) = [each for each in spec["containers"][0]["volumeMounts"] if each["mountPath"] == folder]
    (volume,) = [each for each in spec["volumes"] if each["name"] == mount["name"]]
    assert volume["persistentVolumeClaim"]["claimName"] == of(plain, "PersistentVolumeClaim")[0]["metadata"]["name"]
    (claim,) = of(plain, "StatefulSet", "audit-database")[0]["spec"]["volumeClaimTemplates"]
    assert claim["metadata"]["name"] != "audit-guard"


def test_the_witnesss_keys_do_not_derive_from_the_operators_seed():
    made = witness_secrets(Deriver(bytes(32), datetime(2026, 1, 1, tzinfo=UTC)), "w", datetime(2026, 1, 2, tzinfo=UTC))
    assert {name for manifest in made for name in manifest["data"]} == {"tls.crt", "tls.key", "vkeys"}
    (vkeys,) = [
        base64.b64decode(manifest["data"]["vkeys"]).decode() for manifest in made if "vkeys" in manifest["data"]
    ]
    assert [parse_vkey(vkey).kind for vkey in vkeys.split()] == [KeyType.ED25519, KeyType.ML_DSA_44]


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


def test_the_audit_service_starts_without_a_store_for_copies_and_reaches_those_that_are_listed():
    egress = '--set-json=audit.egress={"namespaces":[{"name":"objectstore","ports":[7070]}]}'
    objects = template("--set=audit.copies.lagSeconds=30", "--set=audit.copies.platformRegion=eu-central-1", egress)
    (config,) = of(objects, "ConfigMap", "audit")
    worm = Settings.model_validate_json(config["data"]["config.json"]).worm
    assert (worm.lag_seconds, worm.platform_region, worm.platform_retention_days) == (30, "eu-central-1", 3650)
    (audit,) = of(objects, "Deployment", "audit")
    spec = audit["spec"]["template"]["spec"]
    (volume,) = [each for each in spec["volumes"] if each["name"] == "worm"]
    assert volume["secret"] == {"secretName": audit_copies.SECRET, "optional": True, "defaultMode": 0o440}
    (container,) = spec["containers"]
    (folder,) = [each["mountPath"] for each in container["volumeMounts"] if each["name"] == "worm"]
    assert str(worm.stores_file) == f"{folder}/{audit_copies.STORES}"
    (policy,) = of(objects, "NetworkPolicy", "audit")
    allowed = [(to["namespaceSelector"]["matchLabels"], rule["ports"]) for rule in policy["spec"]["egress"] for to in rule["to"] if "namespaceSelector" in to]  # fmt: skip
    assert ({"kubernetes.io/metadata.name": "objectstore"}, [{"protocol": "TCP", "port": 7070}]) in allowed


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
    objects = template("--set=admission.enabled=false")
    assert not of(objects, "ValidatingAdmissionPolicy")
    assert not webhooks(objects)


def webhooks(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return of(objects, "MutatingWebhookConfiguration") + of(objects, "ValidatingWebhookConfiguration")


def test_the_webhook_stands_before_our_own_kinds_only_and_fails_closed_within_five_seconds(plain):
    stamp, record = (webhook for item in webhooks(plain) for webhook in item["webhooks"])
    for webhook in (stamp, record):
        (rule,) = webhook["rules"]
        assert rule["apiGroups"] == ["cloister.dev"]
        assert set(rule["resources"]) == {kind.plural for kind in KINDS}
        assert rule["scope"] == "Cluster"
        assert webhook["failurePolicy"] == "Fail"
        assert webhook["timeoutSeconds"] <= 5
        conditions = {item["name"]: item["expression"] for item in webhook["matchConditions"]}
        assert conditions["not-the-operator"].endswith("!= 'system:serviceaccount:cloister-system:cloister-operator'")
        assert "object.spec != oldObject.spec" in conditions[set(conditions).difference({"not-the-operator"}).pop()]
        (service,) = of(plain, "Service", webhook["clientConfig"]["service"]["name"])
        assert [port["port"] for port in service["spec"]["ports"]] == [webhook["clientConfig"]["service"]["port"]]
    assert (stamp["rules"][0]["operations"], stamp["sideEffects"]) == (["CREATE", "UPDATE"], "None")
    assert (record["rules"][0]["operations"], record["sideEffects"]) == (
        ["CREATE", "UPDATE", "DELETE"],
        "NoneOnDryRun",
    )


def test_the_operator_knows_the_configurations_as_they_are_installed(plain):
    (config,) = of(plain, "ConfigMap", "cloister-operator")
    told = OperatorConfig.model_validate_json(config["data"]["config.json"]).admission
    assert told.puts_trust
    for wanted, item in zip(told.configurations, webhooks(plain), strict=True):
        assert (wanted["kind"], wanted["metadata"]["name"]) == (item["kind"], "cloister-admission")
        assert wanted["webhooks"] == item["webhooks"]
        assert all("caBundle" not in webhook["clientConfig"] for webhook in item["webhooks"])


def test_the_operator_may_patch_its_two_configurations_and_no_other_and_none_when_the_bundle_is_given(plain):
    given = template("--set=admission.webhook.caBundle=QUJD")
    for objects, verbs in ((plain, ["get", "list", "watch", "patch"]), (given, ["get", "list", "watch"])):
        (found,) = [rule for _, rule in rules(objects) if "admissionregistration.k8s.io" in rule["apiGroups"]]
        assert (found["resourceNames"], found["verbs"]) == (["cloister-admission"], verbs)
    bundles = {webhook["clientConfig"]["caBundle"] for item in webhooks(given) for webhook in item["webhooks"]}
    assert bundles == {"QUJD"}


def test_the_webhook_reads_whose_an_object_is_and_nothing_else_and_is_reached_by_the_api_server_only():
    objects = template("--set=admission.webhook.from={192.0.2.0/24}")
    (role,) = of(objects, "ClusterRole", "cloister-admission")
    assert role["rules"] == [
        {"apiGroups": ["cloister.dev"], "resources": ["tenantrecords", "tenantoffboardings"], "verbs": ["get"]}
    ]
    (policy,) = of(objects, "NetworkPolicy", "admission")
    assert policy["spec"]["ingress"] == [
        {
            "from": [{"ipBlock": {"cidr": "10.89.0.1/32"}}, {"ipBlock": {"cidr": "192.0.2.0/24"}}],
            "ports": [{"protocol": "TCP", "port": 9443}],
        }
    ]
    (audit,) = of(objects, "ConfigMap", "audit")
    (deployment,) = of(objects, "Deployment", "cloister-admission")
    spec = deployment["spec"]["template"]["spec"]
    account = Settings.model_validate_json(audit["data"]["config.json"]).identity.admission
    assert account == f"system:serviceaccount:cloister-system:{spec['serviceAccountName']}"
    assert deployment["spec"]["replicas"] == 2


def test_without_the_webhook_nothing_of_it_is_left():
    objects = template("--set=admission.webhook.enabled=false")
    assert not webhooks(objects)
    assert not [
        item for item in objects if item["metadata"]["name"] in {"cloister-admission", "cloister-operator-webhook"}
    ]
    (config,) = of(objects, "ConfigMap", "cloister-operator")
    assert OperatorConfig.model_validate_json(config["data"]["config.json"]).admission is None


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
