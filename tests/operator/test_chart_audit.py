"""What the chart renders of the audit service and its witness: keys, guard, copies, and who is heard."""

import base64
import shutil
from datetime import UTC, datetime

import pytest

from audit_contract.keys import KeyType, parse_vkey
from audit_service.settings import Settings
from audit_service.witness.config import WitnessConfig
from tenant_operator.handlers.bootstrap import witness_secrets
from tenant_operator.stack import audit_copies
from tenant_operator.stack.derive import Deriver
from tests.support.helm import CHART, NEEDED, helm, of, template

pytestmark = pytest.mark.cluster
"""Helm comes with the local cluster; the cluster itself is not needed."""


def test_the_witness_is_alone_with_its_keys_and_the_audit_service_asks_it(plain, loud):
    assert not [item for item in plain if item["metadata"].get("namespace") == "cloister-witness"]
    (found,) = of(loud, "ConfigMap", "witness")
    config = WitnessConfig.model_validate_json(found["data"]["config.json"])
    assert config.rule("cloister.localhost/audit/tenant-x") is config.logs[0]
    assert config.rule("elsewhere/audit/tenant-x") is None
    audit = Settings.model_validate_json(of(loud, "ConfigMap", "audit")[0]["data"]["config.json"])
    assert [each.url for each in audit.witnesses] == ["https://witness.cloister-witness.svc:8444"]
    assert not Settings.model_validate_json(of(plain, "ConfigMap", "audit")[0]["data"]["config.json"]).witnesses
    (deployment,) = of(loud, "Deployment", "witness")
    spec = deployment["spec"]["template"]["spec"]
    secrets = {volume["secret"]["secretName"] for volume in spec["volumes"] if "secret" in volume}
    derived = witness_secrets(
        Deriver(bytes(32), datetime(2026, 1, 1, tzinfo=UTC)), "cloister-witness", datetime.now(UTC)
    )
    assert secrets == {manifest["metadata"]["name"] for manifest in derived} == {"witness-tls", "witness-logs"}
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    policies = {item["metadata"]["name"]: item["spec"] for item in of(loud, "NetworkPolicy")}
    assert "egress" not in policies["witness"]
    assert [rule["from"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for rule in policies["witness"]["ingress"]] == ["audit"]  # fmt: skip
    assert [item["metadata"]["annotations"] for item in of(loud, "PersistentVolumeClaim")] == [
        {"helm.sh/resource-policy": "keep"}
    ] * 2


def test_the_guard_remembers_on_another_volume_than_the_database(plain):
    (audit,) = of(plain, "Deployment", "audit")
    spec = audit["spec"]["template"]["spec"]
    folder = str(Settings.model_validate_json(of(plain, "ConfigMap", "audit")[0]["data"]["config.json"]).guard_folder)
    (mount,) = [each for each in spec["containers"][0]["volumeMounts"] if each["mountPath"] == folder]
    (volume,) = [each for each in spec["volumes"] if each["name"] == mount["name"]]
    assert volume["persistentVolumeClaim"]["claimName"] == of(plain, "PersistentVolumeClaim")[0]["metadata"]["name"]
    (claim,) = of(plain, "StatefulSet", "audit-database")[0]["spec"]["volumeClaimTemplates"]
    assert claim["metadata"]["name"] != "audit-guard"


def test_the_witnesss_keys_do_not_derive_from_the_operators_seed():
    made = witness_secrets(Deriver(bytes(32), datetime(2026, 1, 1, tzinfo=UTC)), "w", datetime(2026, 1, 2, tzinfo=UTC))
    assert {name for manifest in made for name in manifest["data"]} == {"tls.crt", "tls.key", "vkeys"}
    (vkeys,) = [
        base64.b64decode(manifest["data"]["vkeys"]).decode() for manifest in made if "vkeys" in manifest["data"]
    ]
    assert [parse_vkey(vkey).kind for vkey in vkeys.split()] == [KeyType.ED25519, KeyType.ML_DSA_44]


def test_the_superusers_password_is_mounted_where_it_is_used_only(plain):
    (audit,) = of(plain, "Deployment", "audit")
    spec = audit["spec"]["template"]["spec"]
    paths = {
        c["name"]: [m["mountPath"] for m in c["volumeMounts"]] for c in spec["containers"] + spec["initContainers"]
    }
    assert "/var/run/cloister/database-superuser" in paths["migrate"]
    assert "/var/run/cloister/database-superuser" not in paths["audit"]


def test_the_audit_service_starts_without_a_store_for_copies_and_reaches_those_that_are_listed():
    egress = '--set-json=audit.egress={"namespaces":[{"name":"objectstore","ports":[7070]}]}'
    objects = template("--set=audit.copies.lagSeconds=30", "--set=audit.copies.platformRegion=eu-central-1", egress)
    (config,) = of(objects, "ConfigMap", "audit")
    worm = Settings.model_validate_json(config["data"]["config.json"]).worm
    assert (worm.lag_seconds, worm.platform_region, worm.platform_retention_days) == (30, "eu-central-1", 3650)
    (audit,) = of(objects, "Deployment", "audit")
    spec = audit["spec"]["template"]["spec"]
    (volume,) = [each for each in spec["volumes"] if each["name"] == "worm"]
    assert volume["secret"] == {"secretName": audit_copies.SECRET, "optional": True, "defaultMode": 0o440}
    (container,) = spec["containers"]
    (folder,) = [each["mountPath"] for each in container["volumeMounts"] if each["name"] == "worm"]
    assert str(worm.stores_file) == f"{folder}/{audit_copies.STORES}"
    (policy,) = of(objects, "NetworkPolicy", "audit")
    allowed = [(to["namespaceSelector"]["matchLabels"], rule["ports"]) for rule in policy["spec"]["egress"] for to in rule["to"] if "namespaceSelector" in to]  # fmt: skip
    assert ({"kubernetes.io/metadata.name": "objectstore"}, [{"protocol": "TCP", "port": 7070}]) in allowed


def test_the_values_say_how_many_processes_take_entries_in(plain):
    def fronts(objects):
        (config,) = of(objects, "ConfigMap", "audit")
        return Settings.model_validate_json(config["data"]["config.json"]).listen.fronts

    assert fronts(plain) == 1
    assert fronts(template("--set=audit.fronts=3")) == 3
    assert "fronts" in helm("template", "x", str(CHART), *NEEDED, "--set=audit.fronts=0").stderr


def test_a_changed_configuration_of_its_postgresql_replaces_the_databases_pod(plain, tmp_path):
    def config(objects):
        (database,) = of(objects, "StatefulSet", "audit-database")
        return database["spec"]["template"]["metadata"]["annotations"]["cloister.dev/config"]

    changed = shutil.copytree(CHART, tmp_path / "chart")
    with (changed / "files/audit-postgresql.conf").open("a") as file:
        file.write("work_mem = 8MB\n")
    assert config(template()) == config(plain)
    assert config(template(chart=changed)) != config(plain)


def test_inspectors_come_through_the_namespaces_that_values_name_and_through_no_other(plain):
    def sources(objects):
        (policy,) = of(objects, "NetworkPolicy", "audit")
        (rule,) = policy["spec"]["ingress"]
        assert rule["ports"] == [{"protocol": "TCP", "port": 8443}]
        return rule["from"]

    named = template('--set-json=audit.readers=[{"kubernetes.io/metadata.name":"ingress"}]')
    added = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}
    assert sources(named) == [*sources(plain), added]
    for wrong in ("[{}]", '["ingress"]'):  # no labels would be every namespace
        assert helm("template", "x", str(CHART), *NEEDED, f"--set-json=audit.readers={wrong}").returncode != 0
