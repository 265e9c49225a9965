"""The Ed25519 key stays in Vault: a real Vault signs, and while it is away entries stay durable and wait."""

import asyncio
import base64
import time
from collections.abc import Iterator

import pytest
from hvac.exceptions import InternalServerError, InvalidRequest

from audit_contract.client import AuditUnavailable
from audit_contract.keys import KeyType, parse_vkey
from audit_contract.verify import verify_bundle
from audit_service import keyring
from audit_service.settings import Settings, VaultSigning
from audit_service.transit import TransitError, TransitKey
from tests.audit_service.postgres import Postgres
from tests.audit_service.service import TENANT_LOG, Service, draft, running, until_writer
from tests.tenant_app.support.vault import Vault, binary, vault

pytestmark = pytest.mark.skipif(binary() is None, reason="no vault: `make up` compiles one")
KEY = "cloister-x-signing"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    with vault(tmp_path_factory.mktemp("vault")) as found:
        found.root.sys.create_or_update_policy(
            "audit",
            f'path "transit/sign/{KEY}" {{ capabilities = ["update"] }}\npath "transit/keys/{KEY}" {{ capabilities = ["read"] }}',
        )
        found.root.write_data(
            "auth/jwt/role/audit",
            data={
                "role_type": "jwt", "user_claim": "sub", "bound_audiences": ["vault"], "token_policies": ["audit"],
                "bound_subject": "system:serviceaccount:tenant-x:app", "token_ttl": 3, "token_max_ttl": 3,
            },
        )  # fmt: skip
        yield found


def signing(server: Vault, **more: object) -> VaultSigning:
    return VaultSigning(address=server.address, role="audit", token_file=server.token_file, signing_key=KEY, **more)


async def grown(service: Service, count: int = 2) -> int:
    async with service.client() as client:
        await service.tenant_log(client)
        await client.append(TENANT_LOG, [draft() for _ in range(count)])
        durable: int = (await client.log(TENANT_LOG))["durable"]
        return durable


async def test_checkpoints_are_signed_by_vault_and_a_lost_login_is_made_again(
    settings: Settings, postgres: Postgres, server: Vault
) -> None:
    with_vault = settings.model_copy(update={"vault": signing(server)})
    async with running(with_vault, postgres) as service:
        await until_writer(service)
        await service.signed(TENANT_LOG, await grown(service))
        server.write_token()
        await asyncio.sleep(3.5)  # longer than the login lives
        await service.signed(TENANT_LOG, await grown(service))
        async with service.client() as client:
            keys = (await client.log(TENANT_LOG))["keys"]
            report = verify_bundle(await client.export(TENANT_LOG), keys)
    assert (report.problems, len(report.signed_by)) == ([], 2)
    public = server.root.secrets.transit.read_key(KEY)["data"]["keys"]["1"]["public_key"]
    first = parse_vkey(keys[0])
    assert first.kind is KeyType.ED25519
    assert base64.b64decode(public) == first.key.public_bytes_raw()


async def test_while_vault_is_sealed_entries_are_durable_wait_for_their_signature_and_get_it(
    settings: Settings, postgres: Postgres, server: Vault
) -> None:
    with_vault = settings.model_copy(update={"vault": signing(server)})
    async with running(with_vault, postgres) as service:
        await until_writer(service)
        await service.signed(TENANT_LOG, await grown(service))
        server.root.sys.seal()
        try:
            durable = await grown(service)
            async with service.http(None) as http, service.client() as client:
                for _ in range(300):
                    ready = await http.get("/readyz")
                    if "signingWaits" in ready.json():
                        break
                    await asyncio.sleep(0.02)
                assert (ready.status_code, "vault at" in ready.json()["signingWaits"]) == (200, True)
                assert (await client.log(TENANT_LOG))["size"] < durable
                assert "cloister_audit_waiting_logs 0.0" not in (await http.get("/metrics")).text
                with pytest.raises(AuditUnavailable):  # a new log has no first checkpoint: it is not made
                    await service.tenant_log(client, "tenant-00000000-2f5f-4a53-9e0f-0d8a4c4f3a11", "globex-bio")
        finally:
            server.root.sys.submit_unseal_key(server.unseal_key)
        await service.signed(TENANT_LOG, durable)
        async with service.http(None) as http:
            assert "signingWaits" not in (await http.get("/readyz")).json()


async def test_a_service_that_starts_without_vault_takes_entries_and_signs_them_later(
    settings: Settings, postgres: Postgres, server: Vault
) -> None:
    with_vault = settings.model_copy(update={"vault": signing(server)})
    async with running(with_vault, postgres) as service:
        await until_writer(service)
        await service.signed(TENANT_LOG, await grown(service))
    server.root.sys.seal()
    try:
        async with running(with_vault, postgres) as service:
            await until_writer(service)
            async with service.client(pod="pod-2") as client:
                await client.append(TENANT_LOG, [draft()])
                durable = (await client.log(TENANT_LOG))["durable"]
            await asyncio.to_thread(server.root.sys.submit_unseal_key, server.unseal_key)
            await service.signed(TENANT_LOG, durable)
    finally:
        server.root.sys.submit_unseal_key(server.unseal_key)


async def test_a_rotation_in_vault_changes_nothing_until_it_is_announced(
    settings: Settings, postgres: Postgres, server: Vault
) -> None:
    before = settings.model_copy(update={"vault": signing(server)})
    async with running(before, postgres) as service:
        await until_writer(service)
        await service.signed(TENANT_LOG, await grown(service))
        async with service.client() as client:
            old = (await client.log(TENANT_LOG))["keys"]
        server.root.secrets.transit.rotate_key(KEY)
        await service.signed(TENANT_LOG, await grown(service))
        async with service.client() as client:
            assert (await client.log(TENANT_LOG))["keys"] == old
    announcing = settings.model_copy(update={"vault": signing(server, next_key_version=2)})
    async with running(announcing, postgres) as service:
        await until_writer(service)
        async with service.client(pod="pod-2") as client:
            for _ in range(500):
                new = (await client.log(TENANT_LOG))["keys"]
                if new != old:
                    break
                await asyncio.sleep(0.02)
            await client.append(TENANT_LOG, [draft()])
            await service.signed(TENANT_LOG, (await client.log(TENANT_LOG))["durable"])
            data = await client.export(TENANT_LOG)
    assert (new[0] != old[0], new[1] == old[1]) == (True, True)
    for keys in (old, new):
        assert verify_bundle(data, keys).problems == []


async def test_what_vault_cannot_do_is_said(server: Vault, settings: Settings) -> None:
    with pytest.raises(TransitError, match="no version 99"):
        await TransitKey(signing(server), 99).public()
    other = signing(server).model_copy(update={"signing_key": "cloister-x"})
    with pytest.raises(TransitError, match="permission denied"):
        await TransitKey(other, 1).public()
    nowhere = signing(server).model_copy(update={"address": "http://127.0.0.1:9"})
    with pytest.raises(TransitError, match=r"127\.0\.0\.1"):
        await TransitKey(nowhere, 1).sign(b"x")
    assert keyring.load(settings.keys, signing(server)).following is None


def test_this_vault_has_no_post_quantum_signatures_so_that_key_stays_a_file(server: Vault) -> None:
    kind = {"type": "ml-dsa", "parameter_set": "44"}
    with pytest.raises((InvalidRequest, InternalServerError), match=r"(?i)type|enterprise"):
        server.root.write_data(f"transit/keys/pq-{time.time_ns()}", data=kind)
