"""The operator's own kinds on a real API server: listed once at its start, and nothing missed whenever kopf begins anew."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from kubernetes.aio.config import kube_config

from tenant_operator.api.common import API_VERSION
from tenant_operator.api.kinds import KINDS
from tenant_operator.handlers import kinds, wiring
from tenant_operator.handlers.admission_watch import AdmissionWatch
from tenant_operator.handlers.kinds import Kinds
from tenant_operator.handlers.operator import Operator
from tenant_operator.handlers.settings import AdmissionConfig, ImageNames, OperatorConfig, Pod
from tenant_operator.stack.part import ObjectKey
from tests.support import apiserver
from tests.support.apiserver import ApiServer
from tests.support.tenants import ROOT
from tests.support.world import FakeAudit

pytestmark = pytest.mark.cluster
"""The API server comes with the local cluster; the cluster itself is not needed."""

OURS = "/apis/cloister.dev/v1alpha1"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
CONFIG = OperatorConfig(
    images=ImageNames(app="r/app:1", postgres="r/postgres:1", jobs="r/operator:1"),
    version="1",
    audit_url="https://localhost:1",
)
"""No audit service answers there: nothing is changed, and what this is about needs none."""
HOLD = {"tenant": "nobody", "matter": "Globex v. Initech", "requestedBy": "carol"}


@pytest.fixture(scope="module")
def server():
    with apiserver.running() as found:
        for name in ("cloister-system", "cloister-audit"):
            asyncio.run(found.ok("POST", "/api/v1/namespaces", {"metadata": {"name": name}}))
        yield found


@dataclass
class Stage:
    """An operator that was put together and does not run yet."""

    server: ApiServer
    operator: Operator
    kinds: Kinds

    async def hold(self, name: str) -> None:
        item = {"apiVersion": API_VERSION, "kind": "TenantHold", "metadata": {"name": name}, "spec": HOLD}
        await self.server.ok("POST", f"{OURS}/tenantholds", item)

    async def drop(self, name: str) -> None:
        await self.server.ok("DELETE", f"{OURS}/tenantholds/{name}")

    def knows(self, name: str) -> bool:
        return self.operator.cluster.get(ObjectKey(API_VERSION, "TenantHold", "", name)) is not None

    async def without_holds(self) -> None:
        """Remove the kind, and wait until the API server no longer serves it."""
        await self.server.ok("DELETE", f"{CRDS}/tenantholds.cloister.dev")
        while (await self.server.call("GET", f"{OURS}/tenantholds"))[0] != 404:
            await asyncio.sleep(0.1)

    async def with_holds(self) -> None:
        """Install the kind again, and wait until it is served."""
        crd = yaml.safe_load((ROOT / "crds" / "tenantholds.yaml").read_text())
        while (await self.server.call("POST", CRDS, crd))[0] != 201:
            await asyncio.sleep(0.1)
        while (await self.server.call("GET", f"{OURS}/tenantholds"))[0] != 200:
            await asyncio.sleep(0.1)


@pytest.fixture
async def stage(server, tmp_path, monkeypatch) -> AsyncIterator[Stage]:
    cluster = {"server": server.url, "certificate-authority": str(server.folder / "ca.crt")}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "x", "cluster": cluster}],
        "users": [{"name": "x", "user": {"token": f"token-{apiserver.OPERATOR}"}}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        "current-context": "x",
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    (tmp_path / "token").write_text("none")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "kubeconfig"))
    operator = await wiring.build(CONFIG, Pod(audit_token=tmp_path / "token", scratch=tmp_path))
    found = Stage(server, operator, Kinds(operator.cluster.transport, operator))
    try:
        yield found
    finally:
        await operator.cluster.transport.close()
        for item in (await server.call("GET", f"{OURS}/tenantholds"))[1].get("items", ()):
            await found.drop(item["metadata"]["name"])


@pytest.fixture
async def work(stage) -> AsyncIterator[Callable[[], None]]:
    """Return what lets the operator work, until the test ends."""
    tasks: list[asyncio.Task[None]] = []

    def start() -> None:
        tasks.extend(asyncio.create_task(each) for each in (stage.operator.run(), stage.kinds.run()))

    yield start
    for task in tasks:
        task.cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(end, asyncio.CancelledError) for end in ends), ends


async def until(what: str, look: Callable[[], Any], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline, f"not after {seconds} s: {what}"
        await asyncio.sleep(0.05)


def lists(server: ApiServer, since: int) -> Counter[str]:
    """Return how often each of our kinds was listed by our own client; kopf says who it is."""
    ours = [
        entry
        for entry in server.audit()[since:]
        if entry["verb"] == "list" and "kopf" not in entry.get("userAgent", "").lower()
    ]
    paths = [urlsplit(entry["requestURI"]).path for entry in ours]
    return Counter(path.rpartition("/")[2] for path in paths if path.startswith(OURS))


async def test_at_its_start_the_operator_lists_each_of_its_kinds_once(stage, work):
    await stage.hold("before")
    since = len(stage.server.audit())
    work()
    await until("the operator is ready", lambda: stage.operator.synced)
    assert stage.knows("before")
    await stage.hold("after")
    await until("kopf watches", lambda: stage.knows("after"))
    assert lists(stage.server, since) == {kind.plural: 1 for kind in KINDS}


async def test_what_is_deleted_between_our_listing_and_kopfs_is_gone_for_the_operator_too(stage, work, monkeypatch):
    monkeypatch.setattr(kinds, "_LISTING_SECONDS", 2.0)
    await stage.hold("short")
    listing = stage.operator.relist

    async def relist_and_then() -> None:
        first = not stage.operator.listed.is_set()
        await listing()
        if first:
            assert stage.knows("short")
            await stage.drop("short")

    monkeypatch.setattr(stage.operator, "relist", relist_and_then)
    work()
    await until("the operator is ready", lambda: stage.operator.synced)
    await until("its deletion is seen", lambda: not stage.knows("short"))


async def test_a_kind_that_is_not_there_at_the_start_is_listed_and_watched_once_it_is(stage, work):
    await stage.without_holds()
    work()
    await until("the operator is ready", lambda: stage.operator.synced)
    await stage.with_holds()
    await stage.hold("late")
    await until("it is listed", lambda: stage.knows("late"))
    await stage.hold("later")
    await until("it is watched", lambda: stage.knows("later"))
    await stage.drop("late")
    await until("its deletion is seen", lambda: not stage.knows("late"))


async def test_an_object_that_came_with_its_kind_is_looked_at_for_its_admission(stage, work, monkeypatch):
    audit, operator = FakeAudit(), stage.operator
    operator.admission = AdmissionWatch(
        operator.cluster, audit, operator.derive, "cloister-system", AdmissionConfig(configurations=[])
    )
    await stage.without_holds()
    work()
    await until("the operator is ready", lambda: operator.synced)
    listing = operator.relist

    async def once_it_is_there() -> None:
        await stage.hold("unseen")
        await listing()

    monkeypatch.setattr(operator, "relist", once_it_is_there)
    await stage.with_holds()
    await until("it is listed", lambda: stage.knows("unseen"))
    await until(
        "it is recorded as not admitted",
        lambda: [item for _, _, item in audit.entries if (item.action, item.object_id) == ("operator:admission:absent", "unseen")],
    )  # fmt: skip


async def test_a_duty_that_fails_ends_the_operator_with_its_error(stage, monkeypatch):
    async def mistaken() -> None:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(stage.operator.copies, "run", mistaken)
    await stage.operator.relist()
    with pytest.RaisesGroup(pytest.RaisesExc(RuntimeError, match="a mistake")):
        await asyncio.wait_for(stage.operator.run(), 60)
