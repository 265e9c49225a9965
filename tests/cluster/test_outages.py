"""What a tenant does while the audit service or its Vault is away: it waits, says so, and goes on without help."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.support import api, living, outside
from tests.support.kubectl import KubectlError, get, kubectl
from tests.support.outside import VaultError
from tests.support.waiting import say, until

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("demo")]


@contextmanager
def audit_away() -> Iterator[None]:
    """Have no audit service."""
    scale = ("scale", "deployment/audit", "-n", "cloister-audit")
    try:
        kubectl(*scale, "--replicas=0")
        which = ("-n", "cloister-audit", "-l", "app.kubernetes.io/component=audit")
        kubectl("delete", "pods", *which, "--grace-period=0", "--force", "--ignore-not-found")
        until("the audit service is gone", _no_audit_pod, 60)
        yield
    finally:
        kubectl(*scale, "--replicas=1")
        kubectl("rollout", "status", "deployment/audit", "-n", "cloister-audit", "--timeout=80s")
        say("the audit service is back")


def _no_audit_pod() -> bool:
    pods = get("pods", "-n", "cloister-audit", "-l", "app.kubernetes.io/component=audit")["items"]
    assert not pods, f"{len(pods)} pods of it are left"
    return True


@contextmanager
def sealed(region: str) -> Iterator[None]:
    """Have a Region's Vault sealed."""
    try:
        _localcluster("vault-seal", region)
        say(f"the Vault of {region} is sealed")
        yield
    finally:
        _localcluster("vault-unseal")
        say("every Vault is unsealed")


def _localcluster(*args: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "localcluster", *args], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


def keys(region: str, word: str = "cloister-") -> list[str]:
    return outside.vault_names(region, "transit/keys", word)


@contextmanager
def operator_asleep() -> Iterator[None]:
    """Have no operator. The admission webhook is a Deployment of its own and answers on."""
    scale = ("scale", "deployment/cloister-operator", "-n", "cloister-system")
    which = ("-n", "cloister-system", "-l", "app.kubernetes.io/component=operator")
    try:
        kubectl(*scale, "--replicas=0")
        until("the operator is gone", lambda: None if get("pods", *which)["items"] else True, 60)
        yield
    finally:
        kubectl(*scale, "--replicas=1")
        kubectl("rollout", "status", "deployment/cloister-operator", "-n", "cloister-system", "--timeout=80s")
        say("the operator is back")


def test_without_the_audit_service_an_edit_is_refused_in_clear_words_and_what_changes_nothing_passes():
    before = keys(living.US)
    name = living.named("refused")
    renamed = json.dumps({"spec": {"displayName": "Renamed while nobody records"}})
    with audit_away():
        # Its pod's object is gone before its process is, which may take an entry in until it hears of that.
        living.says("globex-bio", "AuditCurrent", "False", "AuditUnavailable")
        for refused in (
            lambda: living.apply(living.body(name, living.US)),
            lambda: kubectl("patch", "tenant", "globex-bio", "--type=merge", "-p", renamed),
        ):
            with pytest.raises(KubectlError) as caught:
                refused()
            assert "this change cannot be recorded, so it is not made" in str(caught.value)
            assert "kubectl -n cloister-audit get pods" in str(caught.value)
        assert api.find(api.cloister("tenants", name)) is None
        assert living.live("globex-bio")["spec"]["displayName"] != "Renamed while nobody records"
        kubectl("label", "tenant", "globex-bio", "cloister.test/looked-at=yes")
        kubectl(
            "patch", "tenant", "globex-bio", "--type=merge", "-p", '{"metadata":{"finalizers":["cloister.test/f"]}}'
        )
        kubectl("patch", "tenant", "globex-bio", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
        untouched(name, before)
    kubectl("label", "tenant", "globex-bio", "cloister.test/looked-at-")


def test_a_tenant_admitted_before_the_audit_service_went_away_is_not_touched_and_goes_on_by_itself():
    before = keys(living.US)
    with ExitStack() as outage:
        asleep = outage.enter_context(ExitStack())
        asleep.enter_context(operator_asleep())
        name = outage.enter_context(living.tenant(living.named("audit"), living.US))  # admitted with no operator there
        away = outage.enter_context(ExitStack())
        away.enter_context(audit_away())
        # Before the tenant is removed, its removal has to be recorded and the operator has to be able to act.
        outage.callback(asleep.close)
        outage.callback(away.close)
        asleep.close()
        living.says(name, "AuditCurrent", "False", "AuditUnavailable", "nothing is changed")
        assert living.condition(name, "Ready")["status"] == "False"
        assert living.condition(name, "Ready")["reason"] == "AuditUnavailable"
        untouched(name, before)
        living.says("acme-pharma", "AuditCurrent", "False", "AuditUnavailable")
        untouched(name, before)
        away.close()
        say(f"{name}: Ready {living.ready(name):.1f} s after the audit service was back")
        assert len(keys(living.US, living.identity(name))) == 2


def untouched(name: str, before: list[str]) -> None:
    assert api.find(f"/api/v1/namespaces/tenant-{name}") is None, "it has a namespace"
    assert living.record(name) is None, "it has a record"
    assert keys(living.US) == before, "there is a new key"


def test_a_drifted_object_waits_for_the_audit_service_too():
    path = "/apis/policy/v1/namespaces/tenant-globex-bio/poddisruptionbudgets/app"
    with audit_away():
        living.says("globex-bio", "AuditCurrent", "False", "AuditUnavailable")
        api.call("DELETE", path)
        with pytest.raises(AssertionError, match="not after"):
            until("it comes back unrecorded", lambda: api.find(path), 4)
    until("it is back", lambda: api.find(path), 30)


def test_with_a_sealed_vault_a_new_tenant_waits_says_so_and_has_one_key_in_the_end():
    with ExitStack() as outage:
        shut = outage.enter_context(ExitStack())
        shut.enter_context(sealed(living.US))
        with pytest.raises(VaultError, match="sealed"):
            keys(living.US)
        name = outage.enter_context(living.tenant(living.named("sealed"), living.US))
        outage.callback(shut.close)  # before the tenant is removed, its Vault has to be open
        living.says(name, "KeysReady", "Unknown", "VaultSealed", seconds=60)
        living.says(name, "NamespaceReady", "True")
        assert living.condition(name, "Ready")["status"] == "False"
        until(
            "its database, which needs no key, starts", lambda: api.find(_workload(name, "statefulsets/database")), 30
        )
        assert api.find(_workload(name, "deployments/app")) is None, "the app was started without a key"
        shut.close()
        say(f"{name}: Ready {living.ready(name):.1f} s after the Vault was unsealed")
        identity = living.identity(name)
        assert keys(living.US, identity) == [f"cloister-{identity}", f"cloister-{identity}-signing"]
        vault = outside.vault(living.US)
        found = vault.call("GET", f"transit/keys/cloister-{identity}", token=vault.root_token())
        assert list(found["data"]["keys"]) == ["1"], "it has more than one version"


def _workload(name: str, which: str) -> str:
    return f"/apis/apps/v1/namespaces/tenant-{name}/{which}"
