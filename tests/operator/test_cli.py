"""What `cloister` prints and which code it ends with, against an API server in memory."""

# ruff: noqa: F811 - fixtures are imported and then asked for by name

import json
import re

import pytest
import yaml

from tenant_operator.cli import waiting
from tenant_operator.cli.problems import EXIT_CODES, Exit, ProblemError
from tenant_operator.cli.running import hoist
from tests.support.command_line import cloister, kube  # noqa: F401
from tests.support.helm import ROOT


def condition(kind: str, status: str, reason: str, message: str = "") -> dict[str, str]:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": "2026-11-23T00:00:00Z",
    }


def tenant(name: str = "acme-pharma", file: str = "acme-pharma") -> dict:
    item = yaml.safe_load((ROOT / "examples" / f"{file}.yaml").read_text())
    item["metadata"]["name"] = name
    return item


def record(name: str, state: str, **more) -> dict:
    spec = {
        "tenant": name,
        "id": "11111111-2222",
        "region": "eu-central-1",
        "state": state,
        "since": "2026-11-20T00:00:00Z",
        **more,
    }
    return {"apiVersion": "cloister.dev/v1alpha1", "kind": "TenantRecord", "metadata": {"name": name}, "spec": spec}


READY = {
    "observedGeneration": 1,
    "phase": "Ready",
    "url": "https://acme-pharma.cloister.localhost",
    "conditions": [condition("Ready", "True", "Ready"), condition("KeysReady", "True", "KeyPresent", "version 3")],
}
SEALED = {
    "observedGeneration": 1,
    "phase": "Progressing",
    "conditions": [
        condition("Ready", "False", "Progressing", "KeysReady: sealed"),
        condition("KeysReady", "False", "VaultSealed", "it is sealed"),
    ],
}


def test_help_documents_every_exit_code(cloister):
    code, out, _ = cloister("--help")
    assert code == 0
    documented = {int(number) for number in re.findall(r"^\s*(\d+)  ", out, re.MULTILINE)}
    assert documented == {int(each) for each in Exit} - {Exit.STOPPED}
    assert "Exit codes" in EXIT_CODES


@pytest.mark.parametrize(
    "args", [("nonsense",), ("tenants", "--wrong"), ("wait", "acme-pharma", "--for", "Sunny"), ("describe",)]
)
def test_a_command_that_is_not_understood_is_64_and_one_line(cloister, args):
    code, out, err = cloister(*args)
    assert code == Exit.USAGE
    assert not out
    assert err.startswith("cloister: ")
    assert "Traceback" not in err


def test_context_may_stand_anywhere():
    assert hoist(["describe", "x", "--context", "c"]) == ["--context", "c", "describe", "x"]
    assert hoist(["wait", "x", "--kubeconfig=k", "--", "--context"]) == [
        "--kubeconfig=k",
        "wait",
        "x",
        "--",
        "--context",
    ]


def test_tenants_lists_names_phases_and_what_is_wrong(cloister, kube):
    kube.put(tenant(), **READY)
    kube.put(tenant("globex-bio", "globex-bio"), **SEALED)
    kube.put(record("initech", "Retained"))
    code, out, _ = cloister("tenants")
    assert code == 0
    assert re.search(r"acme-pharma\s+✓\s+Ready\s+eu-central-1\s+small\s+\S+\s+https://acme-pharma", out)
    assert re.search(r"globex-bio\s+…\s+Progressing\s+us-east-1\s+small\s+\S+\s+KeysReady: sealed", out)
    assert "1 more retained or destroyed" in out


def test_tenants_without_any_says_how_to_begin(cloister):
    assert "kubectl apply -f examples/acme-pharma.yaml" in cloister("tenants")[1]


def test_retained_tenants_say_what_to_do(cloister, kube):
    kube.put(record("acme-pharma", "Live"))
    kube.put(record("initech", "Retained"))
    kube.put(record("umbrella", "Destroyed"))
    _, out, _ = cloister("tenants", "--retained")
    assert "acme-pharma" not in out
    assert re.search(r"initech\s+Retained.*apply its YAML again, or: cloister offboard initech", out)
    assert re.search(r"umbrella\s+Destroyed.*cloister offboard certificate umbrella", out)


def test_json_is_for_programs(cloister, kube):
    kube.put(tenant(), **READY)
    _, out, _ = cloister("tenants", "-o", "json")
    assert [item["metadata"]["name"] for item in json.loads(out)] == ["acme-pharma"]


def test_a_status_of_an_older_spec_is_not_shown_as_the_present(cloister, kube):
    kube.put(tenant(), **{**READY, "observedGeneration": 0})
    assert "Changing" in cloister("tenants")[1]
    assert "has not looked at the newest change" in cloister("describe", "acme-pharma")[1]


def test_describe_says_promises_in_plain_words_and_the_next_step(cloister, kube):
    kube.put(tenant("globex-bio", "globex-bio"), **SEALED)
    code, out, _ = cloister("describe", "globex-bio")
    assert code == 0
    assert "Region      us-east-1 (Virginia, US)" in out
    assert re.search(r"✗\s+Encryption keys\s+VaultSealed\s+\S+\s+it is sealed", out)
    assert re.search(r"·\s+Database\s+not observed yet", out)
    assert "Next: Unseal the Region's Vault" in out


def test_describe_of_a_retained_tenant_says_that_nothing_is_lost(cloister, kube):
    kube.put(record("initech", "Retained"))
    out = cloister("describe", "initech")[1]
    assert "Data, keys, backups and the name are kept." in out
    assert "apply its YAML again" in out


def test_an_unknown_tenant_is_3(cloister):
    code, _, err = cloister("describe", "nobody")
    assert code == Exit.NOT_FOUND
    assert "there is no tenant nobody" in err


def test_wait_ends_when_the_tenant_is_ready(cloister, kube):
    kube.put(tenant(), **READY)
    code, out, _ = cloister("wait", "acme-pharma")
    assert code == 0
    assert "✓ acme-pharma is Ready" in out
    assert "https://acme-pharma.cloister.localhost" in out


def test_wait_says_why_it_gave_up(cloister, kube, monkeypatch):
    monkeypatch.setattr(waiting, "_EVERY_SECONDS", 0.01)
    monkeypatch.setattr(waiting.time, "monotonic", iter(range(100)).__next__)
    kube.put(tenant(), **SEALED)
    code, out, err = cloister("wait", "acme-pharma", "--timeout", "3")
    assert code == Exit.FAILED
    assert out.count("KeysReady VaultSealed") == 1, "a line for each change, not for each look"
    assert "is not Ready" in err
    assert "Unseal the Region's Vault" in err


def test_wait_does_not_wait_for_what_a_person_has_to_change(cloister, kube):
    stalled = [
        condition("Ready", "False", "UnknownRegion", "no Region mars"),
        condition("Stalled", "True", "UnknownRegion", "no Region mars"),
    ]
    kube.put(tenant(), observedGeneration=1, conditions=stalled)
    code, _, err = cloister("wait", "acme-pharma")
    assert code == Exit.FAILED
    assert "cannot go on by itself: no Region mars" in err
    assert "kubectl get regions" in err


def test_wait_for_a_change_that_was_not_seen_yet_goes_on(cloister, kube, monkeypatch):
    monkeypatch.setattr(waiting, "_EVERY_SECONDS", 0.0)
    monkeypatch.setattr(waiting.time, "monotonic", iter(range(100)).__next__)
    kube.put(tenant(), **{**READY, "observedGeneration": 0})
    assert cloister("wait", "acme-pharma", "--timeout", "5")[0] == Exit.FAILED


def pod(name: str, component: str, *, waiting_: bool = False) -> dict:
    state = {"waiting": {}} if waiting_ else {"running": {}}
    status = {"containerStatuses": [{"name": component, "state": state}]}
    meta = {
        "name": name,
        "creationTimestamp": "2026-11-23T00:00:00Z",
        "labels": {"app.kubernetes.io/component": component},
    }
    return {"metadata": meta, "status": status}


def test_logs_are_printed_without_terminal_tricks(cloister, kube):
    kube.objects["/api/v1/namespaces/tenant-acme-pharma/pods/app-1"] = pod("app-1", "app")
    kube.log_lines = ["[bold]hello[/] \x1b[31mred"]
    code, out, _ = cloister("logs", "acme-pharma")
    assert code == 0
    assert out == "[bold]hello[/] [31mred\n"


def test_logs_of_something_else_name_what_there_is(cloister, kube):
    kube.objects["/api/v1/namespaces/tenant-acme-pharma/pods/app-1"] = pod("app-1", "app")
    code, _, err = cloister("logs", "acme-pharma", "backup")
    assert code == Exit.NOT_FOUND
    assert "There are logs of: app" in err


def test_a_refusal_is_said_in_the_servers_words(cloister, kube):
    kube.refusal = ProblemError("no", hint="do this")
    kube.put(tenant())
    code, _, err = cloister("hold", "add", "acme-pharma", "--matter", "EU v. Acme")
    assert code == Exit.FAILED
    assert err == "cloister: no\n  do this\n"


def test_holds_are_placed_listed_and_released(cloister, kube):
    kube.put(tenant())
    assert cloister("hold", "add", "acme-pharma", "--matter", "EU v. Acme")[0] == 0
    (name,) = [item["metadata"]["name"] for item in kube.items("/apis/cloister.dev/v1alpha1/tenantholds")]
    out = cloister("hold", "list")[1]
    assert re.search(rf"{name}\s+acme-pharma\s+EU v. Acme\s+alice", out)
    assert "No legal hold on globex-bio" in cloister("hold", "list", "--tenant", "globex-bio")[1]
    assert cloister("hold", "release", name)[0] == 0
    assert "No legal hold on any tenant" in cloister("hold", "list")[1]
