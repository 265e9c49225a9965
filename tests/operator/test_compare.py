"""Does a live object have what is desired?"""

import copy

import pytest

from tenant_operator.reconcile.compare import added_only, differences
from tenant_operator.reconcile.plan import resources
from tenant_operator.stack.part import Desired
from tenant_operator.stack.parts import PARTS
from tests.support.tenants import context

POLICY = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "default-deny", "namespace": "t", "labels": {"a": "b"}},
    "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
}
DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "app", "labels": {"a": "b"}},
    "spec": {
        "replicas": 1,
        "template": {"spec": {"containers": [{"name": "app", "resources": {"limits": {"cpu": "1000m"}}}]}},
    },
}


def live(manifest, **changes):
    found = copy.deepcopy(manifest)
    found["metadata"] |= {"uid": "u", "resourceVersion": "1"}
    found.update(changes)
    return found


def test_an_object_as_rendered_is_no_difference():
    for item in resources(context(), PARTS):
        if isinstance(item, Desired):
            assert differences(item.manifest, live(item.manifest)) == []


def test_defaults_of_the_api_server_are_no_difference():
    found = live(DEPLOYMENT)
    found["spec"]["progressDeadlineSeconds"] = 600
    found["spec"]["template"]["spec"]["containers"][0]["terminationMessagePath"] = "/dev/termination-log"
    found["status"] = {"replicas": 1}
    assert differences(DEPLOYMENT, found) == []


def test_the_same_amount_written_otherwise_is_no_difference():
    found = live(DEPLOYMENT)
    found["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"] = "1"
    assert differences(DEPLOYMENT, found) == []


def test_the_same_amount_outside_resources_is_a_difference():
    wanted = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"x": "1000m"}}
    assert differences(wanted, live(wanted, data={"x": "1"})) == ["data.x"]


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"spec": {"podSelector": {}, "policyTypes": ["Ingress"]}}, "spec.policyTypes"),
        ({"metadata": {"name": "default-deny", "labels": {"a": "c"}}}, "metadata.labels.a"),
        ({"metadata": {"name": "default-deny"}}, "metadata.labels"),
    ],
    ids=["a list that lost an element", "a label that was changed", "labels that were removed"],
)
def test_a_change_is_named_by_its_path(change, path):
    assert path in differences(POLICY, live(POLICY, **change))


def test_an_added_rule_in_a_policy_is_a_difference_that_only_a_put_mends():
    opened = live(POLICY, spec={**POLICY["spec"], "ingress": [{}]})
    assert differences(POLICY, opened) == ["spec.ingress"]
    assert added_only(POLICY, opened)


def test_an_added_key_in_a_secret_is_a_difference():
    wanted = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "type": "Opaque", "data": {"a": "YQ=="}}
    assert differences(wanted, live(wanted, data={"a": "YQ==", "b": "Yg=="})) == ["data.b"]


def test_what_is_empty_may_be_absent():
    wanted = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {}}
    found = live(wanted)
    del found["data"]
    assert differences(wanted, found) == []
