"""stack.database: what is rendered, and what an observation means."""

import base64
import json
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509

from tenant_operator.api.reasons import Reason
from tenant_operator.api.tenant import Database
from tenant_operator.stack import database
from tenant_operator.stack.database_config import postgresql_conf, quantity
from tenant_operator.stack.part import Desired, External, ObjectKey, Observed, Trouble
from tests.support.tenant_context import tenant_context

CTX = tenant_context()


def manifests(ctx=CTX):
    return [one.manifest for one in database.desired(ctx) if isinstance(one, Desired)]


def find(kind, name, ctx=CTX):
    return next(one for one in manifests(ctx) if (one["kind"], one["metadata"]["name"]) == (kind, name))


def externals(ctx=CTX):
    return [one for one in database.desired(ctx) if isinstance(one, External)]


def test_what_there_is():
    assert sorted(f"{one['kind']} {one['metadata']['name']}" for one in manifests()) == [
        "ConfigMap database-config",
        "PersistentVolumeClaim database-data",
        "Secret database-app",
        "Secret database-audit-writer",
        "Secret database-backup",
        "Secret database-owner",
        "Secret database-superuser",
        "Secret database-tls",
        "Service database",
        "StatefulSet database",
    ]
    assert [str(one.key) for one in externals()] == [
        "postgres role app_owner",
        "postgres role app",
        "postgres role audit_writer",
        "postgres role backup",
        "postgres database app",
    ]


def test_the_same_context_renders_the_same_bytes():
    assert json.dumps(manifests()) == json.dumps(manifests(tenant_context()))


def test_every_password_is_another_and_another_tenants_are_others():
    passwords = [one.secret["password"] for one in externals() if one.key.kind == "role"]
    others = [one.secret["password"] for one in externals(tenant_context(identity="x")) if one.key.kind == "role"]
    assert len(set(passwords + others)) == 8


def test_the_secret_holds_the_password_that_the_role_gets():
    data = find("Secret", "database-owner")["data"]
    assert base64.b64decode(data["username"]) == b"app_owner"
    assert base64.b64decode(data["password"]).decode() == externals()[0].secret["password"]


def test_no_password_is_in_a_repr_of_what_is_wanted():
    for one in externals():
        assert one.secret.get("password", "none") not in repr(one)


def test_nobody_but_the_superuser_is_one_and_only_backup_replicates():
    roles = {one.key.name: one.spec for one in externals() if one.key.kind == "role"}
    assert not any(spec[word] for spec in roles.values() for word in ("superuser", "createRole", "bypassRowSecurity"))
    assert [name for name, spec in roles.items() if spec["replication"] or spec["memberOf"]] == ["backup"]


def test_the_certificate_is_for_the_services_name():
    data = find("Secret", "database-tls")["data"]
    certificate = x509.load_pem_x509_certificate(base64.b64decode(data["tls.crt"]))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "database.tenant-acme-pharma.svc" in names.get_values_for_type(x509.DNSName)


def test_a_changed_setting_replaces_the_pod_and_a_changed_certificate_does_not():
    def digest(ctx):
        return find("StatefulSet", "database", ctx)["spec"]["template"]["metadata"]["annotations"]

    size = CTX.klass.database.model_copy(update={"max_connections": 77})
    assert digest(replace(CTX, klass=CTX.klass.model_copy(update={"database": size}))) != digest(CTX)
    later = replace(CTX, now=CTX.now + timedelta(days=40))
    assert find("Secret", "database-tls", later) != find("Secret", "database-tls")
    assert digest(later) == digest(CTX)


def test_a_stopped_tenant_keeps_its_volume_and_runs_nothing():
    stopped = replace(CTX, running=False)
    assert find("StatefulSet", "database", stopped)["spec"]["replicas"] == 0
    assert find("PersistentVolumeClaim", "database-data", stopped) == find("PersistentVolumeClaim", "database-data")


def test_nobody_gets_in_without_tls_and_a_password():
    rules = [line.split() for line in find("ConfigMap", "database-config")["data"]["pg_hba.conf"].splitlines()]
    rules = [rule for rule in rules if rule and not rule[0].startswith("#")]
    assert {rule[0] for rule in rules if rule[-1] == "scram-sha-256"} == {"hostssl"}
    assert rules[-1] == ["host", "all", "all", "all", "reject"]
    assert not any("trust" in rule or "md5" in rule or "password" in rule for rule in rules)


def test_settings_follow_the_class_and_the_volume():
    def settings(**sizes):
        small = CTX.klass.database.resources.limits.model_copy(update={"memory": sizes["memory"]})
        resources = CTX.klass.database.resources.model_copy(update={"limits": small})
        size = CTX.klass.database.model_copy(update={"resources": resources, "storage": sizes["storage"]})
        text = postgresql_conf(replace(CTX, klass=CTX.klass.model_copy(update={"database": size})))
        return dict(line.split(" = ") for line in text.splitlines())

    small, large = settings(memory="512Mi", storage="1Gi"), settings(memory="8Gi", storage="100Gi")
    assert (small["shared_buffers"], large["shared_buffers"]) == ("'128MB'", "'2048MB'")
    assert (small["max_wal_size"], large["max_wal_size"]) == ("'128MB'", "'1024MB'")


@pytest.mark.parametrize(
    ("text", "value"), [("250m", 0.25), ("1", 1), ("1.5Gi", 1.5 * 2**30), ("2k", 2000), ("3Ti", 3 * 2**40)]
)
def test_quantities(text, value):
    assert quantity(text) == value


def test_a_volume_larger_than_the_class_allows_is_said_before_anything_is_made():
    assert database.storage_error(CTX) is None
    large = replace(CTX, spec=CTX.spec.model_copy(update={"database": Database(storage="999Ti")}))
    assert "allows at most" in database.storage_error(large)


# ---- what is observed -------------------------------------------------------------------------------------------------


def live(kind, name, **body):
    api = {"StatefulSet": "apps/v1", "Pod": "v1", "PersistentVolumeClaim": "v1", "Event": "v1"}[kind]
    return {"apiVersion": api, "kind": kind, "metadata": {"namespace": CTX.namespace, "name": name}, **body}


def pod(ready=False, waiting=None, scheduled=True, message=""):
    conditions = [
        {"type": "Ready", "status": str(ready)},
        {"type": "PodScheduled", "status": str(scheduled), "message": message},
    ]
    state = {"waiting": waiting} if waiting else {"running": {}}
    container = {"name": "postgres", "state": state, "lastState": {"terminated": {"exitCode": 1, "message": "no room"}}}
    found = live("Pod", "database-0", status={"conditions": conditions, "containerStatuses": [container]})
    found["metadata"]["labels"] = {"app.kubernetes.io/component": "database"}
    found["spec"] = {"containers": [{"image": CTX.platform.images.postgres}]}
    return found


def seen(*things, external=None):
    return Observed(
        objects={ObjectKey.of(one): one for one in things if one["kind"] not in {"Pod", "Event"}},
        other={ObjectKey.of(one): one for one in things if one["kind"] in {"Pod", "Event"}},
        external=external or {},
    )


SERVER = live("StatefulSet", "database")
ALL = {one.key: dict(one.spec) for one in externals()}
ROLE = externals()[0].key
FORBIDDEN = live(
    "Event", "database.1", reason="FailedCreate", message="pods is forbidden: exceeded quota: tenant",
    involvedObject={"kind": "StatefulSet", "name": "database"},
)  # fmt: skip


@pytest.mark.parametrize(
    ("observed", "status", "reason", "said"),
    [
        pytest.param(seen(), "False", Reason.PROGRESSING, "not there yet", id="nothing is there"),
        pytest.param(seen(SERVER), "False", Reason.DATABASE_STARTING, "describe statefulset", id="no pod yet"),
        pytest.param(seen(SERVER, FORBIDDEN), "False", Reason.QUOTA_EXCEEDED, "exceeded quota", id="quota"),
        pytest.param(seen(SERVER, pod()), "False", Reason.DATABASE_STARTING, "database-0", id="starting"),
        pytest.param(
            seen(SERVER, pod(scheduled=False, message="0/2 nodes are available")),
            "False", Reason.UNSCHEDULABLE, "0/2 nodes", id="no node takes it",
        ),
        pytest.param(
            seen(SERVER, pod(waiting={"reason": "ImagePullBackOff", "message": "no such image"})),
            "False", Reason.IMAGE_UNAVAILABLE, "no such image", id="no image",
        ),
        pytest.param(
            seen(SERVER, pod(waiting={"reason": "CrashLoopBackOff"})),
            "False", Reason.CRASH_LOOPING, "no room", id="crash loop, with its last words",
        ),
        pytest.param(seen(SERVER, pod(ready=True)), "Unknown", Reason.NOT_OBSERVED, "roles", id="roles not looked at"),
        pytest.param(
            seen(SERVER, pod(ready=True), external={**ALL, ROLE: None}),
            "False", Reason.DATABASE_STARTING, "role app_owner", id="a role is missing",
        ),
        pytest.param(
            seen(SERVER, pod(ready=True), external={**ALL, ROLE: Trouble(Reason.DATABASE_UNREACHABLE, "timed out")}),
            "Unknown", Reason.DATABASE_UNREACHABLE, "timed out", id="an error is unknown, not false",
        ),
        pytest.param(
            seen(SERVER, pod(ready=True), external=ALL), "True", Reason.DATABASE_RUNNING, "role backup", id="all is well"
        ),
    ],
)  # fmt: skip
def test_database_ready_says_what_was_observed(observed, status, reason, said):
    (finding,) = database.checks(CTX, observed)
    assert (finding.status, finding.reason) == (status, reason)
    assert said in finding.message


def test_gates():
    assert not database.database_ready(seen(SERVER, pod()))
    assert database.database_ready(seen(SERVER, pod(ready=True)))
    assert not database.provisioned(seen())
    assert not database.provisioned(seen(external={**ALL, ROLE: None}))
    assert database.provisioned(seen(external=ALL))
    going = pod(ready=True)
    going["metadata"]["deletionTimestamp"] = "2026-11-23T00:00:00Z"
    assert not database.database_ready(seen(going))


def with_volume(*, hostname="node-a", affinity=True):
    claim = live("PersistentVolumeClaim", "database-data", spec={"volumeName": "pv-1", "storageClassName": "x"})
    rule = {"key": "kubernetes.io/hostname", "operator": "In", "values": [hostname]}
    terms = {"required": {"nodeSelectorTerms": [{"matchExpressions": [rule]}]}}
    nodes = {
        "a": {"kubernetes.io/hostname": "node-a", **CTX.region.node_selector},
        "b": {"kubernetes.io/hostname": "node-b", "topology.kubernetes.io/region": "us-east-1"},
    }
    volume = {"spec": {"nodeAffinity": terms} if affinity else {}}
    return replace(seen(claim), volumes={"pv-1": volume}, nodes=nodes)


@pytest.mark.parametrize(
    ("observed", "region"),
    [
        (with_volume(), CTX.spec.region),
        (with_volume(hostname="node-b"), "us-east-1"),
        (with_volume(hostname="node-z"), ""),
        (with_volume(affinity=False), ""),
        (seen(), ""),
    ],
    ids=["on our node", "on another region's node", "on a node nobody knows", "no affinity", "no volume"],
)
def test_the_inventory_says_where_the_volume_was_observed(observed, region):
    (item,) = database.inventory(CTX, observed)
    assert item.region == region
    assert CTX.names.transit_key in item.encrypted_by


def test_proof_holds_only_for_what_was_seen():
    assert not any(line.holds for line in database.proof(CTX, seen()))
    lines = database.proof(CTX, seen(pod(ready=True), external=ALL))
    assert next(line.claim for line in lines if line.holds) == "the database runs the released image"
    assert sum(line.holds for line in lines) == 6
