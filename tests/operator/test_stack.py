"""Properties of the rendered stack that every part has to keep."""

import base64
import json
from dataclasses import replace

import pytest

from tenant_operator.api.names import LABEL_TENANT_ID
from tenant_operator.reconcile.plan import resources
from tenant_operator.stack.part import Context, Desired, External, Observed
from tenant_operator.stack.parts import PARTS
from tests.support.tenants import ACME, GLOBEX, context, with_pdfa_judge


def whole(**more: bool) -> Context:
    """A tenant with everything that a Tenant can ask for, in an installation that has it."""
    return with_pdfa_judge(context(records={"pdfa": "claimed"}, **more))


def manifests(ctx: Context) -> list[dict]:
    return [item.manifest for item in resources(ctx, PARTS) if isinstance(item, Desired)]


def pod_specs(ctx: Context) -> list[tuple[str, dict]]:
    found = []
    for manifest in manifests(ctx):
        spec = manifest.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec:
            found.append((f"{manifest['kind']}/{manifest['metadata']['name']}", spec["template"]["spec"]))
    return found


def test_same_context_same_bytes():
    one, two = (json.dumps(manifests(whole()), sort_keys=True) for _ in range(2))
    assert one == two


def test_every_object_is_in_the_tenants_namespace_and_carries_its_id():
    for manifest in manifests(whole()):
        meta = manifest["metadata"]
        where = meta["name"] if manifest["kind"] == "Namespace" else meta["namespace"]
        assert where == ACME.namespace, manifest
        assert meta["labels"][LABEL_TENANT_ID] == ACME.id, manifest


@pytest.mark.parametrize("names", [ACME, GLOBEX], ids=lambda names: names.tenant)
def test_no_object_of_a_tenant_names_another(names):
    other = GLOBEX if names is ACME else ACME
    text = json.dumps(manifests(context(names))) + repr(
        [i.spec for i in resources(context(names), PARTS) if isinstance(i, External)]
    )
    assert other.id not in text
    assert other.tenant not in text
    assert other.namespace not in text


def test_every_pod_is_pinned_to_the_region():
    pods = pod_specs(whole())
    assert len(pods) >= 6
    for name, spec in pods:
        terms = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
        for term in terms:
            pins = {e["key"]: e["values"] for e in term["matchExpressions"] if e["operator"] == "In"}
            assert pins["topology.kubernetes.io/region"] == ["eu-central-1"], name


def test_every_container_is_restricted_and_mounts_no_token_by_itself():
    for name, spec in pod_specs(whole()):
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for item in [*spec["containers"], *spec.get("initContainers", [])]:
            security = item["securityContext"]
            assert security["allowPrivilegeEscalation"] is False, name
            assert security["readOnlyRootFilesystem"] is True, name
            assert security["capabilities"] == {"drop": ["ALL"]}, name
            assert {"cpu", "memory"} <= set(item["resources"]["limits"]), name


def test_no_secret_value_is_anywhere_but_in_a_secret():
    ctx = whole()
    values = {
        base64.b64decode(value).decode()
        for manifest in manifests(ctx)
        if manifest["kind"] == "Secret"
        for key, value in manifest["data"].items()
        if key in {"password", "tls.key", "secretKey"}
    }
    assert len(values) >= 6
    elsewhere = json.dumps([item for item in manifests(ctx) if item["kind"] != "Secret"])
    assert not [value for value in values if value in elsewhere or json.dumps(value)[1:-1] in elsewhere]
    assert not [v for v in values for i in resources(ctx, PARTS) if isinstance(i, External) and v in repr(i)]


def test_a_stopped_tenant_runs_nothing_and_keeps_its_volume():
    stopped = manifests(whole(running=False))
    kinds = {(m["kind"], m["metadata"]["name"]): m for m in stopped}
    assert kinds["Deployment", "app"]["spec"]["replicas"] == 0
    assert kinds["Deployment", "pdfa-judge"]["spec"]["replicas"] == 0
    assert kinds["StatefulSet", "database"]["spec"]["replicas"] == 0
    assert all(m["spec"]["suspend"] for m in stopped if m["kind"] == "CronJob")
    assert ("PersistentVolumeClaim", "database-data") in kinds
    assert not [m for m in stopped if m["kind"] == "Job"]


def test_isolation_comes_before_any_workload():
    order = [(item.wave, item.key.kind) for item in resources(whole(), PARTS) if isinstance(item, Desired)]
    first_pod = min(wave for wave, kind in order if kind in {"StatefulSet", "Deployment", "Job", "CronJob"})
    assert max(wave for wave, kind in order if kind in {"NetworkPolicy", "ResourceQuota", "LimitRange"}) < first_pod


def test_nothing_observed_means_nothing_is_claimed():
    for part in PARTS:
        for finding in part.checks(whole(), Observed()):
            assert finding.status != "True", finding


def test_each_part_answers_the_five_questions_for_an_empty_world():
    ctx, seen = whole(), Observed()
    for part in PARTS:
        assert part.NAME
        list(part.desired(ctx))
        list(part.teardown(ctx))
        list(part.inventory(ctx, seen))
        list(part.proof(ctx, seen))


def test_an_issuer_replaces_our_own_certificate_for_the_hostname():
    ctx = context()
    named = replace(ctx, platform=replace(ctx.platform, cert_manager_issuer="letsencrypt"))
    kinds = {(m["kind"], m["metadata"]["name"]): m for m in manifests(named)}
    assert ("Secret", "app-tls") not in kinds
    assert kinds["Certificate", "app-tls"]["spec"]["issuerRef"]["name"] == "letsencrypt"


def test_network_policies_name_only_what_is_needed():
    policies = {m["metadata"]["name"]: m["spec"] for m in manifests(whole()) if m["kind"] == "NetworkPolicy"}
    assert policies["default-deny"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    probe = policies["isolation-probe"]
    assert [rule["to"] for rule in probe["egress"]] == [
        [{"podSelector": {"matchLabels": {"app.kubernetes.io/component": "database"}}}]
    ]
    for name, spec in policies.items():
        for rule in [*spec.get("ingress", []), *spec.get("egress", [])]:
            assert rule.get("from") or rule.get("to"), f"{name} opens something to everybody"
