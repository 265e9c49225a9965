"""The operator's hand on the Secrets of the audit keys, on a real API server under the chart's own confinement."""

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator

import pytest

from tenant_operator.clients.cluster import KubernetesCluster
from tenant_operator.clients.store import Store
from tenant_operator.clients.transport import Transport
from tenant_operator.errors import CloisterError
from tenant_operator.handlers import bootstrap
from tenant_operator.reconcile.audit_keys import AuditKeys
from tests.operator.test_audit_keys import AUDIT, DERIVE, KEYS, LOGS, WITNESS, material, vkeys
from tests.support import apiserver
from tests.support.apiserver import OPERATOR, ApiServer
from tests.support.helm import template
from tests.support.world import FakeAudit

pytestmark = pytest.mark.cluster
"""The API server comes with the local cluster; the cluster itself is not needed."""

ADMISSION = "/apis/admissionregistration.k8s.io/v1"
PLURALS = {
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
}


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    with apiserver.running() as found:
        yield found


@pytest.fixture
async def cluster(server: ApiServer) -> AsyncIterator[KubernetesCluster]:
    """Have the operator's own way to the API server, where it is confined as the chart confines it."""
    from kubernetes.aio import client
    from kubernetes.aio.client.rest import RESTClientObject

    for name in (AUDIT, WITNESS):
        await server.ok("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    for item in template("--set=witness.enabled=true"):
        if item["kind"] in PLURALS and item["metadata"]["name"] == "cloister-operator":
            await server.ok("POST", f"{ADMISSION}/{PLURALS[item['kind']]}", item)
    configuration = client.Configuration(host=server.url)
    configuration.ssl_ca_cert = str(server.folder / "ca.crt")
    configuration.api_key = {"authorization": f"Bearer token-{OPERATOR}"}
    transport = Transport(RESTClientObject(configuration)._create_pool_manager(), configuration)
    found = KubernetesCluster(transport, Store())
    for _ in range(100):  # until the confinement is in force
        try:
            await found.create(bootstrap.audit_secrets(DERIVE, "default", DERIVE.created)[0])
        except CloisterError as error:
            assert "writes only in tenants" in error.message  # noqa: PT017
            break
        await server.ok("DELETE", "/api/v1/namespaces/default/secrets/audit-tls")
        await asyncio.sleep(0.2)
    yield found
    await transport.close()


async def test_derived_keys_make_way_for_vaults_and_the_witness_follows(cluster: KubernetesCluster) -> None:
    await bootstrap.ensure_audit_secrets(cluster, DERIVE, AUDIT, WITNESS)
    assert await bootstrap.ensure_audit_secrets(cluster, DERIVE, AUDIT, WITNESS, in_vault=True) == []
    shown: dict[str, list[str]] = {"platform": bootstrap.derived_vkeys(DERIVE)}

    async def logs() -> dict[str, list[str]]:
        return shown

    async def known() -> set[bytes]:
        found = await cluster.read(LOGS)
        assert found is not None
        return material(base64.b64decode(found["data"]["vkeys"]).decode().split())

    audit = FakeAudit()
    keys = AuditKeys(cluster, audit, logs, bootstrap.derived_vkeys(DERIVE), AUDIT, WITNESS, grace_seconds=0)
    assert not await keys.look()
    assert audit.entries == []  # the witness knows them, and they sign
    shown["tenant-1"] = vkeys("x/audit/tenant-1", b"v" * 32)
    assert not await keys.look()
    assert await known() == material([*bootstrap.derived_vkeys(DERIVE), *shown["tenant-1"]])
    shown["platform"] = vkeys("x/audit/platform", b"v" * 32)
    assert not await keys.look()
    assert await cluster.read(KEYS) is None
    assert await keys.look()
    assert await known() == material(shown["tenant-1"])
    assert await bootstrap.ensure_audit_secrets(cluster, DERIVE, AUDIT, WITNESS, in_vault=True) == []
    assert await cluster.read(KEYS) is None
