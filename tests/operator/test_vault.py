"""The Vault client against a real Vault: keys made once, least rights, every trouble with its name, and proved destruction."""

import asyncio
import os
import shutil
import socket
import subprocess
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import hvac
import jwt
import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tenant_operator.api.reasons import Reason
from tenant_operator.clients.vault import Vault
from tenant_operator.clients.vault_client import VaultAccess
from tenant_operator.errors import Refused, Retryable
from tenant_operator.stack import keys
from tenant_operator.stack.part import External, ExternalKey, Observed
from tests.support.tenant_context import tenant_context

ROOT = Path(__file__).parents[2]
OTHER = "0b0b0b0b-52a4-4f06-9c57-1f6b0f5c2a11"
OPERATOR = "system:serviceaccount:cloister-system:cloister-operator"


def _binary() -> str:
    home = Path(os.environ.get("CLOISTER_CACHE") or Path.home() / ".cache/cloister")
    built = sorted(path for path in home.glob("bin/vault-*/vault") if os.access(path, os.X_OK))
    found = str(built[-1]) if built else shutil.which("vault")
    assert found, f"no vault under {home} nor on the PATH: run `make unit`, it builds one"
    return found


class Server:
    """A Vault in memory with the JWT login and the transit engine, as a platform team sets it up."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        command = [_binary(), "server", "-dev", "-dev-root-token-id=root", f"-dev-listen-address=127.0.0.1:{port}"]
        environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
        self.log = (folder / "vault.log").open("w+")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, env=environment)
        self.root = hvac.Client(url=self.address, token="root")
        self._wait()
        self._set_up()

    def _wait(self) -> None:
        for _ in range(600):
            try:
                if self.root.sys.is_initialized() and not self.root.sys.is_sealed():
                    return
            except requests.RequestException:
                time.sleep(0.1)
            else:
                time.sleep(0.05)
        raise AssertionError((self.folder / "vault.log").read_text())

    def _set_up(self) -> None:
        public = self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.root.sys.enable_secrets_engine("transit")
        self.root.sys.enable_auth_method("jwt")
        self.root.adapter.post("/v1/auth/jwt/config", json={"jwt_validation_pubkeys": [public.decode()]})
        rules = (ROOT / "charts/cloister/files/vault-operator-policy.hcl").read_text()
        self.root.sys.create_or_update_acl_policy("cloister-operator", rules)
        role = {
            "role_type": "jwt", "user_claim": "sub", "bound_audiences": ["vault"], "bound_subject": OPERATOR,
            "token_policies": ["cloister-operator"], "token_no_default_policy": True, "token_ttl": 600,
        }  # fmt: skip
        self.root.adapter.post("/v1/auth/jwt/role/cloister-operator", json=role)

    def token(self, subject: str, audience: str = "vault") -> str:
        now = int(time.time())
        claims = {"sub": subject, "aud": [audience], "iat": now, "nbf": now - 5, "exp": now + 600}
        return jwt.encode(claims, self.key, algorithm="ES256")

    def access(self, subject: str = OPERATOR, role: str = "cloister-operator") -> VaultAccess:
        file = self.folder / f"token-{len(list(self.folder.iterdir()))}"
        file.write_text(self.token(subject) + "\n")
        return VaultAccess(self.address, role=role, token_file=file)

    def unseal_key(self) -> str:
        self.log.flush()
        text = (self.folder / "vault.log").read_text()
        return next(line.split(": ")[1] for line in text.splitlines() if line.startswith("Unseal Key"))

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)
        self.log.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = Server(tmp_path_factory.mktemp("vault"))
    yield made
    made.stop()


def vault_for(access: VaultAccess) -> Vault:
    async def access_for(_ctx):
        return access

    return Vault(access_for)


@pytest.fixture
def vault(server):
    made = vault_for(server.access())
    yield made
    made.close()


@pytest.fixture
def ctx(request):
    """A tenant of its own for each test."""
    identity = f"{abs(hash(request.node.name)) % 16**8:08x}-52a4-4f06-9c57-1f6b0f5c2a11"
    return tenant_context("acme-pharma", identity, now=datetime.now(UTC))


async def make(vault, ctx) -> Observed:
    seen = {}
    for wanted in keys.desired(ctx):
        state = await vault.observe(ctx, wanted)
        if state is None or any(state.get(name) != value for name, value in wanted.spec.items()):
            await vault.ensure(ctx, wanted, state)
        seen[wanted.key] = await vault.observe(ctx, wanted)
    return Observed(external=seen)


def latest(server, name: str) -> int:
    return server.root.adapter.get(f"/v1/transit/keys/{name}")["data"]["latest_version"]


async def test_everything_desired_is_made_as_specified_and_only_once(server, vault, ctx):
    for _ in range(3):
        seen = await make(vault, ctx)
    for wanted in keys.desired(ctx):
        state = seen.external[wanted.key]
        assert {name: state[name] for name in wanted.spec} == dict(wanted.spec)
    (finding,) = keys.checks(ctx, seen)
    assert (finding.status, finding.reason) == ("True", Reason.KEY_PRESENT)
    assert ctx.names.transit_key in finding.message
    assert "version 1" in finding.message
    assert keys.keys_ready(ctx, seen)
    assert latest(server, ctx.names.transit_key) == 1
    assert all(line.holds for line in keys.proof(ctx, seen))
    assert {item.region for item in keys.inventory(ctx, seen)} == {ctx.spec.region}


async def test_twenty_creations_at_once_make_one_key_of_one_version(server, vault, ctx):
    wanted = keys.desired(ctx)[0]
    await asyncio.gather(*(vault.ensure(ctx, wanted, None) for _ in range(20)))
    assert await vault.list_keys(ctx, ctx.names.transit_key) == [ctx.names.transit_key]
    assert latest(server, ctx.names.transit_key) == 1


@pytest.mark.parametrize("lost", ["create key", "configure key", "rotate key"])
async def test_a_lost_reply_changes_nothing_about_the_end(server, vault, ctx, lost, monkeypatch):
    ctx = replace(ctx, now=ctx.now + timedelta(days=91)) if lost == "rotate key" else ctx
    wanted = keys.desired(ctx)[0]
    client = await vault.client(ctx)
    real, dropped = client.call, []

    async def losing(what, act):
        found = await real(what, act)
        if what.startswith(lost) and not dropped:
            dropped.append(what)
            raise Retryable("the reply was lost", reason=Reason.VAULT_UNREACHABLE)
        return found

    if lost == "configure key":
        await vault.ensure(ctx, wanted, None)
        server.root.adapter.post(f"/v1/transit/keys/{ctx.names.transit_key}/config", json={"deletion_allowed": True})
    monkeypatch.setattr(client, "call", losing)
    with pytest.raises(Retryable):
        await vault.ensure(ctx, wanted, None)
    assert dropped
    ctx = replace(ctx, now=datetime.now(UTC))
    await vault.ensure(ctx, wanted, await vault.observe(ctx, wanted))
    state = await vault.observe(ctx, wanted)
    assert {name: state[name] for name in wanted.spec} == dict(wanted.spec)
    assert state["latestVersion"] == (2 if lost == "rotate key" else 1)


async def test_a_key_is_rotated_when_due_and_old_ciphertexts_still_open(vault, ctx):
    wanted = keys.desired(ctx)[0]
    await vault.ensure(ctx, wanted, None)
    sealed = await vault.encrypt(ctx, ctx.names.transit_key, b"before")
    later = replace(ctx, now=ctx.now + timedelta(days=90, seconds=5))
    state = await vault.observe(later, wanted)
    assert state["rotationDue"] is True
    assert await vault.ensure(later, wanted, state) == "rotate"
    assert (await vault.observe(ctx, wanted))["latestVersion"] == 2
    assert await vault.opens(ctx, ctx.names.transit_key, sealed)
    # The signing key stays: who holds a signature holds its public key.
    signing = keys.desired(ctx)[1]
    await vault.ensure(ctx, signing, None)
    assert (await vault.observe(later, signing))["rotationDue"] is False


async def test_a_key_of_another_type_or_one_that_can_leave_is_left_alone(server, vault, ctx):
    name = ctx.names.transit_key
    server.root.adapter.post(f"/v1/transit/keys/{name}", json={"type": "chacha20-poly1305"})
    with pytest.raises(Refused, match="exists with type chacha20-poly1305"):
        await vault.ensure(ctx, keys.desired(ctx)[0], None)
    signing = ctx.names.signing_key
    server.root.adapter.post(f"/v1/transit/keys/{signing}", json={"type": "ed25519", "exportable": True})
    with pytest.raises(Refused, match="can leave Vault"):
        await vault.ensure(ctx, keys.desired(ctx)[1], None)
    seen = {wanted.key: await vault.observe(ctx, wanted) for wanted in keys.desired(ctx)}
    complete = {key: state or {} for key, state in seen.items()}
    (finding,) = keys.checks(ctx, Observed(external=complete))
    assert (finding.status, finding.stalled) == ("False", True)


async def login(server, ctx, account: str, namespace: str = "") -> Vault:
    subject = f"system:serviceaccount:{namespace or ctx.namespace}:{account}"
    return vault_for(server.access(subject, ctx.names.vault_role(account)))


async def test_each_service_account_can_do_its_own_and_nothing_else(server, vault, ctx):
    other = tenant_context("globex-bio", OTHER, now=ctx.now)
    await make(vault, ctx)
    await make(vault, other)
    app, backup, export = [await login(server, ctx, account) for account in ("app", "backup", "export")]
    sealing, signing = ctx.names.transit_key, ctx.names.signing_key
    sealed = await app.encrypt(ctx, sealing, b"x")
    assert await app.decrypt(ctx, sealing, sealed) == b"x"
    plain, wrapped = await backup.datakey(ctx, sealing)
    assert await backup.decrypt(ctx, sealing, wrapped) == plain
    assert len(plain) == 32
    signature = await export.sign(ctx, signing, b"manifest")
    assert await app.verify(ctx, signing, b"manifest", signature)
    assert not await app.verify(ctx, signing, b"another", signature)
    assert len((await export.public_keys(ctx, signing))[1]) == 32
    assert await export.decrypt(ctx, sealing, sealed) == b"x"
    for refused in (
        app.encrypt(ctx, other.names.transit_key, b"x"),
        app.sign(ctx, other.names.signing_key, b"x"),
        app.list_keys(ctx),
        backup.encrypt(ctx, sealing, b"x"),
        backup.sign(ctx, signing, b"x"),
        export.encrypt(ctx, sealing, b"x"),
        export.datakey(ctx, sealing),
        app.delete(ctx, ExternalKey("vault", "key", sealing)),
        app.observe(ctx, keys.desired(ctx)[0]),
    ):
        with pytest.raises(Refused) as error:
            await refused
        assert error.value.reason == Reason.VAULT_REFUSED
    for one in (app, backup, export):
        one.close()


async def test_another_namespaces_account_and_another_audience_cannot_log_in(server, vault, ctx):
    await make(vault, ctx)
    for stranger in (
        await login(server, ctx, "app", "tenant-globex-bio"),
        vault_for(server.access(OPERATOR, "no-such-role")),
    ):
        with pytest.raises(Refused) as error:
            await stranger.encrypt(ctx, ctx.names.transit_key, b"x")
        assert error.value.reason == Reason.VAULT_REFUSED
        stranger.close()
    wrong = server.access()
    wrong.token_file.write_text(server.token(OPERATOR, "cloister-audit"))
    with pytest.raises(Refused):
        await vault_for(wrong).list_keys(ctx)


async def test_the_operator_cannot_read_plaintexts_nor_widen_its_own_rights(vault, ctx):
    await make(vault, ctx)
    sealed = await vault.encrypt(ctx, ctx.names.transit_key, b"secret")
    platform = External(ExternalKey("vault", "key", "cloister-platform-signing"), dict(keys.desired(ctx)[1].spec), 0)
    await vault.ensure(ctx, platform, await vault.observe(ctx, platform))
    await vault.ensure(ctx, platform, await vault.observe(ctx, platform))
    assert await vault.sign(ctx, "cloister-platform-signing", b"certificate")
    own = External(
        ExternalKey("vault", "policy", "cloister-operator"), {"rules": 'path "*" { capabilities = ["sudo"] }'}, 0
    )
    role = External(ExternalKey("vault", "role", "cloister-operator"), dict(keys.desired(ctx)[-1].spec), 0)
    for refused in (
        vault.decrypt(ctx, ctx.names.transit_key, sealed),
        vault.datakey(ctx, ctx.names.transit_key),
        vault.sign(ctx, ctx.names.signing_key, b"x"),
        vault.delete(ctx, platform.key),
        vault.ensure(ctx, own, None),
        vault.ensure(ctx, role, None),
        vault.encrypt(ctx, "cloister-audit-values", b"x"),
    ):
        with pytest.raises(Refused):
            await refused


async def test_destruction_is_proved_and_nothing_comes_back(server, vault, ctx):
    await make(vault, ctx)
    app = await login(server, ctx, "app")
    sealed = await vault.encrypt(ctx, ctx.names.transit_key, b"canary")
    theirs = await app.encrypt(ctx, ctx.names.transit_key, b"document")
    assert await vault.opens(ctx, ctx.names.transit_key, sealed)
    with pytest.raises(hvac.exceptions.InvalidRequest, match="deletion is not allowed"):
        server.root.adapter.delete(f"/v1/transit/keys/{ctx.names.transit_key}")
    for _ in range(2):  # the second time everything is gone already
        for removal in reversed(keys.teardown(ctx)):
            await vault.delete(ctx, removal.key)
            assert await vault.is_absent(ctx, removal.key)
    assert await vault.list_keys(ctx, ctx.names.transit_key) == []
    assert not await vault.opens(ctx, ctx.names.transit_key, sealed)
    with pytest.raises(hvac.exceptions.InvalidRequest):
        server.root.adapter.post(f"/v1/transit/decrypt/{ctx.names.transit_key}", json={"ciphertext": theirs})
    # A token that was handed out before the end seals nothing more and makes no new key.
    with pytest.raises(Refused):
        await app.encrypt(ctx, ctx.names.transit_key, b"late")
    assert await vault.list_keys(ctx, ctx.names.transit_key) == []
    assert [await vault.observe(ctx, wanted) for wanted in keys.desired(ctx)] == [None] * 8
    app.close()


async def test_a_revoked_or_spent_token_is_replaced_without_a_word(server, vault, ctx):
    await vault.list_keys(ctx)
    client = await vault.client(ctx)
    first = client._hvac.token
    server.root.auth.token.revoke(first)
    await vault.list_keys(ctx)
    second = client._hvac.token
    assert second != first
    client._renew_after = time.monotonic() - 1
    await vault.list_keys(ctx)
    assert client._hvac.token != second


async def test_a_sealed_vault_is_said_to_be_sealed_and_work_goes_on_after(server, vault, ctx):
    await make(vault, ctx)
    server.root.sys.seal()
    try:
        for call in (
            vault.list_keys(ctx),
            vault.ensure(ctx, keys.desired(ctx)[0], None),
            vault_for(server.access()).list_keys(ctx),
        ):
            with pytest.raises(Retryable, match="sealed") as error:
                await call
            assert error.value.reason == Reason.VAULT_SEALED
    finally:
        server.root.sys.submit_unseal_key(server.unseal_key())
        server._wait()
    await make(vault, ctx)
    assert latest(server, ctx.names.transit_key) == 1


async def test_an_unreachable_vault_is_said_to_be_so_within_seconds(server, ctx):
    began = time.monotonic()
    access = replace(server.access(), address="http://127.0.0.1:9")
    with pytest.raises(Retryable) as error:
        await vault_for(access).list_keys(ctx)
    assert error.value.reason == Reason.VAULT_UNREACHABLE
    hanging = socket.socket()
    hanging.bind(("127.0.0.1", 0))
    hanging.listen()
    try:
        slow = vault_for(replace(access, address=f"http://127.0.0.1:{hanging.getsockname()[1]}"))
        with pytest.raises(Retryable):
            await slow.list_keys(ctx)
    finally:
        hanging.close()
    assert time.monotonic() - began < 9
    gone = replace(server.access(), token_file=Path("/nowhere"))
    with pytest.raises(Retryable, match="own token"):
        await vault_for(gone).list_keys(ctx)
