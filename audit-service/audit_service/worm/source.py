"""Where a restore reads: a Region's bucket, or a folder that somebody copied a bucket into."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from audit_service.worm.bucket import Bucket, CopyStoreError


class Source(Protocol):
    """Names and contents. Methods raise CopyStoreError."""

    @property
    def where(self) -> str:
        """Return its address, for messages and as the copy's name in the database."""

    async def listed(self, prefix: str) -> Mapping[str, str]:
        """Return the names under a prefix, each with what `read` needs to find its first version."""

    async def read(self, name: str, version: str) -> bytes:
        """Return an object's content."""


class BucketSource:
    """A bucket under Object Lock: the first version of each name."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    @property
    def where(self) -> str:
        """Return the bucket's address."""
        return self._bucket.where

    async def listed(self, prefix: str) -> Mapping[str, str]:
        """Return the names with their first versions."""
        return await asyncio.to_thread(self._bucket.first_versions, prefix)

    async def read(self, name: str, version: str) -> bytes:
        """Return one version."""
        return await asyncio.to_thread(self._bucket.read, name, version)


class FolderSource:
    """A folder with the bucket's objects as files. It has one version of each, whichever whoever filled it chose."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def where(self) -> str:
        """Return the folder's path."""
        return str(self._folder)

    async def listed(self, prefix: str) -> Mapping[str, str]:
        """Return the names of all files."""
        return await asyncio.to_thread(self._listed, prefix)

    def _listed(self, prefix: str) -> dict[str, str]:
        files = (file.relative_to(self._folder).as_posix() for file in self._folder.rglob("*") if file.is_file())
        return {name: "" for name in sorted(files) if name.startswith(prefix)}

    async def read(self, name: str, version: str) -> bytes:  # noqa: ARG002  # files have no versions
        """Return a file's content."""
        try:
            return await asyncio.to_thread((self._folder / name).read_bytes)
        except OSError as error:
            raise CopyStoreError(f"read {name}: {error}") from error
