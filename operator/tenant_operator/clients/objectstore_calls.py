"""Object storage at the level of single requests: access, one connection, and the library's errors in our words.

S3's own requests go through the `minio` library; the few that it does not know are signed with the same SigV4 here.
Used by the operator and by the jobs.
"""

import hashlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote, urlencode, urlsplit
from xml.etree.ElementTree import ParseError

import urllib3
from minio import Minio
from minio.credentials.credentials import Credentials
from minio.error import MinioException, S3Error
from minio.signer import sign_v4_s3

from tenant_operator.api.reasons import Reason
from tenant_operator.errors import CloisterError, Missing, Refused, Retryable

CONNECT_SECONDS = 3
READ_SECONDS = 60
PARALLEL = 8
ABSENT = frozenset({"NoSuchBucket", "NoSuchKey", "NoSuchVersion", "NoSuchBucketPolicy"})
_TRANSIENT = frozenset(
    {
        "InternalError",
        "OperationAborted",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "SlowDownRead",
        "SlowDownWrite",
        "XMinioServerNotInitialized",
    }
)
_SERVER_ERROR = 500
FAILURES = (MinioException, urllib3.exceptions.HTTPError, ParseError, OSError, ValueError)
"""What a request to a store may raise; `translate` says what it means. ParseError: an answer that is no XML."""


@dataclass(frozen=True)
class StoreAccess:
    """How one object store is reached and as whom."""

    endpoint: str
    region: str
    access_key: str
    secret_key: str = field(repr=False)
    ca: str = field(default="", repr=False)
    """PEM of the CA; the system's own trust store when empty."""


@dataclass(frozen=True)
class Connection:
    """A pool of connections to one store, and the library over it."""

    access: StoreAccess
    pool: urllib3.PoolManager
    s3: Minio

    @property
    def where(self) -> str:
        """The endpoint, for messages."""
        return self.access.endpoint.rstrip("/")

    def request(self, method: str, path: str, query: Mapping[str, str], body: bytes = b"") -> urllib3.BaseHTTPResponse:
        """Send one signed request that the library has no name for; return the answer whatever its status."""
        url = urlsplit(f"{self.where}{path}?{urlencode(query, quote_via=quote)}")
        now, digest = datetime.now(UTC), hashlib.sha256(body).hexdigest()
        signed = sign_v4_s3(
            method=method,
            url=url,
            region=self.access.region,
            headers={
                "Host": url.netloc,
                "x-amz-content-sha256": digest,
                "x-amz-date": now.strftime("%Y%m%dT%H%M%SZ"),
            },
            credentials=Credentials(self.access.access_key, self.access.secret_key),
            content_sha256=digest,
            date=now,
        )
        plain = {name: str(value) for name, value in signed.items()}
        return self.pool.request(method, url.geturl(), headers=plain, body=body)


def connect(access: StoreAccess) -> Connection:
    """Return a connection; nothing is sent yet. Raises Refused for an endpoint that is not https."""
    url = urlsplit(access.endpoint)
    if url.scheme != "https":
        raise Refused(f"object store {access.endpoint} is not https", reason=Reason.OBJECT_STORE_REFUSED)
    pool = urllib3.PoolManager(
        ssl_context=ssl.create_default_context(cadata=access.ca or None),
        timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
        retries=urllib3.Retry(0),
        maxsize=PARALLEL,
    )
    s3 = Minio(
        url.netloc,
        access_key=access.access_key,
        secret_key=access.secret_key,
        region=access.region,
        http_client=pool,
    )
    return Connection(access, pool, s3)


def translate(where: str, what: str, error: Exception) -> CloisterError:
    """Return our error for the library's. The store's words name requests and rights, never values."""
    match error:
        case S3Error() if error.code in ABSENT:
            return Missing(f"{what}: {where} has none: {error.message}", reason=Reason.OBJECT_STORE_REFUSED)
        case S3Error() if error.code not in _TRANSIENT and error.response.status < _SERVER_ERROR:
            return Refused(
                f"{what}: {where} refused: {error.code}: {error.message}", reason=Reason.OBJECT_STORE_REFUSED
            )
        case S3Error():
            text = f"answered {error.code}: {error.message}"
        case MinioException() | ParseError() | ValueError():
            text = f"gave an answer that is not S3's: {error}"
        case _:
            cause = getattr(error, "reason", None) or error
            text = f"cannot be reached: {cause}"
    return Retryable(f"{what}: {where} {text}", reason=Reason.OBJECT_STORE_UNREACHABLE)
