"""What the API server itself accepts and refuses: every CEL rule, every limit, every unknown field, every default."""

import re
import uuid
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from typing import Any

import pytest
import yaml

from tests.support import api, schema
from tests.support.kubectl import MASTERS, OPERATOR, KubectlError, kubectl
from tests.support.tenants import documents

pytestmark = pytest.mark.cluster

NAME = f"schema-{uuid.uuid4().hex[:8]}"
AGE = "age1" + "q" * 58
PLURALS = {kind: crd["spec"]["names"]["plural"] for kind, crd in schema.documents().items()}


OIDC = {
    "issuer": "https://id.example/realm",
    "clientID": "cloister",
    "clientSecret": "acme-oidc",
    "caKey": "ca.crt",
    "groupsClaim": "groups",
    "subjectClaim": "preferred_username",
    "groups": [{"group": "cloister-approvers", "role": "approver"}],
}
CONDUCT: dict[str, Any] = {
    "signatures": {
        "idleTimeout": "10m",
        "absoluteTimeout": "2h",
        "maxPasswordAge": "90d",
        "enrolment": "required",
        "meanings": [{"code": "approval", "statement": "I approve this version for use at Acme."}],
        "workflow": {"configMap": "acme-workflow", "key": "workflow.json"},
    },
    "access": {"longestGrant": "90d", "reviewEvery": "180d", "coolOff": "2h"},
    "training": {"required": ["approver"]},
    "records": {
        "retention": "3650d",
        "maxUpload": "64Mi",
        "pdfa": "claimed",
        "timeZone": "Europe/Berlin",
        "metadata": [
            {
                "name": "study",
                "label": "Study",
                "type": "choice",
                "choices": ["AC-1"],
                "required": True,
                "pattern": "[A-Z]+-[0-9]+",
            }
        ],
    },
    "alerts": [
        {
            "kind": "webhook",
            "url": "https://hooks.soc.example/acme",
            "sender": "cloister@acme.example",
            "recipients": ["soc@acme.example"],
            "secret": "acme-soc",
            "tokenKey": "token",
            "caKey": "ca.crt",
        }
    ],
}
"""What the customer's quality people decide, every field of it."""


@cache
def person() -> str:
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    answer = api.call("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", review)
    return str(answer["status"]["userInfo"]["username"])


_examples = cache(documents)


def example(file: str, kind: str) -> dict[str, Any]:
    return next(deepcopy(item["spec"]) for item in _examples(file) if item["kind"] == kind)


def full(kind: str) -> dict[str, Any]:
    """Return an object in which every field a person may write is written: the accept case of every rule."""
    name = NAME
    match kind:
        case "Region":
            spec = example("regions", kind) | {"displayName": "Nowhere"}
        case "TenantClass":
            spec = example("classes", kind)
        case "Tenant":
            spec = example("acme-pharma", kind) | {"region": "nowhere", "database": {"storage": "2Gi"}, "suspend": True}
            spec["app"] = {"version": "0.1.0", "image": "localhost/cloister/app:1"}
            spec["identity"]["ldap"] |= {"userAttribute": "uid", "tls": {"startTLS": False, "caSecretKey": "ca.crt"}}
            spec["identity"] |= {"secondFactor": "optional", "oidc": OIDC}
            spec["sessions"]["lockout"] = {"signInFailures": 10, "signInWait": "30s"}
            spec["sessions"]["lockout"] |= {"signingFailures": 5, "signingWait": "15m"}
            spec |= deepcopy(CONDUCT)
            spec["credentials"] = {"epoch": 3}
            spec["network"]["egressTo"] = [{"cidr": "10.0.0.0/8", "ports": [443], "reason": "a test"}]
            spec |= {"isolation": {"nodes": "shared"}, "deletion": {"protection": False, "gracePeriod": "7d"}}
        case "TenantRecord":
            spec = {"tenant": NAME, "id": str(uuid.uuid4()), "region": "nowhere", "state": "Destroyed"}
            spec |= {"since": "2026-11-23T00:00:00Z", "lastSpec": {"any": "thing"}, "certificate": {"any": "thing"}}
        case "TenantOffboarding":
            spec = {"tenant": NAME, "requestedBy": person(), "reason": "a test", "gracePeriod": "7d"}
            spec["recipient"] = {"age": AGE}
        case "TenantApproval":
            spec = {
                "offboarding": NAME,
                "offboardingUID": str(uuid.uuid4()),
                "approver": person(),
                "statement": "a test",
            }
            name = f"{NAME}.{person().replace(':', '-c-')}"
        case "TenantHold":
            spec = {"tenant": NAME, "matter": "a test", "requestedBy": person()}
        case _:
            raise AssertionError(f"no accept case for {kind}: write one")
    return {"apiVersion": "cloister.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def create(item: dict[str, Any], **query: str) -> dict[str, Any]:
    """Create as a dry run, as whoever may."""
    user = OPERATOR if item["kind"] == "TenantRecord" else ""
    path = api.cloister(PLURALS[item["kind"]])
    return api.call("POST", path, item, user=user, **({"fieldValidation": "Strict"} | (query or {"dryRun": "All"})))


def refused(item: dict[str, Any], *words: str) -> None:
    with pytest.raises(api.ApiError) as caught:
        create(item)
    for word in words:
        assert word in caught.value.message, f"{word!r} is not in: {caught.value.message}"


def missing(wanted: Any, made: Any, path: str) -> Iterator[str]:
    """Yield what was written and did not come back."""
    if isinstance(wanted, dict) and isinstance(made, dict):
        for key, value in wanted.items():
            yield from missing(value, made.get(key), f"{path}.{key}")
    elif wanted != made:
        yield f"{path}: {wanted!r} became {made!r}"


# ---- accepted


@pytest.mark.parametrize("kind", schema.documents())
def test_an_object_with_every_field_is_accepted_and_kept_as_it_was_written(kind):
    wanted = full(kind)
    made = create(wanted)
    assert list(missing(wanted["spec"], made["spec"], "spec")) == []


def test_the_least_one_has_to_say_is_enough_and_every_default_shows():
    least = {
        key: example("globex-bio", "Tenant")[key] for key in ("displayName", "region", "class", "hostname", "identity")
    }
    made = create(full("Tenant") | {"spec": least})
    expected = [(path, value) for path, value in schema.defaults("Tenant") if not isinstance(value, dict)]
    assert len(expected) > 12
    for path, value in expected:
        if not (path[:2] == ("spec", "network") and value == []):  # an empty list shows as well, but need not
            assert schema.at(made, path) == value, schema.dotted(path)


def test_the_examples_are_accepted_as_they_are():
    for file in ("regions", "classes", "acme-pharma", "globex-bio"):
        kubectl("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", f"examples/{file}.yaml")


# ---- limits and unknown fields, all of them


@pytest.mark.parametrize("limit", schema.limits(), ids=lambda limit: limit.id)
def test_a_value_beyond_its_limit_is_refused_by_the_fields_name(limit):
    if limit.path == ("spec", "recipient", "x509"):  # either this or age
        sample = schema.put(full(limit.kind), ("spec", "recipient"), {"x509": "-----BEGIN CERTIFICATE-----"})
    else:
        sample = full(limit.kind)
    if limit.path == ("spec", "objectStore", "exportBucket"):
        sample["spec"]["objectStore"].setdefault("exportBucket", "cloister-exports")
    for path, default in schema.defaults(limit.kind):
        if limit.path == path:
            schema.at(sample, path[:-1]).setdefault(path[-1], default)
    wrong, words = schema.broken(sample, limit)
    refused(wrong, schema.dotted(limit.path), words)


@pytest.mark.parametrize(
    ("kind", "path"), schema.closed(), ids=lambda value: value if isinstance(value, str) else schema.dotted(value)
)
def test_an_unknown_field_is_refused_by_its_name(kind, path):
    where = (*path, "surprise")
    sample = full(kind)
    for place, default in schema.defaults(kind):
        if place == path:
            schema.at(sample, place[:-1]).setdefault(place[-1], default)
    refused(schema.put(sample, where, "x"), f'unknown field "{schema.dotted(where)}"')


@pytest.mark.parametrize("how", [(), ("--server-side",)], ids=["apply", "server-side apply"])
def test_kubectl_refuses_an_unknown_field_by_its_name(how):
    item = full("Tenant")
    item["spec"]["colour"] = "green"
    with pytest.raises(KubectlError, match=r'unknown field "spec\.colour"|\.spec\.colour: field not declared'):
        kubectl("apply", *how, "--dry-run=server", "-f", "-", stdin=item)


# ---- CEL rules


def ldap(url: str, **tls: Any) -> dict[str, Any]:
    item = full("Tenant")
    item["spec"]["identity"]["ldap"] |= {"url": url, "tls": tls}
    return item


def renamed(kind: str, name: str) -> dict[str, Any]:
    item = full(kind)
    item["metadata"]["name"] = name
    return item


def recipient(**keys: str) -> dict[str, Any]:
    return schema.put(full("TenantOffboarding"), ("spec", "recipient"), keys)


def sink(**fields: Any) -> dict[str, Any]:
    return schema.put(full("Tenant"), ("spec", "alerts"), [fields])


def metadata(**fields: Any) -> dict[str, Any]:
    return schema.put(full("Tenant"), ("spec", "records", "metadata"), [{"name": "study", "label": "Study", **fields}])


CHOICES = "choices belong to the type choice, and it needs some"


def oidc(**fields: Any) -> dict[str, Any]:
    bare = {key: OIDC[key] for key in ("issuer", "clientID", "clientSecret")}
    return schema.put(full("Tenant"), ("spec", "identity", "oidc"), bare | fields)


OIDC_ROLES = "name the subjectClaim that leads to the directory, or the groups that have a role"
TLS = "the directory must be reached over TLS: use an ldaps:// url, or ldap:// with tls.startTLS: true"
ONE_KEY = "give exactly one of age and x509"
NAMES = "a Tenant's name has at most 40 characters: lower-case letters, digits and dashes"
PEM = "-----BEGIN CERTIFICATE-----\nx"

SINK_URL = "a webhook has an https:// url, a mail server an smtp:// or smtps:// url"
SINK_TO = "a mail server needs recipients"
SINK_KEY = "tokenKey and caKey are keys of secret: name it"
MAIL = {"kind": "mail", "url": "smtp://mail.example", "recipients": ["soc@acme.example"]}
HOOK = {"kind": "webhook", "url": "https://hooks.example/x"}

NEW: dict[str, tuple[str, str, str, Any, Any]] = {
    "plain ldap": ("Tenant", "spec.identity.ldap", TLS, lambda: ldap("ldaps://x.org"), lambda: ldap("ldap://x.org")),
    "ldap without StartTLS": (
        "Tenant", "spec.identity.ldap", TLS,
        lambda: ldap("ldap://x.org:389", startTLS=True), lambda: ldap("ldap://x.org:389", startTLS=False),
    ),
    "a long name": ("Tenant", "", NAMES, lambda: renamed("Tenant", "a" * 40), lambda: renamed("Tenant", "a" * 41)),
    "a dot in a name": ("Tenant", "", NAMES, lambda: renamed("Tenant", "a-1"), lambda: renamed("Tenant", "a.1")),
    "mail over https": (
        "Tenant", "spec.alerts", SINK_URL,
        lambda: sink(**MAIL), lambda: sink(**MAIL | {"url": "https://mail.example"}),
    ),
    "a webhook by mail": (
        "Tenant", "spec.alerts", SINK_URL, lambda: sink(**HOOK), lambda: sink(**HOOK | {"url": "smtp://mail.example"}),
    ),
    "mail to nobody": (
        "Tenant", "spec.alerts", SINK_TO, lambda: sink(**MAIL), lambda: sink(**MAIL | {"recipients": []}),
    ),
    "no way from a token to a role": (
        "Tenant", "spec.identity.oidc", OIDC_ROLES, lambda: oidc(subjectClaim="upn"), oidc,
    ),
    "a choice of nothing": (
        "Tenant", "spec.records.metadata", CHOICES, lambda: metadata(type="choice", choices=["a"]),
        lambda: metadata(type="choice"),
    ),
    "choices of a text": (
        "Tenant", "spec.records.metadata", CHOICES, metadata, lambda: metadata(type="text", choices=["a"]),
    ),
    "a key of no secret": (
        "Tenant", "spec.alerts", SINK_KEY,
        lambda: sink(**HOOK, secret="soc", tokenKey="token"), lambda: sink(**HOOK, tokenKey="token"),
    ),
    "no key": ("TenantOffboarding", "spec.recipient", ONE_KEY, lambda: recipient(age=AGE), recipient),
    "two keys": (
        "TenantOffboarding", "spec.recipient", ONE_KEY,
        lambda: recipient(x509=PEM), lambda: recipient(x509=PEM, age=AGE),
    ),
}  # fmt: skip
"""Rules about an object as it is: kind, where, message, an object to accept, one to refuse."""

KEEP = "this cannot be changed; make a new one"
PLACE = "nodeSelector and storageClassName are immutable: tenants' data lies where they say. Make a new Region."
GROW = "a database volume can grow but not shrink"
RAISED = "an epoch is raised, never lowered: an old password stays old"
HOME = "region is immutable: moving data to another region is a migration, not an edit"
STAYS = "a record stays with its tenant"
GONE = "a destroyed tenant does not come back: choose another name"

CHANGES: dict[str, tuple[str, str, str, dict[str, Any], dict[str, Any]]] = {
    "another place": (
        "Region", "spec", PLACE, {"displayName": "Elsewhere"}, {"nodeSelector": {"topology.kubernetes.io/region": "x"}},
    ),
    "another storage class": ("Region", "spec", PLACE, {"jurisdiction": "XX"}, {"storageClassName": "other"}),
    "a smaller volume": (
        "Tenant", "spec.database", GROW, {"database": {"storage": "2049Mi"}}, {"database": {"storage": "2047Mi"}},
    ),
    "a volume of the class's size": (
        "Tenant", "spec.database", GROW, {"database": {"storage": "1Ti"}}, {"database": {"storage": None}},
    ),
    "an older epoch": (
        "Tenant", "spec.credentials", RAISED, {"credentials": {"epoch": 4}}, {"credentials": {"epoch": 2}},
    ),
    "another region": ("Tenant", "spec", HOME, {"displayName": "Other"}, {"region": "us-east-1"}),
    "another reason": ("TenantOffboarding", "spec", KEEP, {}, {"reason": "another one"}),
    "another statement": ("TenantApproval", "spec", KEEP, {}, {"statement": "another one"}),
    "another id": ("TenantRecord", "", STAYS, {"region": "x"}, {"id": "0a1b2c3d-0000-4000-8000-000000000001"}),
    "another tenant": ("TenantRecord", "", STAYS, {"lastSpec": {"a": "b"}}, {"tenant": "other"}),
    "back from destruction": ("TenantRecord", "", GONE, {"since": "2026-11-24T00:00:00Z"}, {"state": "Live"}),
}  # fmt: skip
"""Rules about a change: kind, where, message, a change to accept, one to refuse."""


@pytest.mark.parametrize("case", NEW)
def test_a_rule_about_an_object_accepts_and_refuses(case):
    _, where, message, good, bad = NEW[case]
    create(good())
    refused(bad(), message, where)


@pytest.fixture(scope="module")
def there():
    """Have one object of each kind with rules about changes; none of them is anything that the operator acts on."""
    made = {}
    try:
        for kind in sorted({case[0] for case in CHANGES.values()}):
            made[kind] = create(full(kind), fieldManager="test")
        yield made
    finally:
        for kind, item in made.items():
            user = OPERATOR if kind == "TenantRecord" else ""
            path = api.cloister(PLURALS[kind], item["metadata"]["name"])
            api.call("DELETE", path, user=user, group=MASTERS[0] if user else "")


@pytest.mark.parametrize("case", CHANGES)
def test_a_rule_about_a_change_accepts_and_refuses(there, case):
    kind, where, message, good, bad = CHANGES[case]
    path = api.cloister(PLURALS[kind], there[kind]["metadata"]["name"])
    user = OPERATOR if kind == "TenantRecord" else ""

    def change(spec: dict[str, Any]) -> None:
        api.call("PATCH", path, {"spec": spec}, user=user, kind="application/merge-patch+json", dryRun="All")

    change(good)
    with pytest.raises(api.ApiError) as caught:
        change(bad)
    assert message in caught.value.message
    assert where in caught.value.message


def test_no_rule_goes_untried():
    tried = {(kind, where, message) for kind, where, message, *_ in (*NEW.values(), *CHANGES.values())}
    there_are = set(schema.rules())
    assert not there_are - tried, f"rules in crds/ without a case that breaks them: {sorted(there_are - tried)}"
    assert not tried - there_are, f"cases for rules that are no longer there: {sorted(tried - there_are)}"


def test_the_cluster_runs_these_very_crds():
    for kind, wanted in schema.documents().items():
        live = yaml.safe_load(kubectl("get", "crd", wanted["metadata"]["name"], "-o", "yaml"))
        found = live["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        assert _plain(found) == _plain(schema.schema(kind)), (
            f"{kind}: `kubectl apply --server-side -f crds` brings it up to date"
        )


def _plain(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(item) for item in node]
    return re.sub(r"\s+", " ", node).strip() if isinstance(node, str) else node
