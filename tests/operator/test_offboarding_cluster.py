"""An offboarding on a real API server with real volumes, a real Vault and a real object store; only the export job is played."""

import asyncio
import os
import time
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tenant_operator.api.common import API_VERSION
from tenant_operator.api.names import Names
from tenant_operator.clients.cluster import KubernetesCluster
from tenant_operator.clients.objectstore import ObjectStores
from tenant_operator.clients.store import Store
from tenant_operator.clients.transport import Transport
from tenant_operator.jobs.export_pack import digest_file
from tenant_operator.offboarding import certificate
from tenant_operator.offboarding.offboarder import GUARD, Offboarder
from tenant_operator.stack import backup, keys
from tenant_operator.stack.part import External, ObjectKey
from tenant_operator.stack.parts import PARTS
from tests.operator.test_vault import Server, _binary, vault_for
from tests.support.fakes_offboarding import World
from tests.support.kubectl import KUBECONFIG, exists, kubectl
from tests.support.object_store import ObjectStore, needs_store
from tests.support.tenant_context import tenant_context

pytestmark = [pytest.mark.cluster, needs_store, pytest.mark.skipif(_binary() is None, reason="no vault binary")]


class Now:
    def now(self):
        return datetime.now(UTC)


class PlayedJob(KubernetesCluster):
    """The API server; the export Job is not run by a kubelet but played: its file is put where its signed address says."""

    def __init__(self, transport, store, stores, ctx, folder: Path) -> None:
        super().__init__(transport, store)
        self.stores, self.ctx, self.folder, self.job = stores, ctx, folder, None

    async def apply(self, manifest, *, force=False):
        if manifest["kind"] != "Job":
            return await super().apply(manifest, force=force)
        await self._play(manifest)
        self.job = manifest
        return manifest

    async def _play(self, manifest) -> None:
        import base64
        import json

        from tenant_operator.jobs.export_upload import read_back, upload, upload_bytes

        config = await self.read(ObjectKey("v1", "ConfigMap", self.ctx.namespace, "export-config"))
        secret = await self.read(ObjectKey("v1", "Secret", self.ctx.namespace, "export-upload"))
        told, urls = json.loads(config["data"]["job.json"]), json.loads(base64.b64decode(secret["data"]["urls.json"]))
        file, ca = self.folder / "export.tar.age", self.folder / "ca.pem"
        file.write_bytes(os.urandom(3_000_000))
        ca.write_text(self.ctx.platform.object_store_ca)
        await asyncio.to_thread(upload, urls["put"], file, str(ca))
        sha256, size = digest_file(file)
        assert await asyncio.to_thread(read_back, urls["get"], str(ca)) == (sha256, size)
        said = {"bucket": told["bucket"], "key": told["key"], "sha256": sha256, "size": size, "documents": 2}
        await asyncio.to_thread(upload_bytes, urls["putReceipt"], json.dumps(said).encode(), str(ca))

    async def read(self, key):
        if key.kind == "Job":
            condition = {"type": "Complete", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
            done = self.job and {
                **self.job,
                "metadata": {**self.job["metadata"], "uid": "j"},
                "status": {"conditions": [condition]},
            }
            return done or None
        return await super().read(key)

    async def delete(self, live, *, propagation="Background"):
        if live["kind"] == "Job":
            self.job = None
            return
        await super().delete(live, propagation=propagation)


def workload(ctx, kind: str, name: str, image: str) -> dict:
    """Return a pod that mounts the claim, or a Deployment of none."""
    labels = {"app.kubernetes.io/component": name}
    spec = {
        "containers": [{"name": "main", "image": image, "imagePullPolicy": "Never", "args": ["-dns.port", "1053"]}],
        "automountServiceAccountToken": False,
    }
    if name == "database":
        spec["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
        spec["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": "database-data"}}]
    body = {"replicas": 1 if name == "database" else 0, "selector": {"matchLabels": labels}}
    body["template"] = {"metadata": {"labels": labels}, "spec": spec}
    if kind == "StatefulSet":
        body["serviceName"] = name
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name, "namespace": ctx.namespace}, "spec": body}


def objects(ctx, image: str) -> list[dict]:
    claim = {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": "database-data", "namespace": ctx.namespace},
        "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": ctx.region.storage_class_name,
            "resources": {"requests": {"storage": "1Mi"}},
        },
    }  # fmt: skip
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ctx.namespace}}
    record = {
        "tenant": ctx.names.tenant,
        "id": ctx.names.id,
        "region": ctx.spec.region,
        "state": "Live",
        "since": "2026-01-01T00:00:00Z",
    }
    people = [_ours("TenantRecord", ctx.names.tenant, record)]
    recipient = {"age": "age1" + "q" * 58}
    spec = {
        "tenant": ctx.names.tenant,
        "requestedBy": "alice",
        "reason": "ticket",
        "recipient": recipient,
        "gracePeriod": "3s",
    }
    people.append(_ours("TenantOffboarding", ctx.names.tenant, spec))
    return [
        space,
        claim,
        workload(ctx, "StatefulSet", "database", image),
        workload(ctx, "Deployment", "app", image),
        *people,
    ]


def _ours(kind: str, name: str, spec: dict) -> dict:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}


@pytest.fixture
def image() -> str:
    """An image that is on the nodes and runs by itself."""
    dns = ("-l", "k8s-app=kube-dns", "-o", "jsonpath={.items[0].spec.containers[0].image}")
    return kubectl("get", "pods", "-n", "kube-system", *dns)


@pytest.fixture
def ctx():
    name = f"bye-{uuid.uuid4().hex[:6]}"
    made = replace(tenant_context(), names=Names(name, str(uuid.uuid4())), now=datetime.now(UTC))
    return replace(made, platform=replace(made.platform, object_store_ca=made.derive.ca.certificate))


async def test_a_real_tenant_goes_and_everything_is_proved(ctx, image, tmp_path, monkeypatch):
    if exists("validatingadmissionpolicy", "cloister-records"):
        pytest.skip("an installed operator would take this offboarding for its own; tests/e2e tells the story with it")
    if not exists("crd", "tenantoffboardings.cloister.dev"):
        pytest.skip("the CRDs are not installed")
    monkeypatch.setenv("KUBECONFIG", KUBECONFIG)
    vaults, store = Server(tmp_path), ObjectStore(ctx).start()
    vault = vault_for(vaults.access())

    async def access_for(_ctx):
        return store.access

    stores = ObjectStores(access_for)
    transport = await Transport.open(in_cluster=False)
    cluster = PlayedJob(transport, Store(), stores, ctx, tmp_path)

    async def context_for(tenant, record):
        return ctx

    audit = World()
    process = Offboarder(
        cluster, {"vault": vault, "objectstore": stores}, vault, stores, audit, Now(), PARTS, context_for
    )
    name = ctx.names.tenant
    try:
        for wanted in (*keys.desired(ctx), *(one for one in backup.desired(ctx) if isinstance(one, External))):
            await (vault if wanted.key.system == "vault" else stores).ensure(ctx, wanted, None)
        kubectl("apply", "-f", "-", stdin=objects(ctx, image))
        assert (await process.reconcile(name)) is not None
        uid = kubectl("get", "tenantoffboarding", name, "-o", "jsonpath={.metadata.uid}")
        for who in ("alice", "bob"):
            spec = {"offboarding": name, "offboardingUID": uid, "approver": who, "statement": "I approve"}
            kubectl(
                "create",
                "-f",
                "-",
                stdin=_ours("TenantApproval", f"{name}.{who}", spec),
                user=who,
                groups=("system:masters",),
            )
        volume = await _bound(ctx)
        await _until_rest(process, name)
        status = (await cluster.read(ObjectKey(API_VERSION, "TenantOffboarding", "", name)))["status"]
        assert status["phase"] == "Certified", status
        assert not exists("namespace", ctx.namespace)
        assert not exists("persistentvolume", volume)
        assert await vault.list_keys(ctx, ctx.names.transit_key) == []
        made = certificate.encode(status["certificate"])
        pinned = kubectl(
            "get",
            "configmap",
            "-n",
            "cloister-system",
            f"cloister-signing-{ctx.spec.region}",
            "-o",
            "jsonpath={.data.v1\\.pem}",
        )
        assert certificate.verify(made, public_key=pinned) == []
        steps = {item["name"]: item["evidence"] for item in status["certificate"]["payload"]["evidence"]}
        assert f"PersistentVolume {volume}" in steps
        assert f"objectstore bucket {ctx.names.bucket}" in steps
    finally:
        kubectl("delete", "--ignore-not-found", "--wait=false", "-f", "-", stdin=objects(ctx, image)[:1])
        kubectl("delete", "tenantoffboarding,tenantrecord", name, "--ignore-not-found")
        kubectl("delete", "tenantapproval", f"{name}.alice", f"{name}.bob", "--ignore-not-found")
        kubectl(
            "delete", "configmap", "-n", "cloister-system", f"cloister-signing-{ctx.spec.region}", "--ignore-not-found"
        )
        await transport.close()
        stores.close()
        vault.close()
        store.remove()
        vaults.stop()


async def _bound(ctx) -> str:
    for _ in range(120):
        found = kubectl("get", "pvc", "-n", ctx.namespace, "database-data", "-o", "jsonpath={.spec.volumeName}")
        if found:
            return found
        await asyncio.sleep(0.5)
    raise AssertionError("the claim was never bound")


async def _until_rest(process, name: str) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        again = await process.reconcile(name)
        if again is None or again == GUARD:
            return
        await asyncio.sleep(min(again.total_seconds(), 1))
