"""Who asked for what: a person's edit through kubectl, every act that followed from it, and what happens past the webhook."""

import json
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from audit_contract import bundle as bundles
from tenant_operator.cli import audit
from tenant_operator.cli.gaps import leaves_of
from tenant_operator.cli.kube import Kube
from tests.support import api, living
from tests.support.kubectl import KUBECONFIG, MASTERS, OPERATOR, get, kubectl
from tests.support.waiting import say, until

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("demo")]

STATE = Path(KUBECONFIG).parent
CONFIGURATIONS = ("mutatingwebhookconfiguration", "validatingwebhookconfiguration")


@dataclass
class Row:
    """An entry and the values beside it, by field."""

    entry: dict[str, Any]
    values: dict[str, Any]


def log(tenant: str) -> list[Row]:
    """Return a log as its export says it."""
    data = audit.fetch(Kube(kubeconfig=KUBECONFIG), tenant)
    rows = {index: Row(leaf.data, {}) for index, leaf in leaves_of(data).items()}
    read = bundles.read(data)
    for member in read.value_members():
        for line in read.members.get(member, b"").splitlines():
            found = json.loads(line)
            if "value" in found:
                rows[found["index"]].values[found["field"]] = found["value"]
    return list(rows.values())


def of(tenant: str, action: str, **about: str) -> list[Row]:
    return [
        row
        for row in log(tenant)
        if row.entry["action"] == action and all(row.entry["object"].get(key) == value for key, value in about.items())
    ]


def first(what: str, tenant: str, action: str, **about: str) -> Row:
    """Wait for the newest entry of an action."""
    found: list[Row] = until(what, lambda: of(tenant, action, **about) or None, 30, every=1)
    return found[-1]


def made_of(tenant: str, about: dict[str, str]) -> list[Row]:
    """Return the intents to make one object."""
    found = of(tenant, "operator:object:create", type=about["type"], id=about["id"])
    return [row for row in found if row.entry["phase"] == about["phase"]]


@contextmanager
def engineer(name: str) -> Iterator[Path]:
    """Have one of the sample people be a platform engineer; they use their own kubeconfig and certificate."""
    binding = f"cloister-test-{name}"
    try:
        kubectl("create", "clusterrolebinding", binding, "--clusterrole=cloister-platform-engineer", f"--user={name}")
        yield STATE / f"{name}.kubeconfig"
    finally:
        kubectl("delete", "clusterrolebinding", binding, "--ignore-not-found")


def as_person(config: Path, *args: str) -> str:
    """Run kubectl with a person's own kubeconfig; Raises AssertionError."""
    command = ["kubectl", "--kubeconfig", str(config), *args]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_at25_an_edit_by_a_named_person_is_in_the_log_with_every_act_that_followed_from_it():
    with engineer("alice") as config, living.tenant(living.named("edit"), living.US) as name:
        living.ready(name)
        before = living.live(name)["spec"]["displayName"]
        why = {"cloister.dev/reason": "The customer was renamed", "cloister.dev/ticket": "CHG-4711"}
        patch = {"metadata": {"annotations": why}, "spec": {"displayName": f"Renamed {name}"}}
        as_person(config, "patch", "tenant", name, "--type=merge", "-p", json.dumps(patch))
        row = first("alice's edit is in the log", name, "admission:resource:update", type="Tenant", id=name)
        entry = row.entry
        assert (entry["actor"]["type"], entry["actor"]["sub"]) == ("user", "alice")
        assert "cloister:approvers" in entry["actor"]["auth"]["groups"]
        assert entry["src"]["id"].startswith("cloister-admission/")
        assert [change["path"] for change in entry["change"]] == ["/spec/displayName"]
        assert row.values["change.0.old"] == before
        assert row.values["change.0.new"] == f"Renamed {name}"
        assert entry["reason"]["code"] == "Given"
        assert row.values["reason.text"] == "ticket CHG-4711: The customer was renamed"
        assert str(uuid.UUID(entry["request"])) == entry["request"]

        living.ready(name)
        platform = [item for item in log("platform") if item.entry.get("request") == entry["id"]]
        assert {item.entry["action"] for item in platform} == {"operator:tenant:update"}
        acts = [item.entry for item in log(name) if item.entry.get("request") == entry["id"]]
        assert {item["phase"] for item in acts} == {"intent", "outcome"}
        assert {item["result"] for item in acts if item["phase"] == "outcome"} == {"ok"}
        assert "ConfigMap" in {item["object"]["type"] for item in acts}
        say(f"{len(acts) + len(platform)} entries follow from alice's edit")

        about = {"type": "PodDisruptionBudget", "id": "app", "phase": "intent"}
        made = made_of(name, about)
        assert made[-1].entry["request"], "it was made for the edit that onboarded the tenant"
        api.call("DELETE", f"/apis/policy/v1/namespaces/tenant-{name}/poddisruptionbudgets/app")
        again = until("the repair is in the log", lambda: made_of(name, about)[len(made) :] or None, 30, every=1)
        assert "request" not in again[0].entry, "a repair follows from nobody's edit"

        open_ = json.dumps({"spec": {"deletion": {"protection": False}}})
        as_person(config, "patch", "tenant", name, "--type=merge", "-p", open_)
        as_person(config, "delete", "tenant", name, "--timeout=20s")
        gone = first("alice's deletion is in the log", name, "admission:resource:delete", type="Tenant", id=name)
        assert gone.entry["actor"]["sub"] == "alice"
        kept = first("the tenant is retained", "platform", "operator:tenant:retain", id=name)
        assert kept.entry["request"] == gone.entry["id"]


def test_the_api_servers_own_log_and_the_tenants_agree_and_a_stolen_identity_shows():
    with living.tenant(living.named("gaps"), living.US) as name:
        living.ready(name)
        command = ["cloister", "audit", "gaps", name, "--kubeconfig", KUBECONFIG]
        files = sorted((STATE / "logs").glob("audit*.log"))
        assert files, f"no audit log of the API server under {STATE}/logs"
        command += [word for file in files for word in ("--apiserver-log", str(file))]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        say(done.stdout.strip())
        assert done.returncode == 0, done.stdout + done.stderr

        taken = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "taken", "namespace": f"tenant-{name}"}}
        kubectl("create", "-f", "-", stdin=taken, user=OPERATOR, groups=MASTERS)
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 2, done.stdout + done.stderr
        assert f"create ConfigMap tenant-{name}/taken" in done.stdout


def test_an_edit_while_the_operator_is_away_is_admitted_and_recorded():
    from tests.cluster.test_outages import operator_asleep

    with living.tenant(living.named("alone"), living.US) as name:
        living.ready(name)
        with operator_asleep():
            kubectl(
                "patch", "tenant", name, "--type=merge", "-p", '{"spec":{"suspend":true}}', user="bob", groups=MASTERS
            )
            row = first("bob's edit is in the log", name, "admission:resource:update", type="Tenant", id=name)
            assert row.entry["actor"]["sub"] == "bob"


@contextmanager
def broken_glass() -> Iterator[None]:
    """Have the webhook out of the way, as docs/runbooks/break-glass.md says; and back as it was."""
    saved = []
    for kind in CONFIGURATIONS:
        item = get(kind, "cloister-admission")
        meta = {key: value for key, value in item["metadata"].items() if key in {"name", "labels", "annotations"}}
        saved.append({**item, "metadata": meta})
    try:
        for kind in CONFIGURATIONS:
            kubectl("delete", kind, "cloister-admission")
        yield
    finally:
        kubectl("create", "-f", "-", stdin=saved)


def test_what_is_done_past_the_webhook_is_evident_afterwards():
    with living.tenant(living.named("glass"), living.US) as name:
        living.ready(name)
        before = len(of("platform", "operator:webhook:observe"))
        with broken_glass():
            news: list[Row] = until(
                "its absence is in the log",
                lambda: of("platform", "operator:webhook:observe")[before:] or None,
                30,
                every=1,
            )
            seen = news[-1]
            assert seen.entry["result"] == "error"
            assert "it is gone" in seen.values["reason.text"]
            kubectl(
                "patch", "tenant", name, "--type=merge", "-p", '{"spec":{"suspend":true}}', user="bob", groups=MASTERS
            )
            row = first("the edit past it is in the log", name, "operator:admission:absent", type="Tenant", id=name)
            generation = living.live(name)["metadata"]["generation"]
            assert f"generation {generation} was not admitted" in row.values["reason.text"]

        def whole() -> bool:
            found = of("platform", "operator:webhook:observe")[-2:]
            assert {item.entry["result"] for item in found} == {"ok"}, [item.values for item in found]
            return True

        until("the webhook is whole again, and that is in the log", whole, 30, every=1)
        kubectl("patch", "tenant", name, "--type=merge", "-p", '{"spec":{"suspend":false}}')
        first("the next edit is admitted", name, "admission:resource:update", type="Tenant", id=name)
        living.ready(name)
        assert len(of(name, "operator:admission:absent")) == 1


def test_a_running_tenant_of_the_demo_was_admitted_and_nothing_of_it_is_absent():
    for name in living.DEMO:
        stamp = living.live(name)["metadata"]["annotations"]["cloister.dev/admission"]
        entry = stamp.split(":")[1]
        ids = {row.entry["id"] for row in [*log(name), *log("platform")]}
        assert entry in ids
