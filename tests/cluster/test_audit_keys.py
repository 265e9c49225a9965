"""The keys of the audit logs on the installed cluster: Vault signs, and no Secret holds a private key of theirs."""

import base64
from typing import Any

import pytest

from audit_contract import bundle as bundles
from audit_contract.keys import KeyType, parse_vkey
from audit_contract.verify import verify_bundle
from tests.support import living, outside
from tests.support.kubectl import exists, get, kubectl
from tests.support.outside import VaultError
from tests.support.waiting import until

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("demo")]

AUDIT = "cloister-audit"
SIGNING, SEALING = "cloister-audit-signing", "cloister-audit-sealing"
HANDED_OVER_SECONDS = 420
"""An installation that began with derived keys announces Vault's in every log and keeps both for three minutes."""


def vault(method: str, path: str, body: object = None) -> dict[str, Any]:
    found = outside.vault(living.EU)
    return found.call(method, path, body, token=found.root_token())


def signing_keys(tenant: str) -> list[str]:
    """The verifier keys that the newest checkpoint of a log is signed by, as the offline verifier says."""
    data = outside.bundle(tenant)
    keys = dict(bundles.read(data).members)["keys"].decode().split()
    report = verify_bundle(data, keys)
    assert report.problems == []
    ids = {each.rsplit("+", 1)[1] for each in report.signed_by}
    return [key for key in keys if key.split("+")[1] in ids]


def _no_file_keys() -> bool:
    assert not exists("secret", "audit-keys", "-n", AUDIT), "the derived keys are still a Secret"
    return True


def test_every_checkpoint_is_signed_by_vaults_key_and_one_that_vault_sealed():
    until("the derived keys are gone", _no_file_keys, HANDED_OVER_SECONDS, every=5)
    versions = vault("GET", f"transit/keys/{SIGNING}")["data"]["keys"].values()
    for tenant in ("platform", *living.DEMO):
        found = {parse_vkey(vkey).kind: parse_vkey(vkey).key.public_bytes_raw() for vkey in signing_keys(tenant)}
        assert set(found) == {KeyType.ED25519, KeyType.ML_DSA_44}
        public = base64.b64encode(found[KeyType.ED25519]).decode()
        assert public in {version["public_key"] for version in versions}


def test_no_secret_or_config_map_holds_a_private_key_of_the_logs():
    until("the derived keys are gone", _no_file_keys, HANDED_OVER_SECONDS, every=5)
    for namespace in (AUDIT, "cloister-witness"):
        for item in get("secrets,configmaps", "-n", namespace)["items"]:
            for key, value in (item.get("data") or {}).items():
                text = base64.b64decode(value) if item["kind"] == "Secret" else value.encode()
                where = f"{item['metadata']['name']}/{key}"
                assert key not in {"ed25519.pem", "ml-dsa-44.pem", "sealing.key"}, where
                assert b"PRIVATE KEY" not in text or key == "tls.key", where
    rows = _sql("SELECT kind || ' ' || number || ' ' || left(sealed, 9) FROM held_key ORDER BY 1").splitlines()
    assert {row.rsplit(" ", 1)[1] for row in rows} == {"vault:v1:"}
    assert {"ml-dsa-44 1 vault:v1:", "sealing 1 vault:v1:"} <= set(rows)


def _sql(text: str) -> str:
    command = ("psql", "-h", "/var/run/postgresql", "-U", "postgres", "-d", "audit", "-Atc", text)
    return kubectl("exec", "audit-database-0", "-n", AUDIT, "--", *command).strip()


def test_the_audit_service_may_use_its_two_keys_and_nothing_else_of_vault():
    token = outside.vault_login(living.EU, "cloister-audit", outside.account_token(AUDIT, "cloister-audit", "vault"))
    found = outside.vault(living.EU)
    assert "public_key" in str(found.call("GET", f"transit/keys/{SIGNING}", token=token))
    message = {"input": base64.b64encode(b"probe").decode()}
    assert found.call("POST", f"transit/sign/{SIGNING}", message, token=token)["data"]["signature"]
    identity = living.identity(living.DEMO[0])
    for method, path in (
        ("POST", f"transit/keys/{SIGNING}/rotate"),
        ("POST", f"transit/keys/{SEALING}/config"),
        ("GET", f"transit/export/encryption-key/{SEALING}"),
        ("DELETE", f"transit/keys/{SIGNING}"),
        ("POST", f"transit/decrypt/cloister-{identity}"),
    ):
        with pytest.raises(VaultError) as caught:
            found.call(method, path, {"exportable": True, "ciphertext": "x"}, token=token)
        assert caught.value.status == 403, f"{method} {path}"


def test_neither_key_can_be_exported_or_deleted():
    for name in (SIGNING, SEALING):
        facts = vault("GET", f"transit/keys/{name}")["data"]
        assert (facts["exportable"], facts["deletion_allowed"], facts["allow_plaintext_backup"]) == (False,) * 3


def test_the_witness_knows_the_keys_that_sign():
    def known() -> bool:
        lines = (
            base64.b64decode(get("secret", "witness-logs", "-n", "cloister-witness")["data"]["vkeys"]).decode().split()
        )
        assert {parse_vkey(line).key.public_bytes_raw() for line in lines} == {
            parse_vkey(vkey).key.public_bytes_raw() for vkey in signing_keys("platform")
        }
        return True

    until("the derived keys are gone", _no_file_keys, HANDED_OVER_SECONDS, every=5)
    until("the witness is told", known, 60, every=3)
