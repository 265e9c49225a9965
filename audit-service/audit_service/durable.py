"""Files that are on the disk when the call returns."""

import os
from pathlib import Path


def write_durably(file: Path, data: bytes, mode: int = 0o644) -> None:
    """Replace a file in one step: whoever reads sees the old bytes or the new, also after a loss of power."""
    draft = file.with_name(f"{file.name}.new")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(handle, "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    draft.replace(file)
    sync_folder(file.parent)


def sync_folder(folder: Path) -> None:
    """Make what the folder lists durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
