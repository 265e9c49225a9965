"""Buckets: made with Object Lock and versions, removed with every version in them. Synchronous: called in a thread."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree as ET

from minio import S3Error
from minio.commonconfig import ENABLED
from minio.deleteobjects import DeleteObject
from minio.versioningconfig import VersioningConfig

from tenant_operator.api.reasons import Reason
from tenant_operator.clients.objectstore_calls import ABSENT, Connection
from tenant_operator.errors import CloisterError, Refused, Retryable

_OURS_ALREADY = frozenset({"BucketAlreadyOwnedByYou", "BucketAlreadyExists"})
_SHOWN = 3
PAGE = 1000
_OK, _NO_CONTENT, _NOT_FOUND, _SERVER_ERROR = 200, 204, 404, 500


def read_bucket(store: Connection, bucket: str) -> dict[str, Any] | None:
    """Return whether a bucket has Object Lock and versions, and where the store says it lies; None when it is not there."""
    if not store.s3.bucket_exists(bucket):
        return None
    return {
        "objectLock": _has_lock(store, bucket),
        "versioning": store.s3.get_bucket_versioning(bucket).status == ENABLED,
        "region": _location(store, bucket),
    }


def _has_lock(store: Connection, bucket: str) -> bool:
    """Read it here: the library cannot parse a configuration without a default retention, which is what we have."""
    found = _read(store, bucket, "object-lock")
    return found is not None and any(_name(child) == "ObjectLockEnabled" and child.text == "Enabled" for child in found)


def _location(store: Connection, bucket: str) -> str:
    """Return GetBucketLocation's answer; S3's first region is named by an empty one."""
    found = _read(store, bucket, "location")
    return "" if found is None else found.text or "us-east-1"


def versions(store: Connection, bucket: str) -> Iterator[tuple[str, str]]:
    """Yield the name and version of every version and delete marker.

    Read page by page here: versitygw dates delete markers to the nanosecond, which the library's parser refuses.
    """
    marker: dict[str, str] = {}
    while (page := _read(store, bucket, "versions", **{"max-keys": str(PAGE), **marker})) is not None:
        for entry in page:
            if _name(entry) in {"Version", "DeleteMarker"}:
                fields = _fields(entry)
                yield fields["Key"], fields["VersionId"]
        said = _fields(page)
        if said.get("IsTruncated") != "true":
            return
        marker = {"key-marker": said["NextKeyMarker"], "version-id-marker": said["NextVersionIdMarker"]}


def uploads(store: Connection, bucket: str) -> list[tuple[str, str]]:
    """Return the name and id of the first page of uploads that were begun and never completed."""
    page = _read(store, bucket, "uploads", **{"max-uploads": str(PAGE)})
    found = [_fields(entry) for entry in (() if page is None else page) if _name(entry) == "Upload"]
    return [(fields["Key"], fields["UploadId"]) for fields in found]


def _read(store: Connection, bucket: str, what: str, **query: str) -> ET.Element | None:
    """Return what a bucket says of itself; None when it has no such thing. Raises Retryable or Refused."""
    answer = store.request("GET", f"/{bucket}", {what: "", **query})
    if answer.status == _OK:
        return ET.fromstring(answer.data)  # noqa: S314 - from the store we trust with the backups
    if answer.status == _NOT_FOUND:
        return None
    raise _unexpected(store, f"read {what} of bucket {bucket}", answer.status)


def _unexpected(store: Connection, what: str, status: int) -> CloisterError:
    message = f"{what}: {store.where} answered {status}"
    if status >= _SERVER_ERROR:
        return Retryable(message, reason=Reason.OBJECT_STORE_UNREACHABLE)
    return Refused(message, reason=Reason.OBJECT_STORE_REFUSED)


def _fields(element: ET.Element) -> dict[str, str]:
    return {_name(child): child.text or "" for child in element}


def _name(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def write_bucket(store: Connection, bucket: str) -> None:
    """Make a bucket with Object Lock and versions. Raises Refused when it exists without a lock: none can be added."""
    try:
        store.s3.make_bucket(bucket, store.access.region, object_lock=True)
    except S3Error as error:
        if error.code not in _OURS_ALREADY:
            raise
    if not _has_lock(store, bucket):
        raise Refused(
            f"bucket {bucket} exists at {store.where} without Object Lock, which cannot be added later; "
            "if it holds nothing of worth, remove it and it will be made anew",
            reason=Reason.OBJECT_STORE_REFUSED,
        )
    store.s3.set_bucket_versioning(bucket, VersioningConfig(ENABLED))


def delete_bucket(store: Connection, bucket: str) -> None:
    """Remove every version, marker and unfinished upload, then the bucket; one that is gone is fine.

    GOVERNANCE locks are bypassed. Raises Refused while a COMPLIANCE lock or a legal hold keeps a version.
    """
    if not store.s3.bucket_exists(bucket):
        return
    doomed = [DeleteObject(name, version) for name, version in versions(store, bucket)]
    kept = [
        f"{failure.name} ({failure.version_id}): {failure.message}"
        for failure in store.s3.remove_objects(bucket, doomed, bypass_governance_mode=True)
        if failure.code not in ABSENT
    ]
    if kept:
        more = f" and {len(kept) - _SHOWN} more" if len(kept) > _SHOWN else ""
        raise Refused(
            f"{len(kept)} of {len(doomed)} versions in bucket {bucket} are locked: {'; '.join(kept[:_SHOWN])}{more}",
            reason=Reason.OBJECT_STORE_REFUSED,
        )
    abort_uploads(store, bucket)
    store.s3.remove_bucket(bucket)


def abort_uploads(store: Connection, bucket: str) -> None:
    """Forget uploads that were begun and never completed: their parts are bytes of the tenant, too.

    The first page is read until it is empty: versitygw 1.8 cannot go on after an upload whose name has another one.
    """
    aborted: set[tuple[str, str]] = set()
    while left := uploads(store, bucket):
        if again := aborted.intersection(left):
            said = f"uploads to bucket {bucket} are still listed after they were aborted: {sorted(again)[:_SHOWN]}"
            raise Retryable(said, reason=Reason.OBJECT_STORE_REFUSED)
        for name, upload in left:
            answer = store.request("DELETE", f"/{bucket}/{quote(name)}", {"uploadId": upload})
            if answer.status not in {_OK, _NO_CONTENT, _NOT_FOUND}:
                raise _unexpected(store, f"abort the upload of {name} to bucket {bucket}", answer.status)
        aborted.update(left)
