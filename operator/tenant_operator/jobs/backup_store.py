"""Where a backup goes: the tenant's bucket, each version locked until its retention ends.

backups/<time>-<random>/base.sealed      the sealed stream (`jobs.crypt`) of a zstd-compressed tar
backups/<time>-<random>/manifest.json    what it is; written last, so a folder without one is no backup
"""

import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import urllib3
from minio.commonconfig import GOVERNANCE
from minio.error import MinioException, S3Error
from minio.retention import Retention

from tenant_operator.clients.objectstore_buckets import versions
from tenant_operator.clients.objectstore_calls import StoreAccess, connect, translate
from tenant_operator.errors import CloisterError
from tenant_operator.jobs.crypt import Header, Pieces, Readable, seal, unseal

_LEAST_PART = 8 << 20
_MOST_PARTS = 9_000
"""S3 takes 10,000; the estimate may be a little low."""
_LOCK_SLACK = timedelta(hours=1)
"""A version is left alone this long after its lock ended: clocks differ."""


class StoreFailed(Exception):
    """What was stored is not what was sent."""


class BackupStore:
    """The tenant's bucket, with the tenant's own key. Raises Retryable, Refused or StoreFailed."""

    def __init__(self, store: Mapping[str, Any]) -> None:
        self._bucket = store["bucket"]
        key, secret, ca = (
            Path(store[f"{name}File"]).read_text(encoding="utf-8") for name in ("accessKey", "secretKey", "ca")
        )
        self._store = connect(StoreAccess(store["endpoint"], store["region"], key.strip(), secret.strip(), ca))

    def write(
        self, backup: str, source: Readable, key: bytes, header: Header, until: datetime, *, expected: int
    ) -> dict[str, Any]:
        """Seal and store a stream; return its object, version, size and SHA-256. Memory: a few parts and chunks."""
        name, hasher = f"backups/{backup}/base.sealed", _Hasher()
        part = max(_LEAST_PART, -(-expected // _MOST_PARTS))
        try:
            done = self._store.s3.put_object(
                self._bucket, name, Pieces(hasher.through(seal(source, key, header))), -1,  # type: ignore[arg-type]
                part_size=part, num_parallel_uploads=2, retention=Retention(GOVERNANCE, until),
            )  # fmt: skip
        except (MinioException, urllib3.exceptions.HTTPError) as error:
            raise self._translated(f"write {name}", error) from error
        return {"object": name, "versionId": done.version_id or "", "size": hasher.size, "sha256": hasher.hex}

    def verify(self, manifest: Mapping[str, Any], key: bytes) -> None:
        """Read the object back, all of it: its hash must be the one that was sent, and every chunk must open."""
        hasher, name = _Hasher(), manifest["object"]
        try:
            answer = self._store.s3.get_object(self._bucket, name, version_id=manifest["versionId"] or None)
            try:
                for _ in unseal(Pieces(hasher.through(answer.stream(1 << 20))), lambda _: key):
                    pass
            finally:
                answer.close()
                answer.release_conn()
        except (MinioException, urllib3.exceptions.HTTPError) as error:
            raise self._translated(f"read back {name}", error) from error
        if (hasher.hex, hasher.size) != (manifest["sha256"], manifest["size"]):
            raise StoreFailed(f"{name} reads back as {hasher.size} bytes {hasher.hex}, not as it was written")

    def write_manifest(self, backup: str, manifest: Mapping[str, Any], until: datetime) -> None:
        """Write the manifest and read it back: from here on it is a backup."""
        name, text = f"backups/{backup}/manifest.json", json.dumps(manifest, indent=2, sort_keys=True).encode()
        try:
            self._store.s3.put_object(
                self._bucket,
                name,
                io.BytesIO(text),
                len(text),
                "application/json",
                retention=Retention(GOVERNANCE, until),
            )
            answer = self._store.s3.get_object(self._bucket, name)
            found = answer.read()
            answer.release_conn()
        except (MinioException, urllib3.exceptions.HTTPError) as error:
            raise self._translated(f"write {name}", error) from error
        if found != text:
            raise StoreFailed(f"{name} does not read back as it was written")

    def prune(self, now: datetime, retention: timedelta) -> list[str]:
        """Remove every version of backups older than the retention, but never the newest whole one; return their names.

        One that is still locked, because somebody prolonged its lock or holds it, is left for a later run.
        """
        try:
            found = [pair for pair in versions(self._store, self._bucket) if pair[0].startswith("backups/")]
            whole = sorted(name.split("/")[1] for name, _ in found if name.endswith("/manifest.json"))
            doomed: dict[str, list[tuple[str, str]]] = {}
            for name, version in found:
                folder = name.split("/")[1]
                if folder not in whole[-1:] and _taken(folder) + retention + _LOCK_SLACK < now:
                    doomed.setdefault(folder, []).append((name, version))
            return sorted(folder for folder, pairs in doomed.items() if self._remove(pairs))
        except (MinioException, urllib3.exceptions.HTTPError) as error:
            raise self._translated("remove expired backups", error) from error

    def _remove(self, pairs: Sequence[tuple[str, str]]) -> bool:
        try:
            for name, version in sorted(pairs, reverse=True):  # the manifest first: what is left is then no backup
                self._store.s3.remove_object(self._bucket, name, version_id=version)
        except S3Error as error:
            if error.code != "AccessDenied":
                raise
            return False
        return True

    def _translated(self, what: str, error: Exception) -> CloisterError:
        return translate(self._store.where, what, error)


def _taken(folder: str) -> datetime:
    """Return when a backup was begun, by its name; a name of another kind is from the far future and is never removed."""
    try:
        return datetime.strptime(folder.partition("-")[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return datetime.max.replace(tzinfo=UTC) - timedelta(days=36500)


class _Hasher:
    """Counts and hashes what passes through."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self.size = 0

    @property
    def hex(self) -> str:
        """The SHA-256 so far."""
        return self._sha256.hexdigest()

    def through(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the pieces unchanged."""
        for piece in pieces:
            self._sha256.update(piece)
            self.size += len(piece)
            yield piece
