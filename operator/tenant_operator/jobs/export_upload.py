"""Uploading to a signed address, and reading back all of it: what counts is what the store gives, not what it answered."""

import hashlib
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx

_CHUNK = 1 << 20
_TIMEOUT = httpx.Timeout(60.0, connect=10.0)


class TransferFailed(Exception):
    """The store did not take or give the object. Its words never hold the address's signature: who has that may write there."""


def _client(ca_file: str) -> httpx.Client:
    context = ssl.create_default_context(cafile=ca_file or None)
    return httpx.Client(verify=context, timeout=_TIMEOUT, trust_env=False)


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def upload(url: str, path: Path, ca_file: str) -> None:
    """PUT a file of known size. Raises TransferFailed or httpx.TransportError."""
    headers = {"Content-Length": str(path.stat().st_size), "Content-Type": "application/octet-stream"}
    with _client(ca_file) as client:
        _check(client.put(url, content=_chunks(path), headers=headers))


def upload_bytes(url: str, content: bytes, ca_file: str) -> None:
    """PUT a few bytes. Raises TransferFailed or httpx.TransportError."""
    with _client(ca_file) as client:
        _check(client.put(url, content=content, headers={"Content-Type": "application/json"}))


def read_back(url: str, ca_file: str) -> tuple[str, int]:
    """GET all of it; return its SHA-256 and size. Raises TransferFailed or httpx.TransportError."""
    found, size = hashlib.sha256(), 0
    with _client(ca_file) as client, client.stream("GET", url) as answer:
        _check(answer)
        for chunk in answer.iter_bytes(_CHUNK):
            found.update(chunk)
            size += len(chunk)
    return found.hexdigest(), size


def _check(answer: httpx.Response) -> None:
    """Raise TransferFailed unless it is a success; httpx's own error would name the whole address."""
    if not answer.is_success:
        where = answer.url.copy_with(query=None)
        raise TransferFailed(f"{answer.request.method} {where}: the store answered {answer.status_code}")
