"""The Vault adapter against a real Vault: login by projected token, renewal, wrapping bound to a place, signatures."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tenant_app.adapters.vault import VaultKeys
from tenant_app.errors import VaultAway, VaultRefused
from tests.tenant_app.support import vault as real

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(real.binary() is None, reason="the local cluster has not built Vault yet"),
]


@pytest.fixture(scope="module")
def vault_server(ground):
    with real.vault(ground / "vault", lease=3) as found:
        yield found


@pytest.fixture
def keys(fresh, vault_server) -> VaultKeys:
    vault_server.write_token()
    section = fresh.vault.model_copy(
        update={"address": vault_server.address, "token_file": vault_server.token_file, "ca_file": None}
    )
    return VaultKeys(section)


async def test_a_key_comes_back_only_for_its_own_place(keys):
    wrapped = await keys.wrap(b"k" * 32, b"document one")
    assert wrapped.startswith("vault:v1:")
    assert await keys.unwrap(wrapped, b"document one") == b"k" * 32
    with pytest.raises(VaultRefused):
        await keys.unwrap(wrapped, b"document two")


async def test_what_was_wrapped_before_a_rotation_still_opens(keys, vault_server):
    wrapped = await keys.wrap(b"k" * 32, b"x")
    vault_server.root.secrets.transit.rotate_key(real.KEY)
    assert await keys.unwrap(wrapped, b"x") == b"k" * 32


async def test_the_token_is_renewed_before_it_expires_and_got_anew_when_it_was_revoked(keys, vault_server):
    await keys.check()
    first = keys._client.token
    keys._renew_at = 0.0  # as after two thirds of its lease; slept, it might end on a slow machine
    await keys.check()
    assert keys._client.token == first
    assert keys._renew_at > 0
    vault_server.root.auth.token.revoke(first)
    await keys.check()
    assert keys._client.token != first


async def test_the_signature_verifies_with_the_public_key_alone(keys):
    seal = await keys.sign(b"the record")
    public = (await keys.public_keys())[seal.key_version]
    Ed25519PublicKey.from_public_bytes(public).verify(seal.signature, b"the record")


async def test_another_audience_and_another_key_are_refused_and_an_absent_vault_is_away(keys, vault_server, fresh):
    vault_server.write_token(audience="cloister-audit")
    with pytest.raises(VaultRefused):
        await keys.check()
    vault_server.write_token()
    other = fresh.vault.model_copy(
        update={
            "address": vault_server.address,
            "token_file": vault_server.token_file,
            "ca_file": None,
            "key": "cloister-other",
        }
    )
    with pytest.raises(VaultRefused):
        await VaultKeys(other).wrap(b"k" * 32, b"x")
    with pytest.raises(VaultAway):
        await VaultKeys(other.model_copy(update={"address": "http://127.0.0.1:9"})).check()


async def test_a_sealed_vault_is_away_and_good_again_after_unseal(keys, vault_server):
    await keys.check()
    vault_server.root.sys.seal()
    with pytest.raises(VaultAway):
        await keys.check()
    vault_server.root.sys.submit_unseal_key(vault_server.unseal_key)
    await keys.check()
