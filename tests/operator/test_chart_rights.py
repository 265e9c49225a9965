"""What the chart lets its pods and people do: least rights, restricted pods, closed networks, separate hands."""

from typing import Any

import pytest

from tenant_operator.clients.resources import CHILDREN
from tests.support.helm import of, pod_specs, rules

pytestmark = pytest.mark.cluster
"""Helm comes with the local cluster; the cluster itself is not needed."""


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
