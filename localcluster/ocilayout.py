"""Images on disk as an OCI layout, and what of them a node still lacks.

All images share one folder of blobs, so a layer that many images share lies there once. A node gets
an archive with only the blobs it does not have: after a change of code that is a small layer, not
the whole image.
"""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from localcluster.errors import LocalClusterError

_VERSION = b'{"imageLayoutVersion": "1.0.0"}'


@dataclass(frozen=True)
class Blob:
    """A piece of an image, named by its content."""

    digest: str
    size: int


@dataclass(frozen=True)
class Stored:
    """An image in the layout."""

    folder: Path
    manifest: dict[str, Any]

    @property
    def blobs(self) -> list[Blob]:
        """Everything the image consists of, the manifest first."""
        content = json.loads(_path(self.folder, self.manifest["digest"]).read_text())
        parts = [self.manifest, content["config"], *content["layers"]]
        return [Blob(part["digest"], part["size"]) for part in parts]

    @property
    def is_whole(self) -> bool:
        """Tell whether every blob is there in its full size."""
        try:
            return all(_path(self.folder, blob.digest).stat().st_size == blob.size for blob in self.blobs)
        except OSError:
            return False


def find(folder: Path, name: str) -> Stored | None:
    """Look an image up by the name it was stored under."""
    try:
        index = json.loads((folder / "index.json").read_text())
    except (OSError, ValueError):
        return None
    for manifest in index["manifests"]:
        if manifest.get("annotations", {}).get("org.opencontainers.image.ref.name") == name:
            return Stored(folder, manifest)
    return None


def write_archive(target: IO[bytes], image: Stored, name: str, present: set[str]) -> int:
    """Write an archive that containerd can import, without the blobs it has; give the bytes of the rest.

    The manifest and the configuration always go along: they are small, and the import reads them.
    """
    size = 0
    with tarfile.open(fileobj=target, mode="w|") as tar:
        entry = {key: image.manifest[key] for key in ("mediaType", "digest", "size")}
        entry["annotations"] = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name}
        index = {"schemaVersion": 2, "manifests": [entry]}
        _add(tar, "oci-layout", _VERSION)
        _add(tar, "index.json", json.dumps(index).encode())
        blobs = image.blobs
        lacking = [blob for blob in blobs[2:] if blob.digest not in present]
        for blob in (*blobs[:2], *dict.fromkeys(lacking)):
            path = _path(image.folder, blob.digest)
            if not path.exists():
                raise LocalClusterError(f"{path} of {name} is gone from the cache; delete {image.folder} to build anew")
            tar.add(path, arcname=str(path.relative_to(image.folder)))
            size += blob.size
    return size


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    item = tarfile.TarInfo(name)
    item.size = len(content)
    tar.addfile(item, io.BytesIO(content))


def _path(folder: Path, digest: str) -> Path:
    algorithm, _, value = digest.partition(":")
    return folder / "blobs" / algorithm / value
