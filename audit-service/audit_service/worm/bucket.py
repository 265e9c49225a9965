"""One bucket with Object Lock, over the `minio` library. Synchronous: called in threads.

What is read is always the *first* version of a name. It is locked until its retention ends, so whoever can write into the
bucket may lay another version over it, but changes nothing that a restore sees.
"""

import hashlib
import io
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlencode, urlsplit
from xml.etree import ElementTree as ET

import urllib3
from minio import Minio
from minio.commonconfig import COMPLIANCE
from minio.credentials.credentials import Credentials
from minio.error import MinioException, S3Error
from minio.retention import Retention
from minio.signer import sign_v4_s3

_CONNECT_SECONDS: Final = 3
_READ_SECONDS: Final = 10
_PARALLEL: Final = 8
_PAGE: Final = 1000
_OK, _SERVER_ERROR = 200, 500


class CopyStoreError(Exception):
    """The store did not do what it was asked; the message says what and who answered how."""


class StoreAwayError(CopyStoreError):
    """The store cannot be reached or does not answer as one; nothing else need be asked of it for now."""


@dataclass(frozen=True)
class Access:
    """How a bucket is reached and as whom."""

    endpoint: str
    store_region: str
    bucket: str
    access_key: str
    secret_key: str = field(repr=False)
    ca: str = field(default="", repr=False)
    """PEM of the CA; the system's own trust store when empty."""

    @property
    def where(self) -> str:
        """Return the bucket's address, for messages and as its name in the database."""
        return f"{self.endpoint.rstrip('/')}/{self.bucket}"


class Bucket:
    """A bucket. Methods raise CopyStoreError."""

    def __init__(self, access: Access) -> None:
        """Connect nothing yet. Raises CopyStoreError for an endpoint that is not https."""
        url = urlsplit(access.endpoint)
        if url.scheme != "https":
            raise CopyStoreError(f"object store {access.endpoint} is not https")
        self.access = access
        self._pool = urllib3.PoolManager(
            ssl_context=ssl.create_default_context(cadata=access.ca or None),
            timeout=urllib3.Timeout(connect=_CONNECT_SECONDS, read=_READ_SECONDS),
            retries=urllib3.Retry(0),
            maxsize=_PARALLEL,
        )
        self._s3 = Minio(
            url.netloc,
            access_key=access.access_key,
            secret_key=access.secret_key,
            region=access.store_region,
            http_client=self._pool,
        )

    @property
    def where(self) -> str:
        """Return the bucket's address, for messages and as its name in the database."""
        return self.access.where

    def close(self) -> None:
        """Let go of the connections."""
        self._pool.clear()

    def put(self, name: str, data: bytes, until: datetime) -> None:
        """Write an object, locked in compliance mode until then: nobody can delete or replace this version before."""
        lock = Retention(COMPLIANCE, until)
        try:
            self._s3.put_object(self.access.bucket, name, io.BytesIO(data), len(data), retention=lock)
        except (MinioException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise self._said(f"write {name}", error) from error

    def has(self, name: str) -> bool:
        """Tell whether there is an object of this name."""
        try:
            self._s3.stat_object(self.access.bucket, name)
        except (MinioException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            if isinstance(error, S3Error) and error.code in {"NoSuchKey", "NoSuchBucket"}:
                return False
            raise self._said(f"look for {name}", error) from error
        return True

    def read(self, name: str, version: str) -> bytes:
        """Return one version of an object."""
        try:
            answer = self._s3.get_object(self.access.bucket, name, version_id=version)
            try:
                return bytes(answer.read())
            finally:
                answer.close()
                answer.release_conn()
        except (MinioException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise self._said(f"read {name}", error) from error

    def first_versions(self, prefix: str, after: str = "") -> dict[str, str]:
        """Return every object under the prefix, or only those after a name, with its first version.

        S3 lists a name's versions from the newest on.
        """
        found: dict[str, str] = {}
        marker: dict[str, str] = {"key-marker": after} if after else {}
        while True:
            page = self._list({"versions": "", "prefix": prefix, "max-keys": str(_PAGE), **marker})
            for entry in page:
                if _tag(entry) == "Version":  # delete markers hide an object from others, not from us
                    fields = _fields(entry)
                    found[fields["Key"]] = fields["VersionId"]
            said = _fields(page)
            if said.get("IsTruncated") != "true":
                return found
            marker = {"key-marker": said["NextKeyMarker"], "version-id-marker": said["NextVersionIdMarker"]}

    def _list(self, query: dict[str, str]) -> ET.Element:
        """List versions. Signed here: the library's own parser refuses the times that versitygw gives delete markers."""
        url = urlsplit(f"{self.access.where}?{urlencode(query)}")
        now, digest = datetime.now(UTC), hashlib.sha256(b"").hexdigest()
        headers = {"Host": url.netloc, "x-amz-content-sha256": digest, "x-amz-date": now.strftime("%Y%m%dT%H%M%SZ")}
        signed = sign_v4_s3(
            method="GET",
            url=url,
            region=self.access.store_region,
            headers=dict(headers),
            credentials=Credentials(self.access.access_key, self.access.secret_key),
            content_sha256=digest,
            date=now,
        )
        plain = {name: str(value) for name, value in signed.items()}
        try:
            answer = self._pool.request("GET", url.geturl(), headers=plain)
            if answer.status != _OK:
                raise CopyStoreError(f"list the versions in {self.access.where}: it answered {answer.status}")
            return ET.fromstring(answer.data)  # noqa: S314  # what comes of it is checked against signatures
        except (urllib3.exceptions.HTTPError, OSError, ET.ParseError) as error:
            raise self._said("list the versions", error) from error

    def _said(self, what: str, error: Exception) -> CopyStoreError:
        if isinstance(error, S3Error) and error.response.status < _SERVER_ERROR:
            return CopyStoreError(f"{what}: {self.access.where} refused: {error.code}: {error.message}")
        cause = getattr(error, "reason", None) or error
        return StoreAwayError(f"{what}: {self.access.where} does not answer as S3: {type(error).__name__}: {cause}")


def _fields(element: ET.Element) -> dict[str, str]:
    return {_tag(child): child.text or "" for child in element}


def _tag(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]
