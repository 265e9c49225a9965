"""The app's configuration file: what a Tenant says reaches the app, and a secret never does but as a path."""

import base64
import json
from dataclasses import replace

import pytest
from pydantic import ValidationError

from tenant_app.settings import Settings
from tenant_operator.api.tenant import parse_spec
from tenant_operator.reconcile import preflight
from tenant_operator.stack import app, network
from tenant_operator.stack.app_config import config, secrets_named
from tests.support.tenant_context import tenant_context

SAID = {
    "sessions": {"idleTimeout": "5m", "lockout": {"signInFailures": 4, "signingWait": "1h"}},
    "signatures": {
        "idleTimeout": "3m",
        "maxPasswordAge": "90d",
        "enrolment": "required",
        "workflow": {"configMap": "acme-workflow"},
        "meanings": [
            {"code": "approval", "statement": "I approve this for use at Acme."},
            {"code": "trail-review", "statement": "I have read this trail for Acme."},
        ],
    },
    "access": {"longestGrant": "30d", "coolOff": "2h"},
    "training": {"required": ["approver", "author"]},
    "records": {
        "retention": "7300d",
        "maxUpload": "8Mi",
        "pdfa": "claimed",
        "metadata": [{"name": "study", "label": "Study", "pattern": "[A-Z]{2}-[0-9]+"}],
    },
    "alerts": [
        {
            "kind": "webhook",
            "url": "https://hooks.soc.svc:8443/acme",
            "secret": "acme-soc",
            "tokenKey": "token",
            "caKey": "ca",
        },
        {"kind": "mail", "url": "smtp://mail.example:587", "recipients": ["soc@acme.example"]},
    ],
}
OIDC = {
    "issuer": "https://id.example",
    "clientID": "cloister",
    "clientSecret": "acme-oidc",
    "groups": [{"group": "approvers", "role": "approver"}],
}
WORKFLOW = '{"version": "acme-1"}'
SECRETS = {"acme-soc": {"token": "hush-token", "ca": "a CA"}, "acme-oidc": {"clientSecret": "hush-client"}}


@pytest.fixture
def ctx():
    plain = tenant_context()
    body = plain.spec.manifest() | SAID
    body["identity"] |= {"oidc": OIDC, "secondFactor": "optional"}
    return replace(plain, spec=parse_spec({"spec": body}), secrets=SECRETS, workflow=WORKFLOW)


def test_what_the_tenant_says_is_what_the_app_reads(ctx):
    settings = Settings.model_validate(config(ctx))
    assert settings.sessions.idle_seconds == 300
    assert settings.sessions.lockout.sign_in_failures == 4
    assert settings.sessions.lockout.signing_wait_seconds == 3600
    assert (settings.signing.idle_seconds, settings.signing.longest_seconds) == (180, 7200)
    assert settings.uploads.max_bytes == 8 * 1024 * 1024
    assert [(sink.kind, sink.url) for sink in settings.alerts] == [
        ("webhook", "https://hooks.soc.svc:8443/acme"),
        ("smtp", "smtp://mail.example:587"),
    ]
    assert settings.alerts[1].recipients == ("soc@acme.example",)


def test_a_tenant_that_says_nothing_of_it_has_the_apps_own_defaults():
    said = Settings.model_validate(config(tenant_context()))
    bare = Settings.model_validate({key: value for key, value in config(tenant_context()).items() if key in _given()})
    for section in ("signing", "uploads", "alerts", "sessions"):
        assert getattr(said, section) == getattr(bare, section), section


def _given() -> set[str]:
    return {"tenant", "hostname", "listen", "database", "vault", "audit", "ldap", "system"}


def test_secrets_are_paths_in_the_file_and_values_only_in_the_one_mounted_secret(ctx):
    manifests = [item.manifest for item in app.desired(ctx)]
    for manifest in manifests:
        if manifest["kind"] != "Secret":
            assert "hush" not in json.dumps(manifest)
    (named,) = [item for item in manifests if item["metadata"]["name"] == "app-named"]
    values = {key: base64.b64decode(value).decode() for key, value in named["data"].items()}
    assert values == {"acme-soc.token": "hush-token", "acme-soc.ca": "a CA", "acme-oidc.clientSecret": "hush-client"}
    files = config(ctx)
    wanted = {files["alerts"][0]["tokenFile"], files["alerts"][0]["caFile"], files["oidc"]["clientSecretFile"]}
    assert {path.rpartition("/")[2] for path in wanted} == set(values)
    (deployment,) = [item for item in manifests if item["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    assert {"name": "named", "mountPath": "/var/run/cloister/named", "readOnly": True} in pod["containers"][0][
        "volumeMounts"
    ]
    assert "named" not in {item["name"] for item in pod["initContainers"][0]["volumeMounts"]}


def test_the_tenants_own_workflow_lies_beside_the_configuration(ctx):
    (files,) = [i.manifest["data"] for i in app.desired(ctx) if i.manifest["metadata"]["name"] == "app-config"]
    assert files["workflow.json"] == WORKFLOW
    assert json.loads(files["config.json"])["workflow"] == {"file": "/etc/cloister/app/workflow.json"}


def test_a_tenant_that_names_no_secret_mounts_none():
    names = {item.manifest["metadata"]["name"] for item in app.desired(tenant_context())}
    assert "app-named" not in names
    assert secrets_named(tenant_context().spec) == []


def test_the_app_may_reach_its_sinks_and_its_issuer_and_nothing_more_for_it(ctx):
    def egress(context):
        (policy,) = [
            item.manifest
            for item in network.desired(context)
            if getattr(item, "manifest", {}).get("metadata", {}).get("name") == "app"
        ]
        return policy["spec"]["egress"]

    added = [rule for rule in egress(ctx) if rule not in egress(tenant_context())]
    assert added == [
        {"to": [network.namespace_peer("soc")]},
        *(
            {
                "to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}}],
                "ports": [{"protocol": "TCP", "port": port}],
            }
            for port in (587, 443)
        ),
    ]


@pytest.mark.parametrize(
    ("records", "words"),
    [
        ({"timeZone": "Mars/Olympus"}, "spec.records: timeZone 'Mars/Olympus'"),
        ({"metadata": [{"name": "study", "label": "Study", "pattern": "("}]}, "metadata[0].pattern"),
    ],
)
def test_what_the_app_would_refuse_at_its_start_is_said_of_the_tenant(records, words):
    body = tenant_context().spec.manifest() | {"records": records}
    finding = preflight.spec_errors(parse_spec({"spec": body}))
    assert finding is not None
    assert words in finding.message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"alerts": [{"kind": "webhook", "url": "https://soc.example:99999/x"}]},
            "spec.alerts[0].url: Port out of range",
        ),
        ({"alerts": [{"kind": "webhook", "url": "https://soc.example:0/x"}]}, "spec.alerts[0].url: port 0 is no port"),
        (
            {
                "oidc": {
                    "issuer": "https://id.example:70000",
                    "clientID": "app",
                    "clientSecret": "oidc",
                    "subjectClaim": "uid",
                }
            },
            "spec.identity.oidc.issuer: Port out of range",
        ),
        ({"ldap": {"url": "ldaps://directory.example:99999"}}, "spec.identity.ldap.url: Port out of range"),
        (
            {"alerts": [{"kind": "webhook", "url": "https://app.tenant-globex-bio.svc:8443/x"}]},
            "spec.alerts[0].url: namespace tenant-globex-bio is closed to tenants",
        ),
        (
            {
                "alerts": [
                    {
                        "kind": "mail",
                        "url": "smtps://x.Kube-System.svc.cluster.local",
                        "recipients": ["c@d.example"],
                    }
                ]
            },
            "spec.alerts[0].url: namespace kube-system is closed to tenants",
        ),
        (
            {"ldap": {"url": "ldaps://audit.cloister-audit.svc:636"}},
            "spec.identity.ldap.url: namespace cloister-audit is closed",
        ),
    ],
)
def test_an_address_that_is_none_or_leads_where_it_must_not_is_said_of_the_tenant(change, words):
    body = tenant_context().spec.manifest()
    if "alerts" in change:
        body |= change
    else:
        ((name, value),) = change.items()
        body["identity"][name] = body["identity"].get(name, {}) | value
    finding = preflight.spec_errors(parse_spec({"spec": body}))
    assert finding is not None
    assert words in finding.message
    assert finding.stalled


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"alerts": [{"kind": "pager", "url": "https://x"}]}, "kind"),
        ({"signatures": {"meanings": [{"code": "approval", "statement": "yes"}]}}, "statement"),
        ({"training": {"required": ["janitor"]}}, "required"),
        ({"records": {"metadata": [{"name": "Study", "label": "Study"}]}}, "name"),
    ],
)
def test_nonsense_is_refused_with_the_field(change, word):
    body = tenant_context().spec.manifest() | change
    with pytest.raises(ValidationError, match=word):
        parse_spec({"spec": body})


def test_at39_there_is_no_biometric_mode_neither_to_ask_for_nor_to_run():
    body = tenant_context().spec.manifest()
    body["identity"] |= {"secondFactor": "biometric"}
    with pytest.raises(ValidationError, match="secondFactor"):
        parse_spec({"spec": body})
    with pytest.raises(ValidationError, match="policy"):
        Settings.model_validate(config(tenant_context()) | {"secondFactor": {"policy": "biometric"}})
