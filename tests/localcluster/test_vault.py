"""What a region's Vault is given, in a real one: engines, ways in, and the audit service's keys where that service runs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from localcluster.services.vault import AUDIT_REGION, VaultError, configure
from tests.tenant_app.support.vault import Vault, binary, vault

pytestmark = pytest.mark.skipif(binary() is None, reason="no vault: `make up` compiles one")
POLICIES = Path(__file__).parents[2] / "charts" / "cloister" / "files"
PUBLIC = ec.generate_private_key(ec.SECP256R1()).public_key()
PEM = PUBLIC.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


class Here:
    """The region's Vault as `configure` uses it, on loopback instead of in a pod."""

    def __init__(self, server: Vault, region: str) -> None:
        self.region, self.name, self._server = region, f"vault-{region}", server
        self.writes: list[str] = []

    def root_token(self) -> str:
        return str(self._server.root.token)

    def call(self, method: str, path: str, body: object = None, *, token: str = "") -> dict[str, Any]:
        if method != "GET":
            self.writes.append(path)
        url = f"{self._server.address}/v1/{path}"
        answer = httpx.request(method, url, json=body, headers={"X-Vault-Token": token})
        if answer.is_error:
            raise VaultError(f"{path}: {answer.text}", answer.status_code)
        return answer.json() if answer.content else {}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Vault]:
    with vault(tmp_path / "vault") as found:
        found.root.sys.disable_secrets_engine("transit")
        found.root.sys.disable_auth_method("jwt")
        yield found


def test_the_audit_service_finds_its_keys_and_its_way_in_where_it_runs_and_nowhere_else(server: Vault) -> None:
    elsewhere = Here(server, "us-east-1")
    configure(elsewhere, PEM)
    assert not [path for path in elsewhere.writes if "audit" in path.removeprefix("sys/audit/")]
    assert "auth/jwt/role/cloister-operator" in elsewhere.writes
    here = Here(server, AUDIT_REGION)
    configure(here, PEM)
    assert {path for path in here.writes if "cloister-audit" in path} == {
        "sys/policies/acl/cloister-audit",
        "auth/jwt/role/cloister-audit",
        "transit/keys/cloister-audit-signing",
        "transit/keys/cloister-audit-sealing",
    }
    kinds = {}
    for name in ("signing", "sealing"):
        facts = here.call("GET", f"transit/keys/cloister-audit-{name}", token=here.root_token())["data"]
        kinds[name] = facts["type"]
        assert (facts["exportable"], facts["deletion_allowed"], facts["allow_plaintext_backup"]) == (False,) * 3
    assert kinds == {"signing": "ed25519", "sealing": "aes256-gcm96"}
    policy = here.call("GET", "sys/policies/acl/cloister-audit", token=here.root_token())["data"]["policy"]
    assert policy.strip() == (POLICIES / "vault-audit-policy.hcl").read_text().strip()


def test_what_is_there_is_left_as_it_is(server: Vault) -> None:
    configure(Here(server, AUDIT_REGION), PEM)
    before = server.root.secrets.transit.read_key("cloister-audit-signing")["data"]["keys"]
    again = Here(server, AUDIT_REGION)
    configure(again, PEM)
    assert again.writes == []
    assert server.root.secrets.transit.read_key("cloister-audit-signing")["data"]["keys"] == before
