"""The CRDs deleted and installed again: every Tenant, record, Region and class is gone, and no tenant loses a byte."""

import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import living
from tests.support.kubectl import OPERATOR, exists, get, kubectl
from tests.support.tenants import ROOT
from tests.support.waiting import say, until

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("demo")]

CRDS = str(ROOT / "crds")
WORD = uuid.uuid4().hex


def essence(item: dict[str, Any]) -> dict[str, Any]:
    """Return an object as one would apply it again."""
    kept = {key: value for key, value in item["metadata"].items() if key in {"name", "labels"}}
    return {"apiVersion": item["apiVersion"], "kind": item["kind"], "metadata": kept, "spec": item["spec"]}


def lives() -> dict[str, Any]:
    """Return what must not change: the ids of namespaces, claims and volumes, and the tenants' own."""
    found: dict[str, Any] = {}
    for name in living.DEMO:
        space = f"tenant-{name}"
        claim = get("pvc", "database-data", "-n", space)
        volume = get("pv", claim["spec"]["volumeName"])
        labels = get("namespace", space)["metadata"]["labels"]
        found[name] = {
            "id": labels["cloister.dev/tenant-id"],
            "namespace": get("namespace", space)["metadata"]["uid"],
            "claim": claim["metadata"]["uid"],
            "volume": volume["metadata"]["uid"],
            "phase": volume["status"]["phase"],
        }
    return found


def psql(name: str, text: str) -> str:
    command = (
        "psql",
        "-h",
        "/var/run/postgresql",
        "-U",
        "postgres",
        "-d",
        "postgres",
        "-v",
        "ON_ERROR_STOP=1",
        "-Atc",
        text,
    )
    return kubectl("exec", "database-0", "-n", f"tenant-{name}", "--", *command).strip()


@pytest.fixture
def saved() -> Iterator[list[dict[str, Any]]]:
    """Have what people wrote, and the tombstones, as files elsewhere; at the end all of it is there again."""
    items = [essence(item) for plural in ("regions", "tenantclasses", "tenants") for item in get(plural)["items"]]
    tombs = [essence(item) for item in get("tenantrecords")["items"] if item["spec"]["state"] == "Destroyed"]
    try:
        yield items
    finally:
        kubectl("apply", "--server-side", "--force-conflicts", "-f", CRDS)
        kubectl("wait", "--for=condition=Established", "-f", CRDS, "--timeout=60s")
        kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=items)
        if tombs:
            kubectl("apply", "--server-side", "-f", "-", stdin=tombs, user=OPERATOR)
        living.ready(*living.DEMO)


def test_no_namespace_or_volume_is_lost_and_the_tenants_are_the_same(saved):
    assert {item["metadata"]["name"] for item in saved} >= set(living.DEMO)
    for name in living.DEMO:
        psql(name, "create table if not exists reinstalled (word text)")
        psql(name, f"insert into reinstalled values ('{WORD}')")  # noqa: S608 - our own word
    before = lives()
    assert {name: living.identity(name) for name in living.DEMO} == {name: before[name]["id"] for name in living.DEMO}

    began = time.monotonic()
    kubectl("delete", "-f", CRDS, "--timeout=60s")
    say(f"the CRDs are gone after {time.monotonic() - began:.1f} s, and every Tenant with them")
    until("no kind of ours is left", _none_left, 30)
    time.sleep(5)  # the operator has had time for whatever it might do
    assert lives() == before, "something of a tenant went with the CRDs"

    kubectl("apply", "--server-side", "-f", CRDS)
    kubectl("wait", "--for=condition=Established", "-f", CRDS, "--timeout=60s")
    kubectl("apply", "--server-side", "-f", "-", stdin=saved)
    say(f"Ready again {living.ready(*living.DEMO):.1f} s after the tenants were applied again")

    assert lives() == before
    for name in living.DEMO:
        assert living.identity(name) == before[name]["id"]
        assert living.live(name)["status"]["id"] == before[name]["id"]
        assert psql(name, f"select word from reinstalled where word = '{WORD}'") == WORD  # noqa: S608 - our own word
        psql(name, "drop table reinstalled")
    kubectl("get", "tenants", *living.DEMO)
    _the_guards_hold()


def _none_left() -> bool:
    left = [item["metadata"]["name"] for item in get("crd")["items"] if item["spec"]["group"] == "cloister.dev"]
    assert not left, f"still there: {left}"
    return True


def _the_guards_hold() -> None:
    """Check that the policies about our kinds came back to life with them."""
    protected = json.dumps({"spec": {"deletion": {"protection": True}}})
    kubectl("patch", "tenant", "acme-pharma", "--type=merge", "-p", protected)
    with pytest.raises(AssertionError, match="protection"):
        kubectl("delete", "tenant", "acme-pharma", "--wait=false", "--dry-run=server")
    assert exists("tenantrecord", "acme-pharma")
