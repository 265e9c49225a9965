"""Keys that the service must hold itself: sealed by a real Vault, in no file, table or log, and taken over from files in the open."""

import asyncio
import base64
import logging
import subprocess
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from pydantic import ValidationError

from audit_contract.__main__ import main as verifier
from audit_contract.client import AuditClient
from audit_contract.entry import Reason
from audit_contract.note import parse
from audit_contract.report import Exit
from audit_contract.verify import verify_bundle
from audit_service import keyring
from audit_service.settings import Settings
from audit_service.store.connect import arguments
from audit_service.worm.command import run
from tests.audit_service.copies import REGION, CopyBucket, copied, make_bucket
from tests.audit_service.postgres import BIN, PASSWORD, Postgres
from tests.audit_service.service import TENANT_LOG, Service, draft, migrated, running, until_writer
from tests.audit_service.test_rotation import until_keys, vkeys, write
from tests.audit_service.vaults import SEALING, audit_vault, in_vault, keys_in, other_keys
from tests.support.object_store import ObjectStore, needs_store
from tests.support.tenant_context import tenant_context
from tests.tenant_app.support.vault import Vault, binary

pytestmark = pytest.mark.skipif(binary() is None, reason="no vault: `make up` compiles one")
OTHER = "tenant-7d1c7ef0-27b5-4b41-9f8e-0d5b1c7f2b22"
WHY = "a reason that is sealed"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    with audit_vault(tmp_path_factory.mktemp("vault")) as found:
        yield found


def dump(settings: Settings) -> bytes:
    """Everything in the database, as whoever steals a backup of it has it."""
    database = settings.database
    command = [BIN / "pg_dump", "-h", "127.0.0.1", "-p", str(database.port), "-U", "postgres", database.name]
    return subprocess.run(command, env={"PGPASSWORD": PASSWORD}, check=True, capture_output=True).stdout


def forms(secret: bytes) -> list[bytes]:
    """The ways in which 32 bytes may be written down."""
    texts = [base64.b64encode(secret), base64.urlsafe_b64encode(secret)]
    return [secret, *(text.rstrip(b"=") for text in texts), secret.hex().encode()]


def secrets_of(service: Service) -> list[bytes]:
    """The private keys that the service has in memory."""
    keys = service.state.books.keyring
    ml_dsa44 = [each.ml_dsa44.private_bytes_raw() for each in keys.lasting if each.ml_dsa44 is not None]
    return [*ml_dsa44, *keys.sealing]


def offline(bundle: Path, *keys: str) -> int:
    """What `cloister-verify` says of a bundle to whoever has these keys."""
    return verifier(["bundle", str(bundle), *(part for key in keys for part in ("--key", key))])


async def values(client: AuditClient) -> list[str]:
    rows = await client.entries(TENANT_LOG, limit=100)
    return [value["value"] for row in rows for value in row["values"].values()]


async def signed_by(client: AuditClient) -> int:
    return len(parse((await client.log(TENANT_LOG))["checkpoint"].encode()).signatures)


async def ready(service: Service) -> dict:
    async with service.http(None) as http:
        return (await http.get("/readyz")).json()


async def test_no_private_key_is_in_the_database_a_log_line_or_the_settings_and_a_restart_signs_with_the_same(
    settings: Settings, postgres: Postgres, server: Vault, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    with_vault = in_vault(settings, server)
    async with running(with_vault, postgres) as service:
        await until_writer(service)
        async with service.client() as client:
            await write(service, client)
            before = (await client.log(TENANT_LOG))["keys"]
            await client.append(TENANT_LOG, [draft(reason=Reason(code="X", text=WHY))])
        secrets = secrets_of(service)
        assert len({bytes(each) for each in secrets}) == 2
    written = dump(settings)
    assert written.count(b"vault:v1:") == 2
    for text in (written, caplog.text.encode(), with_vault.model_dump_json().encode()):
        assert not [each for secret in secrets for each in forms(secret) if each in text]
    async with running(with_vault, postgres) as service:
        await until_writer(service)
        assert secrets_of(service) == secrets
        async with service.client(pod="pod-2") as client:
            await write(service, client)
            assert (await client.log(TENANT_LOG))["keys"] == before
            assert WHY in await values(client)
            (tmp_path / "bundle.tar").write_bytes(await client.export(TENANT_LOG))
    assert offline(tmp_path / "bundle.tar", *before) == Exit.OK


async def test_an_installation_with_key_files_announces_vaults_keys_and_needs_the_files_no_more(
    settings: Settings, postgres: Postgres, server: Vault, tmp_path: Path
) -> None:
    async with running(settings, postgres) as service:
        await until_writer(service)
        async with service.client() as client:
            await write(service, client)
            await client.append(TENANT_LOG, [draft(reason=Reason(code="X", text=WHY))])
    old = vkeys(settings)
    files = tmp_path / "keys"
    keyring.generate(files)
    for file in files.iterdir():
        file.write_bytes((settings.keys.ed25519_file.parent / file.name).read_bytes())
    moving = in_vault(settings.model_copy(update={"keys": keys_in(settings, files)}), server, files=True)
    async with running(moving, postgres) as service:
        await until_writer(service)
        async with service.client(pod="pod-2") as client:
            new = await other_keys(client, old)
            await write(service, client)
            assert await signed_by(client) == 4  # both, as long as the files are there
            await service.tenant_log(client, OTHER, "other")
            assert (await client.log(OTHER))["keys"][0].split("+")[1:] != old[0].split("+")[1:]
            await until_keys_platform(client, old)
            assert (await ready(service))["keyFiles"].startswith("not needed")
            for file in files.iterdir():
                file.unlink()
            for _ in range(1500):
                if not service.state.books.keyring.before:
                    break
                await asyncio.sleep(0.02)
            await write(service, client)
            assert await signed_by(client) == 2
            assert "keyFiles" not in await ready(service)
    gone = in_vault(settings, server)
    async with running(gone, postgres) as service:
        await until_writer(service)
        async with service.client(pod="pod-3") as client:
            await write(service, client)
            assert (await client.log(TENANT_LOG))["keys"] == new
            assert WHY in await values(client)  # sealed by the key that was in a file
            rows = await client.entries(TENANT_LOG, action="audit:key:announce")
            (tmp_path / "bundle.tar").write_bytes(await client.export(TENANT_LOG))
    assert [row["entry"]["object"]["version"] for row in rows] == ["1"]
    for keys in (old, old[:1], old[1:], new):  # whoever knows only a key from a file follows the announcement
        assert offline(tmp_path / "bundle.tar", *keys) == Exit.OK
    stranger = keyring.KeySet(Ed25519PrivateKey.generate(), MLDSA44PrivateKey.generate())
    others = [each.vkey for each in await stranger.verifiers(settings.origin(TENANT_LOG))]
    assert verify_bundle((tmp_path / "bundle.tar").read_bytes(), others).code is Exit.POLICY
    file_secrets = [settings.keys.sealing_file.read_bytes().strip()]
    assert not [each for each in file_secrets if each in dump(settings)]


async def until_keys_platform(client: AuditClient, old: list[str]) -> None:
    """Wait until the platform's log has handed over as well; its keys are the same under another name."""
    ids = {each.split("+")[2] for each in old}
    for _ in range(1500):
        if not ids & {each.split("+")[2] for each in (await client.log("platform"))["keys"]}:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the platform's log did not hand over")


async def test_an_installation_with_vaults_ed25519_and_an_ml_dsa_file_announces_the_sealed_one(
    settings: Settings, postgres: Postgres, server: Vault
) -> None:
    """What `audit.vault` was before: only the one key in Vault."""
    with_vault = in_vault(settings, server, files=True)
    async with running(with_vault, postgres) as service:
        await until_writer(service)
    origin = settings.origin(TENANT_LOG)
    async with running(with_vault, postgres) as service:
        await until_writer(service)
        keys = service.state.books.keyring
        former = keyring.KeySet(keys.current.ed25519, keyring.load_ml_dsa44(settings.keys.ml_dsa44_file))
        assert [each.vkey for each in await former.verifiers(origin)] in await service.state.books.at_hand(
            origin, keys.before
        )
        current = [each.vkey for each in await keys.current.verifiers(origin)]
        async with service.client() as client:
            await service.tenant_log(client)
            connection = await superuser(settings)
            await connection.execute(  # as if the log had begun with the former keys
                "UPDATE generation SET vkeys = $2 WHERE number = 0 AND log = (SELECT number FROM log WHERE name = $1)",
                TENANT_LOG,
                [each.vkey for each in await former.verifiers(origin)],
            )
            await connection.close()
    async with running(with_vault, postgres) as service:
        await until_writer(service)
        async with service.client(pod="pod-2") as client:
            await until_keys(client, current)
            await write(service, client)
            assert await signed_by(client) == 4  # and the one from the file, and the file's own Ed25519


async def superuser(settings: Settings) -> asyncpg.Connection:
    return await asyncpg.connect(**arguments(settings.database, settings.database.name, settings.database.admin))


async def test_values_whose_key_is_lost_are_not_written_over(
    settings: Settings, postgres: Postgres, server: Vault
) -> None:
    with_vault = in_vault(settings, server)
    async with running(with_vault, postgres) as service:
        await until_writer(service)
        async with service.client() as client:
            await write(service, client)
    connection = await superuser(settings)
    await connection.execute("DELETE FROM held_key")
    await connection.close()
    async with running(with_vault, postgres) as service:
        for _ in range(1500):
            said = await ready(service)
            if "held_key" in said["keys"]:
                break
            await asyncio.sleep(0.02)
        assert (said["ready"], "not at hand" in said["keys"]) == (False, True)
        assert dump(settings).count(b"vault:v1:") == 0


async def test_the_services_role_can_add_keys_and_not_change_or_remove_them(
    settings: Settings, postgres: Postgres, server: Vault
) -> None:
    async with running(in_vault(settings, server), postgres) as service:
        await until_writer(service)
        for statement in ("DELETE FROM held_key", "UPDATE held_key SET sealed = 'vault:v1:x'"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await service.pool.execute(statement)


async def test_keys_sealed_by_another_vault_do_not_open_and_that_is_said(
    settings: Settings, postgres: Postgres, server: Vault, tmp_path: Path
) -> None:
    async with running(in_vault(settings, server), postgres) as service:
        await until_writer(service)
    with audit_vault(tmp_path / "vault") as another:
        async with running(in_vault(settings, another), postgres) as service:
            for _ in range(1500):
                said = (await ready(service))["keys"]
                if "does not open" in said:
                    break
                await asyncio.sleep(0.02)
            assert SEALING in said
            assert "restore Vault from its backup" in said
            assert not service.state.writer.is_writer


def test_files_to_rotate_to_are_refused_where_the_keys_are_in_vault(settings: Settings, server: Vault) -> None:
    keys = settings.keys.model_copy(update={"next_folder": Path("/next")})
    facts = {**in_vault(settings, server).model_dump(), "keys": keys.model_dump()}
    with pytest.raises(ValidationError, match=r"vault\.nextKeyVersion"):
        Settings.model_validate(facts)


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    store = ObjectStore(tenant_context()).start()
    yield store
    store.remove()


@needs_store
async def test_a_lost_database_comes_back_from_the_copy_and_vault_alone(
    settings: Settings, postgres: Postgres, server: Vault, store: ObjectStore, tmp_path: Path
) -> None:
    bucket: CopyBucket = make_bucket(store, tmp_path)
    async with running(bucket.settings(settings), postgres) as service:  # with files at first
        await until_writer(service)
        async with service.client() as client:
            await write(service, client, 300)
            await client.append(TENANT_LOG, [draft(reason=Reason(code="X", text=WHY))])
    async with running(bucket.settings(in_vault(settings, server, files=True)), postgres) as service:
        await until_writer(service)
        async with service.client(pod="pod-2") as client:
            await until_keys_platform(client, vkeys(settings))
            # The checkpoint by which the keys in the files handed over is theirs. Vault's have signed the copy from the next on.
            handed_over = (await client.log("platform"))["durable"]
            await other_keys(client, vkeys(settings))
            await write(service, client)
            await service.signed("platform", handed_over + 1)
            for log in (TENANT_LOG, "platform"):
                await copied(service, log, (await client.log(log))["durable"])
            before = await client.log(TENANT_LOG)
        secrets = secrets_of(service)
    with_vault = bucket.settings(in_vault(settings, server))
    empty = with_vault.model_copy(
        update={"database": settings.database.model_copy(update={"name": f"audit_{uuid4().hex[:12]}"})}
    )
    await migrated(empty)
    async with running(empty, postgres) as service:  # it must be restored first; keys made now would be in the way
        for _ in range(1500):
            if "docs/runbooks/audit-restore.md" in (said := (await ready(service))["guard"]):
                break
            await asyncio.sleep(0.02)
        assert "docs/runbooks/audit-restore.md" in said
    assert dump(empty).count(b"vault:v1:") == 0
    chosen = Namespace(origin=REGION, log=[], all=True, check=True, key=[])
    assert await run(empty, chosen) == 0
    chosen.check = False
    assert await run(empty, chosen) == 0
    async with running(empty, postgres) as service:
        await until_writer(service)
        async with service.client(pod="pod-3") as client:
            assert (await client.log(TENANT_LOG))["root"] == before["root"]
            assert WHY in await values_all(client)
            assert (await client.log(TENANT_LOG))["keys"] == before["keys"]
            await write(service, client)
            data = await client.export(TENANT_LOG)
    for keys in (vkeys(settings), before["keys"]):
        assert verify_bundle(data, keys).problems == []
    names = bucket.bucket.first_versions("")
    kept = b"".join(bucket.bucket.read(name, version) for name, version in names.items())
    assert b"vault:v1:" in kept
    assert not [each for secret in secrets for each in forms(secret) if each in kept + dump(empty)]


async def values_all(client: AuditClient) -> list[str]:
    rows = await client.entries(TENANT_LOG, limit=100, order="newest")
    return [value["value"] for row in rows for value in row["values"].values()]
