"""clients.postgres against a real server under the image's entry point."""

import asyncio
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from tenant_operator.api.reasons import Reason
from tenant_operator.clients import scram
from tenant_operator.clients.postgres import Address, Postgres
from tenant_operator.errors import Refused, Retryable
from tenant_operator.stack import database
from tenant_operator.stack.derive import Deriver
from tenant_operator.stack.part import External, ExternalKey
from tests.support.postgres_server import PostgresServer, free_port, give, make_template
from tests.support.tenant_context import tenant_context


@pytest.fixture(scope="module")
def server():
    folder = give(Path(tempfile.mkdtemp(prefix="cloister-template-")))
    server = PostgresServer(tenant_context(), make_template(folder))
    server.start()
    yield server
    server.remove()
    shutil.rmtree(folder)


@pytest.fixture
async def client(server):
    client = Postgres(lambda _: Address("localhost", server.port, "127.0.0.1"))
    yield client
    await client.close()


def externals(ctx):
    return [one for one in database.desired(ctx) if isinstance(one, External)]


def role(ctx, name):
    return next(one for one in externals(ctx) if one.key.name == name and one.key.kind == "role")


async def ensure_all(client, ctx):
    for wanted in externals(ctx):
        seen = await client.observe(ctx, wanted)
        if seen != wanted.spec:
            await client.ensure(ctx, wanted, seen)


async def test_everything_desired_is_made_and_then_seen_as_desired(client, server):
    ctx = server.ctx
    assert [await client.observe(ctx, wanted) for wanted in externals(ctx)] == [None] * 5
    for wanted in externals(ctx):
        assert await client.ensure(ctx, wanted, None) == "create"
    for wanted in externals(ctx):
        assert await client.observe(ctx, wanted) == dict(wanted.spec)
        assert not await client.is_absent(ctx, wanted.key)
        assert await client.ensure(ctx, wanted, None) == "update"
    log = server.log.read_text()
    assert "CREATE" not in log
    assert not any(wanted.secret.get("password", "none") in log for wanted in externals(ctx))


async def test_a_role_logs_in_with_its_derived_password_and_reaches_the_app_database_only(client, server):
    await ensure_all(client, server.ctx)
    login = {
        "host": "localhost", "hostaddr": "127.0.0.1", "port": server.port, "user": "app", "sslmode": "verify-full",
        "sslrootcert": str(server.root / "tls/ca.crt"), "password": role(server.ctx, "app").secret["password"],
    }  # fmt: skip
    with psycopg.connect(**login, dbname="app") as db:
        assert db.execute("SELECT current_user").fetchone() == ("app",)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            db.execute("CREATE TABLE public.x (n int)")
    with pytest.raises(psycopg.OperationalError, match="pg_hba"):
        psycopg.connect(**login, dbname="postgres")


async def test_another_epoch_is_a_rotation_and_the_old_password_ends(client, server):
    ctx = server.ctx
    await ensure_all(client, ctx)
    old = role(ctx, "app")
    new = replace(
        old, spec={**old.spec, "passwordEpoch": 1}, secret={"password": ctx.derive.password(ctx.names.id, "app", 1)}
    )
    assert (await client.observe(ctx, new))["passwordEpoch"] == -1
    assert await client.ensure(ctx, new, None) == "rotate"
    assert await client.observe(ctx, new) == dict(new.spec)
    assert (await client.observe(ctx, old))["passwordEpoch"] == -1
    await client.ensure(ctx, old, None)


async def test_rights_given_by_hand_are_seen_and_taken_back(client, server):
    ctx = server.ctx
    await ensure_all(client, ctx)
    connection = await client._connect(ctx)
    await connection.execute("ALTER ROLE app SUPERUSER")
    await connection.execute("GRANT pg_read_all_data TO app")
    await connection.execute("GRANT CONNECT ON DATABASE app TO PUBLIC")
    await connection.close()
    seen = await client.observe(ctx, role(ctx, "app"))
    assert (seen["superuser"], seen["memberOf"]) == (True, ["pg_read_all_data"])
    await ensure_all(client, ctx)
    for wanted in externals(ctx):
        assert await client.observe(ctx, wanted) == dict(wanted.spec)


async def test_concurrent_calls_share_one_connection(client, server):
    await ensure_all(client, server.ctx)
    seen = await asyncio.gather(*(client.observe(server.ctx, wanted) for wanted in externals(server.ctx) * 4))
    assert all(seen)
    assert len(client._idle) == 1


async def test_a_connection_that_broke_in_between_is_not_noticed(client, server):
    await ensure_all(client, server.ctx)
    ((kept, _),) = client._idle.values()
    other = await client._connect(server.ctx)
    await other.execute("SELECT pg_terminate_backend(%s)", (kept.info.backend_pid,))
    await other.close()
    assert await client.observe(server.ctx, role(server.ctx, "app"))


async def test_a_database_without_its_owner_waits(client, server):
    wanted = External(
        ExternalKey("postgres", "database", "x"), {"owner": "nobody", "publicConnect": False, "connect": []}, 0
    )
    with pytest.raises(Retryable) as caught:
        await client.ensure(server.ctx, wanted, None)
    assert caught.value.reason is Reason.WAITING


async def test_deleted_is_absent_and_deleting_again_is_fine(client, server):
    ctx = server.ctx
    await ensure_all(client, ctx)
    for key in [one.key for one in reversed(externals(ctx))]:
        await client.delete(ctx, key)
        await client.delete(ctx, key)
        assert await client.is_absent(ctx, key)


async def test_a_server_that_is_not_there_is_worth_a_retry(server):
    client = Postgres(lambda _: Address("localhost", free_port(), "127.0.0.1"))
    with pytest.raises(Retryable) as caught:
        await client.observe(server.ctx, role(server.ctx, "app"))
    assert caught.value.reason is Reason.DATABASE_UNREACHABLE
    await client.close()


@pytest.mark.parametrize("what", ["another installation's CA", "another password"])
async def test_a_server_that_is_not_ours_is_not_believed(server, what):
    ctx = server.ctx
    other = Deriver(b"t" * 32, ctx.derive.created)
    if what == "another password":
        other = type("Mixed", (), {"ca": ctx.derive.ca, "password": other.password})()
    client = Postgres(lambda _: Address("localhost", server.port, "127.0.0.1"))
    with pytest.raises(Retryable) as caught:
        await client.observe(replace(ctx, derive=other), role(ctx, "app"))
    assert caught.value.reason is Reason.DATABASE_REFUSED
    await client.close()


async def test_an_unknown_kind_is_refused(client, server):
    with pytest.raises(Refused):
        await client.observe(server.ctx, External(ExternalKey("postgres", "tablespace", "x"), {}, 0))


def test_a_verifier_is_what_the_rfc_says():
    salt = b"W22ZaJ0SNY7soEsUEjb6gQ=="  # RFC 7677 section 3: user, pencil, 4096
    import base64

    text = scram.verifier("pencil", base64.b64decode(salt))
    assert text.startswith(f"SCRAM-SHA-256$4096:{salt.decode()}$")
    assert scram.matches("pencil", text)
    assert not scram.matches("pen", text)
    assert not scram.matches("pencil", None)
    assert not scram.matches("pencil", "md5abc")
