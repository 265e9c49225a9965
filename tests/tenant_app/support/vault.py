"""A real Vault on loopback, from the binary that the local cluster builds; set up as the operator sets up a tenant's keys."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import hvac
import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.tenant_app.support.processes import free_port, running

KEY, SIGNING = "cloister-x", "cloister-x-signing"
POLICY = """
path "transit/encrypt/cloister-x" { capabilities = ["update"] }
path "transit/decrypt/cloister-x" { capabilities = ["update"] }
path "transit/sign/cloister-x-signing" { capabilities = ["update"] }
path "transit/keys/cloister-x-signing" { capabilities = ["read"] }
path "auth/token/lookup-self" { capabilities = ["read"] }
path "auth/token/renew-self" { capabilities = ["update"] }
"""


def binary() -> Path | None:
    found = sorted((Path.home() / ".cache" / "cloister" / "bin").glob("vault-*/vault"))
    return found[-1] if found else None


@dataclass
class Vault:
    address: str
    root: hvac.Client
    signer: ec.EllipticCurvePrivateKey
    token_file: Path
    unseal_key: str

    def write_token(self, seconds: int = 600, audience: str = "vault") -> None:
        now = int(time.time())
        claims = {
            "sub": "system:serviceaccount:tenant-x:app",
            "aud": audience,
            "iat": now,
            "exp": now + seconds,
            "iss": "test",
        }
        self.token_file.write_text(jwt.encode(claims, self.signer, algorithm="ES256"))


@contextmanager
def vault(folder: Path, *, lease: int = 900) -> Iterator[Vault]:
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    path = folder / "vault.json"
    path.write_text(
        json.dumps(
            {
                "storage": {"inmem": {}},
                "listener": [{"tcp": {"address": f"127.0.0.1:{port}", "tls_disable": True}}],
                "disable_mlock": True,
                "api_addr": f"http://127.0.0.1:{port}",
            }
        )
    )
    with running([str(binary()), "server", f"-config={path}"], folder / "vault.log", port):
        address = f"http://127.0.0.1:{port}"
        root = hvac.Client(url=address)
        made = root.sys.initialize(1, 1)
        root.sys.submit_unseal_key(made["keys"][0])
        root.token = made["root_token"]
        signer = ec.generate_private_key(ec.SECP256R1())
        _set_up(root, signer, lease)
        found = Vault(
            address=address, root=root, signer=signer, token_file=folder / "token", unseal_key=made["keys"][0]
        )
        found.write_token()
        yield found


def _set_up(root: hvac.Client, signer: ec.EllipticCurvePrivateKey, lease: int) -> None:
    root.sys.enable_secrets_engine("transit")
    root.secrets.transit.create_key(KEY, key_type="aes256-gcm96")
    root.secrets.transit.create_key(SIGNING, key_type="ed25519")
    root.sys.create_or_update_policy("app", POLICY)
    root.sys.enable_auth_method("jwt")
    public = signer.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    root.write_data("auth/jwt/config", data={"jwt_validation_pubkeys": public.decode()})
    root.write_data(
        "auth/jwt/role/cloister-x-app",
        data={
            "role_type": "jwt", "user_claim": "sub", "bound_audiences": ["vault"], "token_policies": ["app"],
            "bound_subject": "system:serviceaccount:tenant-x:app", "token_ttl": lease, "token_max_ttl": lease * 4,
        },
    )  # fmt: skip
