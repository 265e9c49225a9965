# ruff: noqa: INP001 - files of an image, not of a package
"""A new data directory: a copy of the image's template with an identity of its own, whole or not there. Standard library only."""

import os
import shutil
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ALL_ZERO_FROM = 1 << 20
"""Files this large are WAL: their unwritten rest is reserved on the volume, not written."""
_BLOCK = 1 << 20
THREADS = 32


class Unusable(Exception):
    """The volume or the template is not what it should be; a person has to look."""


def prepare(data: Path, template: Path) -> int | None:
    """Make the data directory if there is none; return its new system identifier, None when it was there.

    Raises Unusable when there is something that is no database of this version; it is left as it is.
    """
    version = (template / "PG_VERSION").read_text().strip()
    if (data / "PG_VERSION").exists():
        found = (data / "PG_VERSION").read_text().strip()
        if found != version:
            raise Unusable(
                f"{data} is of PostgreSQL {found}, this image is {version}: use the image it was made with, or upgrade it"
            )
        if data.stat().st_mode & 0o027:  # a volume plugin's fsGroup pass; the server refuses to start like that
            data.chmod(0o700)
        return None
    if data.exists() and any(data.iterdir()):
        raise Unusable(f"{data} holds files but no database; nothing was touched, have a look at the volume")
    new = data.with_name(f"{data.name}.new")
    if new.exists():
        shutil.rmtree(new)  # an earlier start was killed; it was never in use
    _copy(str(template), str(new))
    identifier = stamp(new)
    new.rename(data)
    _sync(str(data.parent))
    return identifier


def _copy(source: str, target: str) -> None:
    """Copy a tree and make it durable.

    Many threads at once, because their fsyncs then share the journal's commits: a thousand one after the other take a second,
    and syncfs would wait for what the neighbours on this node have written.
    """
    folders, files = [target], []
    os.mkdir(target, 0o700)  # noqa: PTH102 - strings and plain calls here: pathlib doubles the time of a thousand files
    for at, names, found in os.walk(source):
        there = target + at[len(source) :]
        files += [(f"{at}/{name}", f"{there}/{name}") for name in found]
        for name in names:
            folders.append(f"{there}/{name}")
            os.mkdir(folders[-1], 0o700)  # noqa: PTH102
    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(_copy_file, *zip(*files, strict=True)))
        list(threads.map(_sync, folders))


def _copy_file(source: str, target: str) -> None:
    read = os.open(source, os.O_RDONLY)
    write = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        size = os.fstat(read).st_size
        wal = size >= ALL_ZERO_FROM
        if wal:
            os.posix_fallocate(write, 0, size)
        at = 0
        while at < size and (block := os.read(read, min(_BLOCK, size - at))):
            if not (wal and block.count(0) == len(block)) and os.pwrite(write, block, at) != len(block):
                raise OSError(f"{target}: the volume took only part of a block")
            at += len(block)
        os.fsync(write)
    finally:
        os.close(read)
        os.close(write)


def stamp(data: Path) -> int:
    """Give a copied data directory its own system identifier and authentication nonce; return the identifier.

    Both are in pg_control (src/include/catalog/pg_control.h), covered by its CRC-32C, the nonce just before it; the first
    page of each WAL segment repeats the identifier (src/include/access/xlog_internal.h). As initdb does, the upper half is
    the time; the lower is random, so that no two tenants share one.
    """
    control = data / "global" / "pg_control"
    raw = bytearray(control.read_bytes())
    end = _crc_offset(bytes(raw))
    (old,) = struct.unpack_from("<Q", raw, 0)
    identifier = int(time.time()) << 32 | int.from_bytes(os.urandom(4), "big")
    struct.pack_into("<Q", raw, 0, identifier)
    raw[end - 32 : end] = os.urandom(32)
    struct.pack_into("<I", raw, end, crc32c(bytes(raw[:end])))
    control.write_bytes(raw)
    _sync(str(control))
    for segment in (data / "pg_wal").iterdir():
        if not segment.is_file():
            continue
        with segment.open("r+b") as file:
            header = file.read(32)
            if struct.unpack_from("<Q", header, 24)[0] != old:
                raise Unusable(f"template: WAL segment {segment.name} is not of the template's server")
            file.seek(24)
            file.write(struct.pack("<Q", identifier))
        _sync(str(segment))
    return identifier


def _crc_steps(data: bytes) -> Iterator[int]:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        yield crc ^ 0xFFFFFFFF


def crc32c(data: bytes) -> int:
    """Return the CRC-32C (Castagnoli, RFC 3720 appendix B.4) as PostgreSQL uses it."""
    return list(_crc_steps(data))[-1]


def _crc_offset(raw: bytes) -> int:
    """Return where pg_control's own CRC is: the field that holds the CRC of all bytes before it."""
    for index, crc in enumerate(_crc_steps(raw[:1024])):
        end = index + 1
        if end >= 128 and end % 4 == 0 and struct.unpack_from("<I", raw, end)[0] == crc:  # noqa: PLR2004
            return end
    raise Unusable("template: pg_control has no valid checksum")


def _sync(path: str) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
