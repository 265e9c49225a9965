"""Vault, the object stores and the audit log of the local cluster, as their administrators and auditors see them."""

import base64
import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import urllib3
from minio import Minio

from localcluster.paths import Layout
from tenant_operator.cli.audit import fetch
from tenant_operator.cli.kube import Kube
from tenant_operator.clients.objectstore_buckets import delete_bucket
from tenant_operator.clients.objectstore_calls import Connection, StoreAccess
from tenant_operator.clients.objectstore_users import delete_user
from tests.support import api
from tests.support.kubectl import KUBECONFIG, exists, forwarded, get, kubectl


class VaultError(AssertionError):
    """Vault answered with an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class Vault:
    """A Region's Vault, reached at its pod; `call(…, token=…)` sends one request."""

    def __init__(self, region: str) -> None:
        layout = Layout.from_environment()
        self._name = f"vault-{region}"
        self._ca = layout.pki / "services-ca.crt"
        self._keys = layout.secrets / f"{self._name}.json"

    def root_token(self) -> str:
        """Return the token that may do everything."""
        return str(json.loads(self._keys.read_text())["root_token"])

    def call(self, method: str, path: str, body: object = None, *, token: str = "") -> dict[str, Any]:
        """Send one request. Raises VaultError."""
        host = f"{self._name}.vault.svc"
        pod = api.call("GET", f"/api/v1/namespaces/vault/pods/{self._name}-0")
        headers = {"Host": host} | ({"X-Vault-Token": token} if token else {})
        with urllib3.HTTPSConnectionPool(
            pod["status"]["podIP"], 8200, ca_certs=str(self._ca), server_hostname=host, assert_hostname=host, timeout=30
        ) as pool:
            answer = pool.request(
                method, f"/v1/{path}", body=None if body is None else json.dumps(body), headers=headers, retries=False
            )
            if answer.status >= 400:
                raise VaultError(answer.status, f"{self._name}: {method} {path}: {answer.data.decode()[:500]}")
            return dict(json.loads(answer.data)) if answer.data else {}


def vault(region: str) -> Vault:
    """Return a Region's Vault."""
    return Vault(region)


def vault_names(region: str, path: str, word: str) -> list[str]:
    """Return the names of a Vault's list that hold a word, as root."""
    try:
        found = vault(region).call("LIST", path, token=vault(region).root_token())
    except VaultError as error:
        if error.status == 404:
            return []
        raise
    return sorted(name for name in found["data"]["keys"] if word in name)


def vault_login(region: str, role: str, token: str) -> str:
    """Return a Vault token for a service account's token. Raises VaultError."""
    answer = vault(region).call("POST", "auth/jwt/login", {"role": role, "jwt": token})
    return str(answer["auth"]["client_token"])


def account_token(namespace: str, account: str, audience: str) -> str:
    """Return a short-lived token of a service account."""
    return kubectl("create", "token", account, "-n", namespace, "--audience", audience, "--duration", "10m").strip()


def forget_in_vault(region: str, identity: str) -> None:
    """Remove every key, policy and role of a tenant: what the tests made, nobody's data."""
    root = vault(region).root_token()
    for name in vault_names(region, "transit/keys", identity):
        vault(region).call("POST", f"transit/keys/{name}/config", {"deletion_allowed": True}, token=root)
        vault(region).call("DELETE", f"transit/keys/{name}", token=root)
    for path in ("sys/policies/acl", "auth/jwt/role"):
        for name in vault_names(region, path, identity):
            vault(region).call("DELETE", f"{path}/{name}", token=root)


@contextmanager
def store(region: str) -> Iterator[Connection]:
    """Have a Region's object store, as its administrator."""
    secret = get("secret", f"objectstore-{region}", "-n", "cloister-system")["data"]
    user, word = (base64.b64decode(secret[key]).decode() for key in ("accessKey", "secretKey"))
    ca = get("configmap", "local-services-ca", "-n", "cloister-system")["data"]["ca.crt"]
    with forwarded("objectstore", f"service/objectstore-{region}", 7070) as port:
        access = StoreAccess(f"https://localhost:{port}", region, user, word, ca)
        pool = urllib3.PoolManager(ssl_context=ssl.create_default_context(cadata=ca), timeout=30, retries=False)
        client = Minio(f"localhost:{port}", access_key=user, secret_key=word, region=region, http_client=pool)
        try:
            yield Connection(access, pool, client)
        finally:
            pool.clear()


def has_bucket(region: str, bucket: str) -> bool:
    """Tell whether a bucket exists."""
    with store(region) as found:
        return bool(found.s3.bucket_exists(bucket))


def forget_in_store(region: str, identity: str) -> None:
    """Remove a tenant's bucket with everything in it, and its user."""
    with store(region) as found:
        delete_bucket(found, f"cloister-{identity}")
        delete_user(found, f"cloister-{identity}")


def entries(log: str, **filters: str) -> list[dict[str, Any]]:
    """Return the entries of an audit log that fit, each with `entry` and its revealed `text`, as an auditor reads them."""
    token = account_token("cloister-audit", "platform-auditor", "cloister-audit")
    ca = base64.b64decode(get("secret", "audit-tls", "-n", "cloister-audit")["data"]["ca.crt"]).decode()
    found: list[dict[str, Any]] = []
    with (
        forwarded("cloister-audit", "service/audit", 8443) as port,
        httpx.Client(verify=ssl.create_default_context(cadata=ca), timeout=30) as client,
    ):
        begin: int | None = 0
        while begin is not None:
            answer = client.get(
                f"https://localhost:{port}/v1/logs/{log}/entries",
                params={"from": str(begin), "limit": "256", **filters},
                headers={"Authorization": f"Bearer {token}"},
            )
            assert answer.status_code == 200, f"the audit service says {answer.status_code}: {answer.text}"
            page = answer.json()
            found += page["entries"]
            begin = page["next"]
    for one in found:
        one["text"] = next((v["value"] for k, v in one["values"].items() if "reason" in k and "value" in v), "")
    return found


def bundle(tenant: str) -> bytes:
    """Return the bundle of a tenant's log, or of the `platform`'s, as `cloister audit export` writes it."""
    return fetch(Kube(kubeconfig=KUBECONFIG), tenant)


def there(kind: str, name: str, namespace: str) -> bool:
    """Tell whether a namespaced object exists."""
    return exists(kind, name, "-n", namespace)
