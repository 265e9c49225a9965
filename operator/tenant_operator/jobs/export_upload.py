"""Uploading to a signed address, and reading back all of it: what counts is what the store gives, not what it answered."""

import hashlib
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx

_CHUNK = 1 << 20
_TIMEOUT = httpx.Timeout(60.0, connect=10.0)


def _client(ca_file: str) -> httpx.Client:
    context = ssl.create_default_context(cafile=ca_file or None)
    return httpx.Client(verify=context, timeout=_TIMEOUT, trust_env=False)


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def upload(url: str, path: Path, ca_file: str) -> None:
    """PUT a file of known size. Raises httpx.HTTPError."""
    headers = {"Content-Length": str(path.stat().st_size), "Content-Type": "application/octet-stream"}
    with _client(ca_file) as client:
        client.put(url, content=_chunks(path), headers=headers).raise_for_status()


def upload_bytes(url: str, content: bytes, ca_file: str) -> None:
    """PUT a few bytes. Raises httpx.HTTPError."""
    with _client(ca_file) as client:
        client.put(url, content=content, headers={"Content-Type": "application/json"}).raise_for_status()


def read_back(url: str, ca_file: str) -> tuple[str, int]:
    """GET all of it; return its SHA-256 and size. Raises httpx.HTTPError."""
    found, size = hashlib.sha256(), 0
    with _client(ca_file) as client, client.stream("GET", url) as answer:
        answer.raise_for_status()
        for chunk in answer.iter_bytes(_CHUNK):
            found.update(chunk)
            size += len(chunk)
    return found.hexdigest(), size
