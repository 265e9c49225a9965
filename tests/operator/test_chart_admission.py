"""What the chart renders of admission: policies that fail closed, and the webhook before our own kinds."""

import pytest

from audit_service.settings import Settings
from tenant_operator.api.kinds import KINDS
from tenant_operator.handlers.settings import OperatorConfig
from tests.support.helm import of, rules, template, webhooks

pytestmark = pytest.mark.cluster
"""Helm comes with the local cluster; the cluster itself is not needed."""


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
