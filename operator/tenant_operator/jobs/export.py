"""The export job: dump, audit bundle, signed manifest, one sealed tar, uploaded and read back.

`python -m tenant_operator.jobs.export /etc/cloister/export/job.json`. The init container has put the documents into the folder
before. The receipt goes beside the export and into the termination message; the operator reads the export again by itself.
"""

import asyncio
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from audit_contract.client import AuditClient
from tenant_operator.jobs.export_pack import digest_file, manifest, sign, write_tar
from tenant_operator.jobs.export_seal import Sealer, recipient_of
from tenant_operator.jobs.export_upload import read_back, upload, upload_bytes

RECEIPT = Path("/dev/termination-log")
_README = """\
Export of tenant {tenant}, offboarding {uid}.

documents/        every document's versions in their original bytes; documents.json says what each one is
database.dump     the database, for `pg_restore`
audit.bundle      the audit log, for `cloister-verify`
MANIFEST.json     SHA-256 and size of every other file
MANIFEST.dsse.json  the manifest's signature (DSSE, Ed25519) by the tenant's signing key, with the public key
"""


class ExportFailed(Exception):
    """The export cannot be made; the message says why and is shown in the offboarding's conditions."""


def dump(database: Mapping[str, Any], target: Path) -> None:
    """Write a `pg_dump -Fc` of the app's database over TLS with the server's name checked. Raises ExportFailed."""
    environment = {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "PGHOST": database["host"],
        "PGPORT": str(database["port"]),
        "PGDATABASE": database["name"],
        "PGUSER": database["user"],
        "PGPASSWORD": Path(database["passwordFile"]).read_text().strip(),
        "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": database["caFile"],
        "PGCONNECT_TIMEOUT": "10",
    }
    done = subprocess.run(
        ["pg_dump", "--format=custom", "--no-password", f"--file={target}"],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise ExportFailed(f"pg_dump: {done.stderr.strip()[-500:]}")


async def audit_bundle(audit: Mapping[str, Any]) -> bytes:
    """Return the tenant's audit log as the bundle that `cloister-verify` checks offline."""
    token_file = Path(audit["tokenFile"])
    async with AuditClient(
        audit["url"], token=token_file.read_text, source_kind="job", ca_file=audit["caFile"]
    ) as client:
        return await client.export(audit["log"])


def run(job: Mapping[str, Any]) -> dict[str, Any]:
    """Make the export; return its receipt."""
    folder, spool = Path(job["folder"]), Path(job["spool"])
    folder.mkdir(parents=True, exist_ok=True)
    index = folder / "documents.json"
    if not index.is_file():
        raise ExportFailed("documents.json is not there: the app's export did not finish")
    dump(job["database"], folder / "database.dump")
    (folder / "audit.bundle").write_bytes(asyncio.run(audit_bundle(job["audit"])))
    text = _README.format(tenant=job["tenant"]["name"], uid=job["offboarding"]["uid"])
    (folder / "README.txt").write_text(text)
    listed = manifest(folder, job)
    (folder / "MANIFEST.json").write_bytes(listed)
    (folder / "MANIFEST.dsse.json").write_bytes(sign(job["vault"], listed))
    sealed = spool / Path(job["key"]).name
    with Sealer(recipient_of(job["recipient"]), sealed) as sealer:
        write_tar(folder, sealer.stream)
    return _deliver(job, sealed, index, listed)


def _deliver(job: Mapping[str, Any], sealed: Path, index: Path, listed: bytes) -> dict[str, Any]:
    urls = json.loads(Path(job["urlsFile"]).read_text())
    sha256, size = digest_file(sealed)
    upload(urls["put"], sealed, job["storeCaFile"])
    found = read_back(urls["get"], job["storeCaFile"])
    if found != (sha256, size):
        raise ExportFailed(f"read back {found[1]} bytes {found[0]}, wrote {size} bytes {sha256}")
    receipt = {
        "version": 1,
        "tenant": job["tenant"],
        "offboarding": job["offboarding"],
        "bucket": job["bucket"],
        "key": job["key"],
        "sha256": sha256,
        "size": size,
        "documents": _count(index),
        "manifestSha256": digest_bytes(listed),
        "writtenBy": job["image"],
        "at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    upload_bytes(urls["putReceipt"], json.dumps(receipt, indent=2).encode(), job["storeCaFile"])
    return receipt


def digest_bytes(content: bytes) -> str:
    """Return the SHA-256 of some bytes in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _count(index: Path) -> int:
    listed = json.loads(index.read_text())
    documents = listed["documents"] if isinstance(listed, dict) else listed
    return len(documents)


def main() -> int:
    """Run; the receipt or the failure becomes the termination message."""
    job = json.loads(Path(sys.argv[1]).read_text())
    try:
        receipt = run(job)
    except Exception as error:  # whatever it was, a person reads it in the condition
        RECEIPT.write_text(json.dumps({"error": f"{type(error).__name__}: {error}"[:3000]}))
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    RECEIPT.write_text(json.dumps(receipt))
    sys.stdout.write(json.dumps(receipt) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
