"""One Vault a region: installed, opened, and given what the operator needs to log in."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from dataclasses import dataclass
from typing import Any

from localcluster import controlplane, facts
from localcluster.api import Api
from localcluster.console import say
from localcluster.errors import LocalClusterError
from localcluster.files import write
from localcluster.paths import REPOSITORY, Layout
from localcluster.services.common import Surroundings, namespace
from localcluster.waiting import Seen, wait_for

NAMESPACE = "vault"
_PORT = 8200
_POLICIES = REPOSITORY / "charts" / "cloister" / "files"
# Until the chart brings its own: tenants' keys, policies and roles, nothing else.
_OPERATOR_POLICY = """
path "transit/keys/*" { capabilities = ["create", "read", "update", "delete", "list"] }
path "sys/policies/acl/cloister-*" { capabilities = ["create", "read", "update", "delete"] }
path "auth/jwt/role/cloister-*" { capabilities = ["create", "read", "update", "delete"] }
"""


@dataclass(frozen=True)
class Login:
    """A service account that may log in, with the policy of the same name that the chart brings."""

    name: str
    namespace: str
    account: str
    fallback: str

    @property
    def role(self) -> dict[str, Any]:
        """Its JWT role."""
        return {
            "role_type": "jwt",
            "bound_audiences": ["vault"],
            "bound_subject": f"system:serviceaccount:{self.namespace}:{self.account}",
            "user_claim": "sub",
            "token_ttl": "15m",
            "token_policies": [self.name],
        }

    @property
    def policy(self) -> dict[str, str]:
        """Its policy."""
        file = _POLICIES / f"vault-{self.name.removeprefix('cloister-')}-policy.hcl"
        return {"policy": file.read_text() if file.exists() else self.fallback}


_LOGINS = (Login("cloister-operator", facts.SYSTEM_NAMESPACE, "cloister-operator", _OPERATOR_POLICY),)
AUDIT_REGION = "eu-central-1"
"""Whose Vault has the audit service's keys: the Region it runs in (tools/install)."""
_AUDIT_LOGIN = Login("cloister-audit", "cloister-audit", "cloister-audit", "# the chart brings none\n")
_AUDIT_KEYS = {"cloister-audit-signing": "ed25519", "cloister-audit-sealing": "aes256-gcm96"}


def install(around: Surroundings) -> list[tuple[str, str, str]]:
    """Install the Vaults; they come up sealed."""
    around.api.apply(namespace(NAMESPACE))
    for region in facts.REGIONS:
        name = f"vault-{region}"
        tls = around.certificate(name, NAMESPACE)
        around.api.apply(tls)
        image = around.images["vault"].name
        around.api.apply(*around.manifest("vault", tls, REGION=region, IMAGE=image))
    return [("StatefulSet", NAMESPACE, f"vault-{region}") for region in facts.REGIONS]


class VaultError(LocalClusterError):
    """Vault answered with an error."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Vault:
    """The HTTP API of one region's Vault, reached at its pod, sealed or not."""

    def __init__(self, layout: Layout, api: Api, region: str) -> None:
        self.region = region
        self.name = f"vault-{region}"
        self._layout = layout
        self._api = api
        self._context = ssl.create_default_context(cafile=str(layout.pki / "services-ca.crt"))
        self._connection: http.client.HTTPSConnection | None = None
        self._keys = layout.secrets / f"{self.name}.json"

    def call(self, method: str, path: str, body: object = None, *, token: str = "") -> dict[str, Any]:
        """Send one request, over one kept connection."""
        headers = {"Host": f"{self.name}.{NAMESPACE}.svc"} | ({"X-Vault-Token": token} if token else {})
        try:
            connection = self._connected()
            connection.request(method, f"/v1/{path}", None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        except (OSError, http.client.HTTPException) as error:
            self._connection = None
            raise VaultError(f"{self.name} does not answer: {error}", 0) from error
        if answer.status >= http.client.BAD_REQUEST:
            raise VaultError(f"{self.name}: {method} {path}: {answer.status} {text.strip()[:500]}", answer.status)
        return dict(json.loads(text)) if text else {}

    def _connected(self) -> http.client.HTTPSConnection:
        """Connect to the pod, under the name in its certificate."""
        if self._connection is None or self._connection.sock is None:
            plain = socket.create_connection((self._address(), _PORT), timeout=10)
            connection = http.client.HTTPSConnection(self.name, _PORT, timeout=30)
            connection.sock = self._context.wrap_socket(plain, server_hostname=f"{self.name}.{NAMESPACE}.svc")
            self._connection = connection
        return self._connection

    def root_token(self) -> str:
        """Give the token that may do everything; it stays in the state folder."""
        return str(self._read_keys()["root_token"])

    def open(self) -> bool:
        """Initialise and unseal as far as needed; tell whether anything was done."""
        wait_for(f"{self.name} to answer", self._answers, seconds=60)
        state = self.call("GET", "sys/seal-status")
        if not state["initialized"]:
            made = self.call("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
            write(self._keys, json.dumps(made), 0o600)
            state = self.call("GET", "sys/seal-status")
        if not state["sealed"]:
            return False
        self.call("PUT", "sys/unseal", {"key": self._read_keys()["keys"][0]})
        wait_for(f"{self.name} to be active", self._is_active, seconds=30)
        return True

    def seal(self) -> None:
        """Seal it, to see what its clients do."""
        self.call("PUT", "sys/seal", token=self.root_token())

    def _address(self) -> str:
        pod = self._api.get("Pod", f"{self.name}-0", NAMESPACE) or {}
        address = pod.get("status", {}).get("podIP")
        if not address:
            raise VaultError(f"the pod {self.name}-0 has no address yet", 0)
        return str(address)

    def _answers(self) -> Seen:
        try:
            self.call("GET", "sys/seal-status")
        except VaultError as error:
            return Seen(ok=False, detail=str(error))
        return Seen(ok=True)

    def _is_active(self) -> Seen:
        try:
            self.call("GET", "sys/health")
        except VaultError as error:
            return Seen(ok=False, detail=str(error))
        return Seen(ok=True)

    def _read_keys(self) -> dict[str, Any]:
        if not self._keys.exists():
            raise LocalClusterError(
                f"{self.name} was initialised, but {self._keys} is gone: its data cannot be opened any more; "
                "`down --wipe` and `up` make a new one"
            )
        return dict(json.loads(self._keys.read_text()))


def open_all(layout: Layout, api: Api) -> None:
    """Unseal and set up every region's Vault."""
    for region in facts.REGIONS:
        vault = Vault(layout, api, region)
        if vault.open():
            say(f"  {vault.name} unsealed")
        configure(vault, (layout.pki / "sa.pub").read_text())


def configure(vault: Vault, public_key: str) -> None:
    """Give Vault its engines, its audit device, the ways in, and the audit service's keys, which it may not make itself."""
    token = vault.root_token()
    if "transit/" not in vault.call("GET", "sys/mounts", token=token)["data"]:
        vault.call("POST", "sys/mounts/transit", {"type": "transit"}, token=token)
    if "jwt/" not in vault.call("GET", "sys/auth", token=token)["data"]:
        vault.call("POST", "sys/auth/jwt", {"type": "jwt"}, token=token)
    if "stdout/" not in vault.call("GET", "sys/audit", token=token)["data"]:
        options = {"file_path": "stdout"}
        vault.call("PUT", "sys/audit/stdout", {"type": "file", "options": options}, token=token)
    trust = {"jwt_validation_pubkeys": [public_key], "bound_issuer": controlplane.ISSUER}
    settings: list[tuple[str, dict[str, Any]]] = [("auth/jwt/config", trust)]
    for login in (*_LOGINS, *((_AUDIT_LOGIN,) if vault.region == AUDIT_REGION else ())):
        settings += [(f"sys/policies/acl/{login.name}", login.policy), (f"auth/jwt/role/{login.name}", login.role)]
    for path, wanted in settings:
        if not _holds(vault, path, wanted, token):
            vault.call("POST", path, wanted, token=token)
    if vault.region == AUDIT_REGION:
        for name, kind in _AUDIT_KEYS.items():
            if not _holds(vault, f"transit/keys/{name}", {"type": kind}, token):
                vault.call("POST", f"transit/keys/{name}", {"type": kind}, token=token)


def _holds(vault: Vault, path: str, wanted: dict[str, Any], token: str) -> bool:
    """Tell whether a setting is as wished; Vault gives durations back in seconds."""
    try:
        found = vault.call("GET", path, token=token)["data"]
    except VaultError as error:
        if error.status in {http.client.NOT_FOUND, http.client.BAD_REQUEST}:
            return False
        raise
    expected = {key: 900 if key == "token_ttl" else value for key, value in wanted.items()}
    return all(_plain(found.get(key)) == _plain(value) for key, value in expected.items())


def _plain(value: object) -> object:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.strip() if isinstance(value, str) else value
