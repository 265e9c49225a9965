"""The audit service's objects as a real API server takes them: what Helm renders may still be no valid pod."""

import json

import pytest

from tests.support import apiserver
from tests.support.helm import template

pytestmark = pytest.mark.cluster
"""Helm and the API server come with the local cluster; the cluster itself is not needed."""

VAULT = {"address": "https://vault:8200", "ca": "PEM", "role": "r", "signingKey": "s", "sealingKey": "k"}
WITNESSES = [
    {"name": "inline", "url": "https://a.example", "ca": "BEGIN CERTIFICATE"},
    {"name": "map", "url": "https://b.example", "caFrom": {"configMap": "their-ca"}},
    {"name": "secret", "url": "https://c.example", "caFrom": {"secret": "their-tls", "key": "root.pem"}},
]
VALUES = {
    "derived keys": (),
    "keys of one's own": ("--set=audit.keysSecret=mine", "--set=audit.nextKeysSecret=mine-2"),
    "keys in Vault": (f"--set-json=audit.vault={json.dumps(VAULT)}",),
    "witnesses": (f"--set-json=audit.witnesses={json.dumps(WITNESSES)}", "--set=witness.enabled=true"),
}


@pytest.fixture(scope="module")
def server():
    with apiserver.running() as found:
        yield found


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
async def test_the_api_server_takes_the_audit_service_and_its_configuration(server, values):
    for item in template(*values):
        kind, space = item["kind"], item["metadata"].get("namespace")
        if kind not in {"Deployment", "ConfigMap"} or space not in {"cloister-audit", "cloister-witness"}:
            continue
        root = "/apis/apps/v1" if kind == "Deployment" else "/api/v1"
        whole = {**item, "metadata": {**item["metadata"], "namespace": "default"}}
        path = f"{root}/namespaces/default/{kind.lower()}s"
        await server.ok("POST", path, whole, dryRun="All", fieldValidation="Strict")
