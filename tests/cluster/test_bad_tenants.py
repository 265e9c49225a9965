"""Tenants that cannot work: each is refused at apply or says why in its condition, and nothing of it is half made."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import api, living
from tests.support.kubectl import KubectlError, kubectl

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("demo")]


def ldap(**more: Any) -> dict[str, Any]:
    spec: dict[str, Any] = living.body("x")["spec"]["identity"]
    spec["ldap"] |= {"bindSecret": "globex-bio-directory"} | more
    return spec


# ---- at apply


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"identity": ldap(url="https://ldap.example.org")}, "spec.identity.ldap.url"),
        ({"identity": ldap(url="ldap://ldap.example.org")}, "the directory must be reached over TLS"),
        ({"colour": "green"}, ".spec.colour"),
        ({"backup": {"schedule": "daily"}}, "spec.backup.schedule"),
        ({"backup": {"retention": "a month"}}, "spec.backup.retention"),
        ({"hostname": "no host name"}, "spec.hostname"),
        ({"isolation": {"nodes": "mine"}}, "spec.isolation.nodes"),
        ({"network": {"egressTo": [{"cidr": "10.0.0.0/8", "ports": [70000], "reason": "a test"}]}}, "ports[0]"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_the_schema_can_see_is_refused_at_apply(spec, words):
    name = living.named("bad")
    with pytest.raises(KubectlError) as caught:
        living.apply(living.body(name, **spec))
    assert words in str(caught.value)
    assert api.find(api.cloister("tenants", name)) is None


# ---- in a condition

BAD: dict[str, tuple[dict[str, Any], str, str, bool]] = {
    "region": (
        {"region": "moon-1"},
        "UnknownRegion",
        "no Region is named 'moon-1'; this operator serves: eu-central-1",
        True,
    ),
    "class": ({"class": "huge"}, "UnknownClass", "no TenantClass is named 'huge'; there are: small, standard", True),
    "schedule": ({"backup": {"schedule": "every day at two"}}, "InvalidSchedule", "spec.backup", True),
    "minute": ({"backup": {"schedule": "99 2 * * *"}}, "InvalidSchedule", "spec.backup", True),
    "clock": ({"backup": {"timeZone": "Mars/Olympus"}}, "InvalidSchedule", "Mars/Olympus", True),
    "cidr": ({"network": {"ingressFrom": [{"cidr": "10.0.0.0/33"}]}}, "InvalidSpec", "ingressFrom[0].cidr", True),
    "port": (
        {"identity": ldap(url="ldaps://ldap.example.org:99999")},
        "InvalidDirectory",
        "spec.identity.ldap.url",
        True,
    ),
    "nosecret": ({"identity": ldap(bindSecret="nowhere")}, "BindSecretMissing", "cloister-system/nowhere", False),
    "others": (
        {"identity": ldap(bindSecret="acme-pharma-directory")},
        "BindSecretMissing",
        "it is not this tenant's",
        True,
    ),
}
"""What is wrong, the reason and the words of the condition, and whether only a change of the Tenant helps."""


@pytest.fixture(scope="module")
def bad() -> Iterator[dict[str, str]]:
    """Have all of them at once."""
    names = {case: living.named(case) for case in BAD}
    try:
        bodies = [living.body(names[case], **spec) for case, (spec, *_) in BAD.items()]
        living.apply(*bodies)
        yield names
    finally:
        kubectl("delete", "tenant", *names.values(), "--ignore-not-found", "--timeout=30s")


@pytest.mark.parametrize("case", BAD)
def test_what_only_the_operator_can_see_is_said_in_a_condition_and_nothing_is_made(bad, case):
    _, reason, words, stalled = BAD[case]
    name = bad[case]
    found = living.says(name, "Ready", "False", reason, words)
    assert living.condition(name, "Stalled")["status"] == str(stalled), found
    assert living.live(name)["status"]["phase"] == ("Stalled" if stalled else "Progressing")
    assert api.find(f"/api/v1/namespaces/tenant-{name}") is None, f"{name} has a namespace"
    assert living.record(name) is None, f"{name} has a record"


def test_a_bad_tenant_is_deleted_without_a_trace(bad):
    kubectl("delete", "tenant", bad["region"], "--timeout=10s")
    assert living.record(bad["region"]) is None


def test_a_tenant_that_was_bad_goes_on_when_it_is_mended():
    with living.tenant(living.named("mended"), **{"class": "huge", "suspend": True}) as name:
        living.says(name, "Ready", "False", "UnknownClass")
        kubectl("patch", "tenant", name, "--type=merge", "-p", '{"spec":{"class":"small"}}')
        living.says(name, "NamespaceReady", "True", seconds=30)
        assert living.condition(name, "Stalled")["status"] == "False"
