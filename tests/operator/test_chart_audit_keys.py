"""What the chart renders for the audit service's keys and witnesses: files, Vault, private authorities."""

import json
from typing import Any

import pytest

from audit_service.settings import Settings
from tenant_operator.handlers.settings import OperatorConfig
from tests.support.helm import CHART, NEEDED, helm, of, template

pytestmark = pytest.mark.cluster
"""Helm comes with the local cluster; the cluster itself is not needed."""

VAULT = '--set-json=audit.vault={"address":"https://vault:8200","role":"audit","signingKey":"s","sealingKey":"k","ca":"PEM","keyVersion":2}'  # fmt: skip


def mounted(objects: list[dict[str, Any]]) -> tuple[Settings, dict[str, str], dict[str, dict[str, Any]]]:
    """Return the audit service's settings, what lies beside them, and its volumes by where they are mounted."""
    (found,) = of(objects, "ConfigMap", "audit")
    (audit,) = of(objects, "Deployment", "audit")
    spec = audit["spec"]["template"]["spec"]
    assert all(len(volume) == 2 for volume in spec["volumes"]), "a volume has a name and one source"
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in spec["containers"][0]["volumeMounts"]}
    return Settings.model_validate_json(found["data"]["config.json"]), found["data"], mounts


def test_the_audit_services_keys_vault_and_authorities_are_where_its_settings_say():
    objects = template(
        VAULT,
        '--set-json=audit.timestamps.authorities=[{"name":"one","url":"https://tsa.example","roots":"BEGIN CERTIFICATE"}]',
        '--set-json=audit.witnesses=[{"name":"customer","url":"https://witness.example"}]',
    )
    settings, files, mounts = mounted(objects)
    (token,) = mounts[str(settings.vault.token_file.parent)]["projected"]["sources"]
    assert token["serviceAccountToken"]["audience"] == "vault"
    for file in (settings.vault.ca_file, settings.timestamps.authorities[0].roots_file):
        assert mounts[str(file.parent)]["configMap"]["name"] == "audit"
        assert file.name in files
    assert (settings.vault.key_version, settings.witnesses[0].name) == (2, "customer")


def test_key_files_of_ones_own_are_mounted_and_with_vault_none_is_needed():
    settings, _, mounts = mounted(template("--set=audit.keysSecret=mine", "--set=audit.nextKeysSecret=mine-2"))
    folder = str(settings.keys.ed25519_file.parent)
    assert mounts[folder]["secret"] == {"secretName": "mine", "defaultMode": 0o440, "optional": False}
    assert mounts[str(settings.keys.next_folder)]["secret"]["secretName"] == "mine-2"
    objects = template(VAULT)
    settings, _, mounts = mounted(objects)
    assert mounts[folder]["secret"] == {"secretName": "audit-keys", "defaultMode": 0o440, "optional": True}
    for items, in_vault in ((objects, True), (template(), False)):
        (config,) = of(items, "ConfigMap", "cloister-operator")
        assert OperatorConfig.model_validate_json(config["data"]["config.json"]).audit_keys_in_vault is in_vault


def test_with_vault_the_next_keys_are_not_in_a_secret():
    done = helm("template", "c", str(CHART), *NEEDED, VAULT, "--set=audit.nextKeysSecret=mine")
    assert done.returncode
    assert "audit.vault.nextKeyVersion" in done.stderr


def test_a_witnesss_private_authority_is_where_the_settings_say():
    witnesses = [
        {"name": "public", "url": "https://a.example"},
        {"name": "inline", "url": "https://b.example", "ca": "BEGIN CERTIFICATE", "timeoutSeconds": 3},
        {"name": "map", "url": "https://c.example", "caFrom": {"configMap": "their-ca", "key": "root.pem"}},
        {"name": "secret", "url": "https://d.example", "caFrom": {"secret": "their-tls"}},
    ]
    settings, files, mounts = mounted(template(f"--set-json=audit.witnesses={json.dumps(witnesses)}"))
    places = {each.name: each.ca_file for each in settings.witnesses}
    assert places["public"] is None
    assert mounts[str(places["inline"].parent)]["configMap"]["name"] == "audit"
    assert files[places["inline"].name] == "BEGIN CERTIFICATE"
    sources = mounts[str(places["map"].parent)]["projected"]["sources"]
    assert places["map"].parent == places["secret"].parent
    assert sources == [
        {
            "configMap": {
                "name": "their-ca",
                "optional": True,
                "items": [{"key": "root.pem", "path": places["map"].name}],
            }
        },
        {
            "secret": {
                "name": "their-tls",
                "optional": True,
                "items": [{"key": "ca.crt", "path": places["secret"].name}],
            }
        },
    ]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"ca": "/etc/ssl/ca.pem"}, "'BEGIN CERTIFICATE'"),
        ({"caFrom": {"key": "ca.crt"}}, "caFrom"),
        ({"caFrom": {"configMap": "a", "secret": "b"}}, "caFrom"),
        ({"caFrom": {"configMap": "a", "file": "b"}}, "additional properties 'file' not allowed"),
        ({"caFrom": {"configMap": "a", "key": "../ca.crt/"}}, "does not match pattern"),
        ({"ca": "BEGIN CERTIFICATE", "caFrom": {"secret": "b"}}, "witnesses/0"),
        ({"caFile": "/ca.pem"}, "additional properties 'caFile' not allowed"),
    ],
)
def test_a_witnesss_authority_that_cannot_be_is_refused(wrong, words):
    witnesses = json.dumps([{"name": "customer", "url": "https://witness.example", **wrong}])
    done = helm("template", "c", str(CHART), *NEEDED, f"--set-json=audit.witnesses={witnesses}")
    assert done.returncode
    assert words in done.stderr


def test_the_audit_services_vault_needs_both_keys():
    done = helm(
        "template",
        "c",
        str(CHART),
        *NEEDED,
        '--set-json=audit.vault={"address":"https://v","role":"r","signingKey":"s"}',
    )
    assert done.returncode
    assert "sealingKey" in done.stderr
