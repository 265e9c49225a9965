"""The Ed25519 key stays in Vault: a real Vault signs, and while it is away entries stay durable and wait."""

import asyncio
import base64
import time
from collections.abc import Iterator

import pytest
from hvac.exceptions import Forbidden, InternalServerError, InvalidRequest

from audit_contract.client import AuditUnavailable
from audit_contract.keys import KeyType, parse_vkey
from audit_contract.verify import verify_bundle
from audit_service.settings import Settings
from audit_service.transit import OtherSealError, Transit, TransitError, TransitKey, TransitSealer
from tests.audit_service.postgres import Postgres
from tests.audit_service.service import TENANT_LOG, Service, draft, running, until_writer
from tests.audit_service.vaults import SEALING, SIGNING, audit_vault, in_vault, keys_at, other_keys
from tests.tenant_app.support.vault import Vault, binary

pytestmark = pytest.mark.skipif(binary() is None, reason="no vault: `make up` compiles one")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    with audit_vault(tmp_path_factory.mktemp("vault"), seconds=3) as found:
        yield found


async def grown(service: Service, count: int = 2) -> int:
    async with service.client() as client:
        await service.tenant_log(client)
        await client.append(TENANT_LOG, [draft() for _ in range(count)])
        durable: int = (await client.log(TENANT_LOG))["durable"]
        return durable


async def test_checkpoints_are_signed_by_vault_and_a_lost_login_is_made_again(
    settings: Settings, postgres: Postgres, server: Vault
) -> None:
    async with running(in_vault(settings, server), postgres) as service:
        await until_writer(service)
        await service.signed(TENANT_LOG, await grown(service))
        server.write_token()
        await asyncio.sleep(3.5)  # longer than the login lives
        await service.signed(TENANT_LOG, await grown(service))
        async with service.client() as client:
            keys = (await client.log(TENANT_LOG))["keys"]
            report = verify_bundle(await client.export(TENANT_LOG), keys)
    assert (report.problems, len(report.signed_by)) == ([], 2)
    public = server.root.secrets.transit.read_key(SIGNING)["data"]["keys"]["1"]["public_key"]
    first = parse_vkey(keys[0])
    assert first.kind is KeyType.ED25519
    assert base64.b64decode(public) == first.key.public_bytes_raw()


async def test_while_vault_is_sealed_entries_are_durable_wait_for_their_signature_and_get_it(
    settings: Settings, postgres: Postgres, server: Vault
) -> None:
    async with running(in_vault(settings, server), postgres) as service:
        await until_writer(service)
        await service.signed(TENANT_LOG, await grown(service))
        server.root.sys.seal()
        try:
            durable = await grown(service)
            async with service.http(None) as http, service.client() as client:
                for _ in range(1500):
                    ready = await http.get("/readyz")
                    if "signingWaits" in ready.json():
                        break
                    await asyncio.sleep(0.02)
                assert (ready.status_code, "unseal it" in ready.json()["signingWaits"]) == (200, True)
                assert (await client.log(TENANT_LOG))["size"] < durable
                assert "cloister_audit_waiting_logs 0.0" not in (await http.get("/metrics")).text
                with pytest.raises(AuditUnavailable):  # a new log has no first checkpoint: it is not made
                    await service.tenant_log(client, "tenant-00000000-2f5f-4a53-9e0f-0d8a4c4f3a11", "globex-bio")
        finally:
            server.root.sys.submit_unseal_key(server.unseal_key)
        await service.signed(TENANT_LOG, durable)
        async with service.http(None) as http:
            assert "signingWaits" not in (await http.get("/readyz")).json()


async def test_a_service_that_starts_without_vault_says_what_to_do_and_is_ready_once_it_is_there(
    settings: Settings, postgres: Postgres, server: Vault
) -> None:
    with_vault = in_vault(settings, server, files=True)  # files are no way around Vault
    async with running(with_vault, postgres) as service:
        await until_writer(service)
        durable = await grown(service)
        await service.signed(TENANT_LOG, durable)
    server.root.sys.seal()
    try:
        async with running(with_vault, postgres) as service:
            async with service.http(None) as http, service.client(pod="pod-2") as client:
                for _ in range(1500):
                    ready = await http.get("/readyz")
                    if "cannot be unsealed" in ready.json()["keys"]:
                        break
                    await asyncio.sleep(0.02)
                assert (ready.status_code, "unseal it" in ready.json()["keys"]) == (503, True)
                with pytest.raises(AuditUnavailable):
                    await client.append(TENANT_LOG, [draft()])
                await asyncio.to_thread(server.root.sys.submit_unseal_key, server.unseal_key)
                await until_writer(service)
                assert (await http.get("/readyz")).json()["keys"] == "ok"
                await client.append(TENANT_LOG, [draft()])
            await service.signed(TENANT_LOG, durable + 1)
    finally:
        server.root.sys.submit_unseal_key(server.unseal_key)


async def test_a_rotation_in_vault_changes_nothing_until_it_is_announced_and_then_both_keys_are_new(
    settings: Settings, postgres: Postgres, server: Vault
) -> None:
    async with running(in_vault(settings, server), postgres) as service:
        await until_writer(service)
        await service.signed(TENANT_LOG, await grown(service))
        async with service.client() as client:
            old = (await client.log(TENANT_LOG))["keys"]
        server.root.secrets.transit.rotate_key(SIGNING)
        await service.signed(TENANT_LOG, await grown(service))
        async with service.client() as client:
            assert (await client.log(TENANT_LOG))["keys"] == old
    async with running(in_vault(settings, server, next_key_version=2), postgres) as service:
        await until_writer(service)
        async with service.client(pod="pod-2") as client:
            new = await other_keys(client, old)
            await client.append(TENANT_LOG, [draft()])
            await service.signed(TENANT_LOG, (await client.log(TENANT_LOG))["durable"])
    async with running(in_vault(settings, server, key_version=2), postgres) as service:  # the old ones are retired
        await until_writer(service)
        await service.signed(TENANT_LOG, await grown(service))
        async with service.client() as client:
            assert (await client.log(TENANT_LOG))["keys"] == new
            data = await client.export(TENANT_LOG)
    assert not set(old) & set(new)
    for keys in (old, old[:1], old[1:], new):
        assert verify_bundle(data, keys).problems == []


async def test_what_vault_cannot_do_is_said(server: Vault) -> None:
    transit = Transit(keys_at(server))
    with pytest.raises(TransitError, match="no version 99"):
        await TransitKey(transit, 99).public()
    other = keys_at(server, signing_key="cloister-x")
    with pytest.raises(TransitError, match=r"(?s)permission denied.*vault-audit-policy"):
        await TransitKey(Transit(other), 1).public()
    nowhere = keys_at(server, address="http://127.0.0.1:9")
    with pytest.raises(TransitError, match=r"127\.0\.0\.1"):
        await TransitKey(Transit(nowhere), 1).sign(b"x")


async def test_what_was_sealed_opens_for_its_purpose_only(server: Vault) -> None:
    sealer = TransitSealer(Transit(keys_at(server)))
    sealed = await sealer.seal(b"a key", "test.example/audit/sealing/1")
    assert await sealer.unseal(sealed, "test.example/audit/sealing/1") == b"a key"
    for purpose in ("test.example/audit/sealing/2", "other.example/audit/sealing/1"):
        with pytest.raises(OtherSealError, match=r"(?s)does not open.*backup"):
            await sealer.unseal(sealed, purpose)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("write", f"transit/keys/{SIGNING}/rotate"),
        ("write", f"transit/keys/{SIGNING}/config"),
        ("write", f"transit/keys/{SEALING}/config"),
        ("write", "transit/keys/cloister-audit-more"),
        ("write", f"transit/encrypt/{SIGNING}"),
        ("write", f"transit/sign/{SEALING}"),
        ("write", "transit/decrypt/cloister-x"),
        ("read", f"transit/export/encryption-key/{SEALING}"),
        ("read", f"transit/export/signing-key/{SIGNING}"),
        ("read", f"transit/backup/{SEALING}"),
        ("read", f"transit/keys/{SEALING}"),
        ("delete", f"transit/keys/{SEALING}"),
    ],
)
async def test_the_charts_policy_lets_it_use_its_two_keys_and_nothing_else(
    server: Vault, method: str, path: str
) -> None:
    def question(client) -> object:
        if method == "write":
            return client.write_data(path, data={"deletion_allowed": True, "exportable": True, "ciphertext": "x"})
        return client.read(path) if method == "read" else client.delete(path)

    with pytest.raises(TransitError) as caught:
        await Transit(keys_at(server)).ask(question)
    assert isinstance(caught.value.__cause__, Forbidden)


def test_this_vault_has_no_post_quantum_signatures_so_those_keys_are_sealed_by_it(server: Vault) -> None:
    kind = {"type": "ml-dsa", "parameter_set": "44"}
    with pytest.raises((InvalidRequest, InternalServerError), match=r"(?i)type|enterprise"):
        server.root.write_data(f"transit/keys/pq-{time.time_ns()}", data=kind)
