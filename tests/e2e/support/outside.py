"""Vault and object storage of the local cluster, looked at with the owner's own rights, past the operator."""

import base64
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import urllib3
from minio import Minio
from minio.error import S3Error

from localcluster.api import Api
from localcluster.paths import Layout
from localcluster.services.vault import Vault
from tests.e2e.support.local import read


class Keys:
    """One region's transit engine, as its root."""

    def __init__(self, region: str) -> None:
        layout, name = Layout.from_environment(), f"vault-{region}"
        address = read("service", name, "-n", "vault")["spec"]["clusterIP"]
        token = Vault(layout, Api(layout), region).root_token()
        self._extensions = {"sni_hostname": f"{name}.vault.svc"}
        self._client = httpx.Client(
            base_url=f"https://{address}:8200/v1/",
            verify=ssl.create_default_context(cafile=str(layout.pki / "services-ca.crt")),
            headers={"Host": f"{name}.vault.svc", "X-Vault-Token": token},
            timeout=30,
        )

    def _call(self, method: str, path: str, body: dict[str, str] | None = None) -> httpx.Response:
        answer = self._client.request(method, path, json=body, extensions=self._extensions)
        assert not answer.is_server_error, f"Vault cannot tell: {method} {path}: {answer.status_code} {answer.text}"
        return answer

    def seal(self, key: str, text: str) -> str:
        """Encrypt with a key."""
        body = {"plaintext": base64.b64encode(text.encode()).decode()}
        return str(self._call("POST", f"transit/encrypt/{key}", body).raise_for_status().json()["data"]["ciphertext"])

    def opens(self, key: str, sealed: str) -> str | None:
        """Decrypt; return the text, or nothing when Vault refuses."""
        answer = self._call("POST", f"transit/decrypt/{key}", {"ciphertext": sealed})
        return base64.b64decode(answer.json()["data"]["plaintext"]).decode() if answer.is_success else None

    def names(self, prefix: str) -> list[str]:
        """List keys, policies and login roles that begin so."""
        found = []
        for path in ("transit/keys", "sys/policies/acl", "auth/jwt/role"):
            listed = self._call("LIST", path).raise_for_status().json()["data"]["keys"]
            found += [f"{path}/{name}" for name in listed if name.startswith(prefix)]
        return found

    def close(self) -> None:
        """Close every connection."""
        self._client.close()


class Objects:
    """One region's object store, as its root."""

    def __init__(self, region: str) -> None:
        secret = read("secret", f"objectstore-{region}", "-n", "cloister-system")["data"]
        access, word = (base64.b64decode(secret[name]).decode() for name in ("accessKey", "secretKey"))
        host = f"objectstore-{region}.objectstore.svc"
        address = read("service", f"objectstore-{region}", "-n", "objectstore")["spec"]["clusterIP"]
        authority = str(Layout.from_environment().pki / "services-ca.crt")
        self._pool = urllib3.PoolManager(
            cert_reqs="CERT_REQUIRED", ca_certs=authority, server_hostname=host, assert_hostname=host,
            timeout=urllib3.Timeout(connect=5, read=60), retries=urllib3.Retry(3, backoff_factor=0.3),
        )  # fmt: skip
        self._client = Minio(f"{address}:7070", access, word, region=region, http_client=self._pool)

    def has_bucket(self, name: str) -> bool:
        """Tell whether there is a bucket."""
        return self._client.bucket_exists(name)

    def keys(self, bucket: str, prefix: str = "") -> Iterator[str]:
        """List objects, all versions of them."""
        try:
            for item in self._client.list_objects(bucket, prefix=prefix, recursive=True, include_version=True):
                yield str(item.object_name)
        except S3Error as error:
            if error.code != "NoSuchBucket":
                raise

    def fetch(self, bucket: str, key: str, file: Path) -> Path:
        """Write an object to a file."""
        self._client.fget_object(bucket, key, str(file))
        return file

    def close(self) -> None:
        """Close every connection."""
        self._pool.clear()
