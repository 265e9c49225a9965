"""Files that are either whole or absent, and locks that end with their holder."""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from localcluster.console import say
from localcluster.errors import LocalClusterError


def write(path: Path, content: str | bytes, mode: int = 0o644) -> bool:
    """Replace a file in one step, and tell whether that changed anything."""
    data = content.encode() if isinstance(content, str) else content
    if path.exists() and path.read_bytes() == data and path.stat().st_mode & 0o777 == mode:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as handle:
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())
    temporary.chmod(mode)
    temporary.replace(path)
    return True


def link(path: Path, target: Path) -> None:
    """Point a symbolic link at its target, replacing what it pointed at before."""
    if path.is_symlink() and path.readlink() == target:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(path)


def digest_files(files: list[Path], base: Path, *extra: str) -> str:
    """Name the content of files and of further inputs; equal inputs give equal names.

    Paths enter relative to their base, so that every clone computes the same name.
    """
    whole = hashlib.sha256()
    for text in extra:
        whole.update(f"text {len(text)}\n{text}\n".encode())
    for path in sorted(files):
        content = path.read_bytes()
        executable = bool(path.stat().st_mode & 0o100)
        whole.update(f"file {path.relative_to(base)} {executable} {len(content)}\n".encode())
        whole.update(content)
    return whole.hexdigest()


@contextmanager
def locked(path: Path, what: str, seconds: float = 3600) -> Iterator[None]:
    """Hold an exclusive lock; the kernel frees it when its holder dies, however it dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + seconds
    told = False
    with path.open("a") as handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not told:
                    say(f"another run is busy with {what}; waiting for it ({path})")
                    told = True
                if time.monotonic() > end:
                    raise LocalClusterError(f"waited {seconds:.0f}s for another run to finish {what}") from None
                time.sleep(0.5)
        yield
