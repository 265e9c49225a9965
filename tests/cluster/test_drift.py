"""What happens when somebody deletes or edits what the operator made: it comes back, and the audit log says why."""

import json
import random
from datetime import UTC, datetime
from typing import Any

import pytest

from tenant_operator.clients.resources import CHILDREN
from tests.support import api, living, outside
from tests.support.kubectl import KubectlError, exists, kubectl
from tests.support.waiting import say, until

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("demo")]

TENANT, SPACE = "acme-pharma", "tenant-acme-pharma"
BACK_SECONDS = 3.0
"""The promise is a second; three so that a busy machine does not fail a good operator. The figure is printed."""
KEPT = {"Namespace", "PersistentVolumeClaim"}
NOT_OURS = {"Pod", "Ingress"}
"""Pods are their controllers' affair; an Ingress is made where the platform names an ingress class."""
VICTIMS = {
    "ResourceQuota": "tenant",
    "LimitRange": "defaults",
    "ServiceAccount": "isolation-probe",
    "Role": "auditor",
    "RoleBinding": "auditor",
    "NetworkPolicy": "default-deny",
    "Secret": "database-app",
    "ConfigMap": "app-config",
    "Service": "app",
    "PodDisruptionBudget": "app",
    "CronJob": "isolation-probe",
    "Job": "isolation-probe",
    "Deployment": "app",
    "StatefulSet": "database",
}
RESOURCES = {item.kind: item for item in CHILDREN}


def log() -> str:
    return f"tenant-{living.identity(TENANT)}"


def test_every_kind_of_child_is_among_those_deleted_here():
    assert set(RESOURCES) - KEPT - NOT_OURS == set(VICTIMS)
    rendered = {kind for kind, _ in living.objects(TENANT, [item.plural for item in CHILDREN if item.namespaced])}
    assert rendered - KEPT == set(VICTIMS)


@pytest.mark.parametrize("kind", VICTIMS)
def test_a_deleted_child_is_back_at_once_and_the_log_says_why(kind):
    resource = RESOURCES[kind]
    there = living.objects(TENANT, [resource.plural])
    name = next(found for _, found in there if found.startswith(VICTIMS[kind]))
    before = there[kind, name]
    since = datetime.now(UTC)
    with api.Watch(resource.collection(SPACE)) as watch:
        kubectl("delete", resource.plural, name, "-n", SPACE, "--wait=false")
        gone = until(f"{kind} {name} is deleted", lambda: watch.first("DELETED", name), 20, every=0.01)
        back = until(f"{kind} {name} is back", lambda: watch.first("ADDED", name, gone.at), 15, every=0.01)
    say(f"{kind} {name}: back {(back.at - gone.at) * 1000:.0f} ms after its deletion")
    assert back.item["metadata"]["uid"] != before["metadata"]["uid"]
    assert back.item["metadata"]["labels"] == before["metadata"]["labels"]
    for field in ("data", "rules", "subjects", "roleRef", "type"):
        assert back.item.get(field) == before.get(field), f"{field} of {kind} {name} is another"
    assert back.at - gone.at < BACK_SECONDS
    the_log_says(f"{name} was deleted", kind, name, "operator:object:create", since)


@pytest.mark.parametrize("name", ["database-superuser", "database-tls", "app-tls", "directory", "objectstore"])
def test_a_deleted_secret_comes_back_with_the_same_content(name):
    path = f"/api/v1/namespaces/{SPACE}/secrets/{name}"
    before = api.call("GET", path)
    api.call("DELETE", path)
    after = until(f"Secret {name} is back", lambda: api.find(path), 10, every=0.05)
    assert after["data"] == before["data"]
    assert after["metadata"]["uid"] != before["metadata"]["uid"]


@pytest.mark.parametrize(
    ("what", "words"),
    [(("namespace", SPACE), "kubectl delete tenant"), (("pvc", "database-data", "-n", SPACE), "holds a tenant's data")],
    ids=["Namespace", "PersistentVolumeClaim"],
)
def test_what_holds_data_is_not_deleted_at_all(what, words):
    uid = kubectl("get", *what, "-o", "jsonpath={.metadata.uid}")
    with pytest.raises(KubectlError) as caught:
        kubectl("delete", *what, "--wait=false")
    assert words in str(caught.value)
    assert kubectl("get", *what, "-o", "jsonpath={.metadata.uid} {.metadata.deletionTimestamp}").strip() == uid


# ---- edits by hand


def test_an_added_ingress_rule_is_taken_back():
    # Which one changes from run to run: what is taken back three times in ten minutes becomes a condition instead.
    name = random.choice(["allow-dns", "app", "backup", "database", "default-deny", "isolation-probe"])  # noqa: S311
    path = f"/apis/networking.k8s.io/v1/namespaces/{SPACE}/networkpolicies/{name}"
    patch = {"spec": {"ingress": [{}], "policyTypes": ["Ingress", "Egress"]}}
    edited("NetworkPolicy", name, path, patch, "spec")


def test_a_changed_number_of_replicas_is_taken_back():
    path = f"/apis/apps/v1/namespaces/{SPACE}/deployments/app"
    edited("Deployment", "app", path, {"spec": {"replicas": 2}}, "spec", "replicas")


def test_a_changed_value_of_a_configmap_is_taken_back():
    name = random.choice(["app-config", "database-config", "backup-config", "trust"])  # noqa: S311
    path = f"/api/v1/namespaces/{SPACE}/configmaps/{name}"
    value = next(iter(api.call("GET", path)["data"]))
    edited("ConfigMap", name, path, {"data": {value: "by hand", "added": "by hand"}}, "data")


def test_a_removed_label_and_a_widened_role_are_taken_back():
    path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{SPACE}/roles/auditor"
    rule = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}
    rules = api.call("GET", path)["rules"]
    edited(
        "Role", "auditor", path, {"rules": [*rules, rule], "metadata": {"labels": {"cloister.dev/part": "x"}}}, "rules"
    )
    assert api.call("GET", path)["metadata"]["labels"]["cloister.dev/part"] == "namespace"


def edited(kind: str, name: str, path: str, patch: dict[str, Any], *field: str) -> None:
    """Edit by kubectl, see it taken back, and its cause in the log."""
    wanted = at(api.call("GET", path), field)
    since = datetime.now(UTC)
    with api.Watch(path.rsplit("/", 1)[0]) as watch:
        kubectl("patch", kind.lower(), name, "-n", SPACE, "--type=merge", "-p", json.dumps(patch))

        def look() -> tuple[api.Seen, api.Seen]:
            changes = [
                one for one in list(watch.events) if one.item["metadata"]["name"] == name and one.kind == "MODIFIED"
            ]
            by_hand = next((seen for seen in changes if at(seen.item, field) != wanted), None)
            assert by_hand, f"the watch has not seen the edit of {kind} {name}"
            back = [seen for seen in changes if seen.at > by_hand.at and at(seen.item, field) == wanted]
            assert back, f"{'.'.join(field)} of {kind} {name} is {json.dumps(at(changes[-1].item, field))[:200]}"
            return by_hand, back[0]

        by_hand, mended = until(f"{kind} {name} is as it was", look, 15, every=0.05)
    say(f"{kind} {name}: taken back {(mended.at - by_hand.at) * 1000:.0f} ms after the edit")
    assert mended.at - by_hand.at < BACK_SECONDS
    the_log_says("was changed by kubectl", kind, name, "operator:object:apply", since)


def at(item: dict[str, Any], field: tuple[str, ...]) -> Any:
    for part in field:
        item = item.get(part) or {} if part != field[-1] else item.get(part)
    return item


def the_log_says(words: str, kind: str, name: str, action: str, since: datetime) -> None:
    """Wait until the tenant's log holds the repair: its intent with the cause, and its outcome."""

    def look() -> dict[str, Any]:
        begin = since.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        found = outside.entries(log(), object=name, type=kind, action=action, since=begin)
        intents = [one for one in found if one["entry"]["phase"] == "intent" and words in one["text"]]
        assert intents, f"no intent says {words!r}: {[(o['entry']['phase'], o['text']) for o in found]}"
        done = {one["entry"].get("intent"): one["entry"].get("result") for one in found}
        results = [done.get(intent["entry"]["id"]) for intent in intents]
        assert "ok" in results, f"the outcomes of what says {words!r}: {results}"
        return intents[0]

    intent = until(f"the log says {words!r}", look, 15)
    assert intent["entry"]["reason"]["code"] == "Drift"
    assert intent["entry"]["actor"]["sub"].endswith(":cloister-operator")
    assert exists(kind.lower(), name, "-n", SPACE)
