"""`cloister plan`: exactly what would change, and nothing that a secret hides."""

# ruff: noqa: F811 - fixtures are imported and then asked for by name

import copy
import re

import pytest
import yaml

from tenant_operator.api.names import LABEL_TENANT
from tenant_operator.cli import rendering
from tenant_operator.cli.problems import Exit, ProblemError
from tenant_operator.cli.values import changed, value_at
from tenant_operator.clients.resources import CHILDREN
from tests.support.command_line import cloister, kube  # noqa: F401
from tests.support.helm import ROOT

ACME = ROOT / "examples" / "acme-pharma.yaml"
PLURALS = {resource.kind: resource for resource in CHILDREN}


@pytest.fixture
def live(kube):
    """Have acme-pharma exist, with every object as it is rendered."""
    body = yaml.safe_load(ACME.read_text())
    kube.put(body)
    spec = {
        "tenant": "acme-pharma",
        "id": "1111",
        "region": "eu-central-1",
        "state": "Live",
        "since": "2026-11-20T00:00:00Z",
    }
    kube.put(
        {
            "apiVersion": "cloister.dev/v1alpha1",
            "kind": "TenantRecord",
            "metadata": {"name": "acme-pharma"},
            "spec": spec,
        }
    )
    stack = rendering.stack(rendering.context(kube, "acme-pharma", "1111", rendering.parse(body, "acme")))
    paths = {}
    for key, manifest in stack.objects.items():
        if key.kind != "Secret":
            paths[str(key)] = f"{PLURALS[key.kind].collection()}/{key.namespace}/{key.name}"
            kube.objects[paths[str(key)]] = copy.deepcopy(manifest)
    return paths


def edited(tmp_path, *pairs):
    text = ACME.read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    file = tmp_path / "tenant.yaml"
    file.write_text(text)
    return str(file)


def test_what_is_as_the_file_says_changes_nothing(cloister, live):
    code, out, err = cloister("plan", "-f", str(ACME))
    assert (code, err) == (0, "")
    assert "Nothing would change" in out


def test_a_new_tenant_is_everything_to_create_and_exit_2(cloister, kube):
    code, out, _ = cloister("plan", "-f", str(ACME))
    assert code == Exit.CHANGES
    assert "acme-pharma would be onboarded" in out
    assert "+ Namespace tenant-acme-pharma" in out
    assert "+ Vault key cloister-<its id>-signing" in out
    assert re.search(r"\d\d to create, 0 to change, 0 to remove. Nothing has been changed.", out)


def test_a_retained_tenant_would_be_taken_up_again(cloister, kube):
    spec = {
        "tenant": "acme-pharma",
        "id": "1111",
        "region": "eu-central-1",
        "state": "Retained",
        "since": "2026-11-20T00:00:00Z",
    }
    kube.put(
        {
            "apiVersion": "cloister.dev/v1alpha1",
            "kind": "TenantRecord",
            "metadata": {"name": "acme-pharma"},
            "spec": spec,
        }
    )
    assert "would be taken up again, with its data" in cloister("plan", "-f", str(ACME))[1]


def test_a_destroyed_name_is_not_used_again(cloister, kube):
    spec = {
        "tenant": "acme-pharma",
        "id": "1111",
        "region": "eu-central-1",
        "state": "Destroyed",
        "since": "2026-11-20T00:00:00Z",
    }
    kube.put(
        {
            "apiVersion": "cloister.dev/v1alpha1",
            "kind": "TenantRecord",
            "metadata": {"name": "acme-pharma"},
            "spec": spec,
        }
    )
    code, _, err = cloister("plan", "-f", str(ACME))
    assert code == Exit.FAILED
    assert "Choose another name" in err


def test_an_edit_shows_each_value_before_and_after(cloister, live, tmp_path):
    file = edited(
        tmp_path,
        ("idleTimeout: 15m", "idleTimeout: 20m"),
        ("10.89.0.0/24", "10.99.0.0/24"),
        ("rotationPeriod: 90d", "rotationPeriod: 30d"),
    )
    code, out, _ = cloister("plan", "-f", file)
    assert code == Exit.CHANGES
    assert "data.config.json sessions.idleSeconds: 900 → 1200" in out
    assert "spec.ingress[0].from[0].ipBlock.cidr: 10.89.0.0/24 → 10.99.0.0/24" in out
    assert "rotationPeriodSeconds: 7776000 → 2592000" in out
    assert "0 to create" in out


def test_what_somebody_deleted_or_altered_would_be_repaired(cloister, kube, live):
    kube.objects.pop(live["Service tenant-acme-pharma/app"])
    kube.objects[live["NetworkPolicy tenant-acme-pharma/default-deny"]]["spec"]["policyTypes"] = ["Ingress"]
    code, out, _ = cloister("plan", "-f", str(ACME))
    assert code == Exit.CHANGES
    assert "+ Service tenant-acme-pharma/app" in out
    assert "~ NetworkPolicy tenant-acme-pharma/default-deny" in out


def test_what_is_no_longer_part_of_the_stack_would_be_removed(cloister, kube, live):
    extra = copy.deepcopy(kube.objects[live["Service tenant-acme-pharma/app"]])
    extra["metadata"]["name"] = "old"
    kube.objects["/api/v1/services/tenant-acme-pharma/old"] = extra
    assert "- Service tenant-acme-pharma/old" in cloister("plan", "-f", str(ACME))[1]


def test_somebody_elses_objects_are_left_alone(cloister, kube, live):
    foreign = {"metadata": {"name": "x", "namespace": "tenant-acme-pharma", "labels": {LABEL_TENANT: "acme-pharma"}}}
    kube.objects["/api/v1/configmaps/tenant-acme-pharma/x"] = foreign
    assert cloister("plan", "-f", str(ACME))[0] == 0


def test_values_that_rest_on_the_seed_are_never_compared(kube):
    body = yaml.safe_load(ACME.read_text())
    stack = rendering.stack(rendering.context(kube, "acme-pharma", "1111", rendering.parse(body, "acme")))
    secrets = [key for key in stack.objects if key.kind == "Secret"]
    assert secrets
    assert all(stack.hidden[key] for key in secrets)
    plain = [key for key in stack.objects if key.kind in {"NetworkPolicy", "ResourceQuota", "Namespace"}]
    assert not any(stack.hidden[key] for key in plain)


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        pytest.param([("retention: 30d", "retention: soon")], "spec.backup.retention", id="a duration that is none"),
        pytest.param([("region: eu-central-1", "region: mars")], "no Region is named 'mars'", id="an unknown Region"),
        pytest.param([("class: small", "class: huge")], "no TenantClass is named 'huge'", id="an unknown class"),
        pytest.param([('"0 2 * * *"', '"99 2 * * *"')], "spec.backup", id="an hour that no clock has"),
        pytest.param([("displayName:", "dispalyName:")], "spec.dispalyName", id="a misspelt field"),
        pytest.param([("kind: Tenant", "kind: Lodger")], "must hold one Tenant", id="something else"),
    ],
)
def test_a_wrong_tenant_is_refused_before_anything_is_compared(cloister, tmp_path, pairs, words):
    code, out, err = cloister("plan", "-f", edited(tmp_path, *pairs))
    assert code == Exit.FAILED
    assert words in err
    assert not out


def test_the_api_servers_own_no_counts(cloister, kube, live):
    kube.refusal = ProblemError("region is immutable")
    code, _, err = cloister("plan", "-f", str(ACME))
    assert code == Exit.FAILED
    assert "region is immutable" in err


def test_who_may_not_write_may_still_plan(cloister, kube, live):
    kube.refusal = ProblemError("alice cannot patch tenants", code=Exit.UNREACHABLE)
    assert cloister("plan", "-f", str(ACME))[0] == 0


def test_values_are_found_below_keys_with_dots():
    manifest = {
        "data": {"config.json": "x"},
        "spec": {"ports": [{"port": 1}]},
        "metadata": {"annotations": {"a.b/c": "y"}},
    }
    assert value_at(manifest, "data.config.json") == "x"
    assert value_at(manifest, "spec.ports[0].port") == 1
    assert value_at(manifest, "metadata.annotations.a.b/c") == "y"
    assert value_at(manifest, "spec.ports[4].port") is None


def test_changed_text_is_shown_line_by_line():
    assert list(changed("f", "a\nb\n", "a\nc\n")) == ["f: - b", "f: + c"]
    assert list(changed("f", None, "x")) == ["f: nothing → x"]
