"""What goes into an export: the manifest of hashes, its signature, and the tar stream."""

import base64
import hashlib
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import hvac
import requests
import rfc8785

PAYLOAD_TYPE = "application/vnd.cloister.export-manifest.v1+json"
_UNLISTED = {"MANIFEST.json", "MANIFEST.dsse.json"}
_CHUNK = 1 << 20
_VAULT_TIMEOUT = 10


def digest_file(path: Path) -> tuple[str, int]:
    """Return a file's SHA-256 and size."""
    found, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            found.update(chunk)
            size += len(chunk)
    return found.hexdigest(), size


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def manifest(folder: Path, job: Mapping[str, Any]) -> bytes:
    """Return the canonical JSON (RFC 8785) that lists every file of the export with its SHA-256 and size."""
    files = []
    for path in _files(folder):
        name = path.relative_to(folder).as_posix()
        if name not in _UNLISTED:
            sha256, size = digest_file(path)
            files.append({"path": name, "sha256": sha256, "size": size})
    body = {"version": 1, "tenant": job["tenant"], "offboarding": job["offboarding"], "files": files}
    return rfc8785.dumps(body)


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return DSSE's pre-authentication encoding: what is signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign(vault: Mapping[str, Any], payload: bytes) -> bytes:
    """Return the DSSE envelope of the manifest, signed by the tenant's signing key in Vault, with its public key."""
    session = requests.Session()
    session.trust_env = False
    session.verify = vault["caFile"] or True
    client = hvac.Client(url=vault["address"], session=session, timeout=_VAULT_TIMEOUT)
    token = Path(vault["tokenFile"]).read_text().strip()
    client.auth.jwt.jwt_login(role=vault["role"], jwt=token, path=vault["authMount"])
    mount, key = vault["transitMount"], vault["signingKey"]
    body = {"input": base64.b64encode(pae(PAYLOAD_TYPE, payload)).decode()}
    signature = client.adapter.post(f"/v1/{mount}/sign/{key}", json=body)["data"]["signature"]
    _, version, value = signature.split(":", 2)
    keys = client.adapter.get(f"/v1/{mount}/keys/{key}")["data"]["keys"]
    envelope = {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"keyid": f"{key}:{version}", "sig": value}],
        "publicKey": keys[version.removeprefix("v")]["public_key"],
    }
    return rfc8785.dumps(envelope)


def write_tar(folder: Path, stream: IO[bytes]) -> None:
    """Write the folder as one tar stream, in name order, without names of users or machines."""
    with tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        for path in _files(folder):
            tar.add(path, arcname=path.relative_to(folder).as_posix(), filter=_plain)


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode = 0o644
    return member
