"""Checks an evidence pack of one signature with nothing but the pack: `python check.py`, in its folder.

Needs Python and `cryptography`. Says what it checked, line by line, and ends with 0 when everything held. That the audit log has
the entry is checked by `cloister-verify`, as README.txt says; that the public keys are the tenant's is for you to compare with
keys that you have from elsewhere.
"""

import base64
import hashlib
import hmac
import json
import sys
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key


class Failed(Exception):
    """A check did not hold."""


def main(folder: Path) -> int:
    """Check the pack in a folder; return 0 when everything held, 1 when something did not."""
    try:
        for line in check(folder):
            print(f"ok      {line}")  # noqa: T201  # a program for people
    except (Failed, InvalidSignature, OSError, KeyError, IndexError, ValueError) as error:
        print(f"FAILED  {type(error).__name__}: {error}")  # noqa: T201  # likewise
        return 1
    return 0


def check(folder: Path) -> list[str]:
    """Return what held, in words. Raises Failed or what reading a broken pack raises."""
    envelope = json.loads((folder / "signature.dsse.json").read_bytes())
    payload = _opened(envelope, folder)
    signer, meaning, record = payload["signer"], payload["meaning"], payload["record"]
    behalf = payload.get("on_behalf_of")
    who = signer["printed_name"] + (f", on behalf of {behalf['printed_name']}" if behalf else "")
    said = [f"the tenant's key sealed it: {who}, {meaning['code']}, {payload['time']['utc']}"]
    if base64.b64decode(envelope["payload"]) != (folder / "payload.json").read_bytes():
        raise Failed("payload.json is not what was sealed")
    statement = (folder / "statement.txt").read_bytes()
    if statement.decode() != meaning["statement"] or _sha256(statement) != meaning["statement_sha256"]:
        raise Failed("statement.txt is not the statement that was signed")
    said.append("the statement is the one that was signed")
    [content] = (folder / "content").iterdir()
    if _sha256(content.read_bytes()) != record["content_sha256"]:
        raise Failed(f"{content.name} is not the content that was signed")
    said.append(f"{content.name} is the content that was signed: {record['content_sha256']}")
    said.append(_chain(folder, envelope, payload))
    if "trail_review" in payload:
        said.append(_trail(folder, payload))
    if (folder / "entry.json").exists():
        said.append(_entry(folder, envelope, payload))
    return said


def _opened(envelope: dict[str, Any], folder: Path) -> dict[str, Any]:
    raw, sealed = base64.b64decode(envelope["payload"]), envelope["signatures"][0]
    version = int(sealed["keyid"].rpartition(":v")[2])
    key = load_pem_public_key((folder / f"signing-key-v{version}.pem").read_bytes())
    if not isinstance(key, Ed25519PublicKey):
        raise Failed("the signing key is not an Ed25519 key")
    kind = envelope["payloadType"].encode()
    key.verify(base64.b64decode(sealed["sig"]), b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(raw), raw))
    payload: dict[str, Any] = json.loads(raw)
    return payload


def _chain(folder: Path, envelope: dict[str, Any], payload: dict[str, Any]) -> str:
    """Follow the signatures before this one on the same document: none is missing and none is from elsewhere."""
    before = "none"
    earlier = sorted((folder / "before").glob("*.json")) if (folder / "before").is_dir() else []
    for found in [*(json.loads(path.read_bytes()) for path in earlier), envelope]:
        one = _opened(found, folder)
        if (
            one["prev_sig"] != before
            or one["record"]["id"] != payload["record"]["id"]
            or one["tenant"] != payload["tenant"]
        ):
            raise Failed("the chain of signatures is broken before this one")
        before = _digest(found)
    return f"it follows {len(earlier)} earlier signatures of this document, none missing"


def _trail(folder: Path, payload: dict[str, Any]) -> str:
    """Check that the entries beside the signature are exactly those that the review covers."""
    covers, raw = payload["trail_review"], (folder / "trail.json").read_bytes()
    if _sha256(raw) != covers["sha256"]:
        raise Failed("trail.json is not the trail that was reviewed")
    lines = json.loads(raw)
    found = (lines[0]["seq"], lines[-1]["seq"], len(lines), lines[-1]["chainHash"])
    if found != (covers["first"], covers["last"], covers["entries"], covers["hash"]) or any(
        line["entry"]["object"]["id"] != payload["record"]["id"] for line in lines
    ):
        raise Failed("trail.json holds other entries than the review says")
    return f"it covers the {found[2]} entries of this document from {found[0]} to {found[1]}, each as it stands in trail.json"


def _entry(folder: Path, envelope: dict[str, Any], payload: dict[str, Any]) -> str:
    """Check that the entry of the audit log names this signature: its commitment opens to the envelope's digest."""
    entry = json.loads((folder / "entry.json").read_bytes())
    if entry["object"]["id"] != payload["record"]["id"] or entry["actor"]["sub"] != payload["signer"]["sub"]:
        raise Failed("the log's entry is of another document or person")
    values = json.loads((folder / "entry-values.json").read_bytes())
    wanted = json.dumps(_digest(envelope)).encode()
    place = next(number for number, change in enumerate(entry["change"]) if change["path"] == "/signature")
    commitment = entry["change"][place]["new"]["c"]
    salt = bytes.fromhex(values[f"change.{place}.new"]["salt"])
    if not hmac.compare_digest(hmac.digest(salt, wanted, "sha256").hex(), commitment):
        raise Failed("the log's entry names another signature")
    return "the log's entry names exactly this signature"


def _digest(envelope: dict[str, Any]) -> str:
    # An envelope is of ASCII strings only, for which sorted and compact is RFC 8785's form.
    return _sha256(json.dumps(envelope, sort_keys=True, separators=(",", ":")).encode())


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve().parent))
