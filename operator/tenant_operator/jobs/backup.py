"""The backup job: a base backup of the whole server, sealed, stored under a lock, read back, and recorded.

`python -m tenant_operator.jobs.backup`, configuration in CLOISTER_BACKUP_CONFIG (stack/backup.py renders it). The intent is in
the audit log before anything is read; without the log there is no backup. The termination message is the report that
`stack.backup.checks` reads: `{"at", "backup", "size", "sha256", …}`, or `{"at", "error"}`.
"""

import asyncio
import base64
import json
import os
import secrets
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from audit_contract.actions import Action
from audit_contract.client import AuditClient, AuditError
from audit_contract.entry import Actor, Change, Draft, ObjectRef, Reason
from tenant_operator.clients.vault_client import VaultAccess, VaultClient
from tenant_operator.errors import CloisterError
from tenant_operator.jobs.backup_source import SourceFailed, base_backup, server_facts
from tenant_operator.jobs.backup_store import BackupStore, StoreFailed
from tenant_operator.jobs.crypt import Damaged, new_header

REPORT = Path("/dev/termination-log")
_FAILURES = (AuditError, CloisterError, Damaged, SourceFailed, StoreFailed, OSError)


def vault_client(vault: Mapping[str, Any]) -> VaultClient:
    """Return a client that signs in as the backup service account."""
    ca, token = Path(vault["caFile"]).read_text(encoding="utf-8"), Path(vault["tokenFile"])
    return VaultClient(
        VaultAccess(vault["address"], ca, vault["transitMount"], vault["authMount"], vault["role"], token)
    )


async def data_key(vault: Mapping[str, Any]) -> tuple[bytes, str]:
    """Return a new data key in the clear and as the tenant's key wrapped it. Raises Retryable or Refused."""
    client, path = vault_client(vault), f"/v1/{vault['transitMount']}/datakey/plaintext/{vault['key']}"
    try:
        answer = await client.call("make a data key", lambda v: v.adapter.post(path, json={}))
    finally:
        client.close()
    return base64.b64decode(answer["data"]["plaintext"]), answer["data"]["ciphertext"]


def drafts(tenant: Mapping[str, Any], backup: str) -> tuple[Draft, Actor, ObjectRef]:
    """Return the intent, and who and what an outcome has to name again."""
    namespace = f"tenant-{tenant['name']}"
    actor = Actor(type="service", sub=f"system:serviceaccount:{namespace}:backup", name=os.environ.get("POD_NAME"))
    thing = ObjectRef(type="Backup", id=backup, namespace=namespace)
    return Draft(actor=actor, action=Action.JOB_BACKUP, phase="intent", object=thing), actor, thing


def _auditor(audit: Mapping[str, Any]) -> AuditClient:
    token = Path(audit["tokenFile"])
    source = f"backup/{os.environ.get('POD_UID') or secrets.token_hex(8)}"
    return AuditClient(
        audit["url"], token=token.read_text, source_kind="job", source_id=source, ca_file=audit["caFile"]
    )


async def run(config: Mapping[str, Any]) -> dict[str, Any]:
    """Take one backup and return its report. Raises what _FAILURES lists; the outcome is recorded all the same."""
    began = datetime.now(UTC)
    backup = f"{began:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
    intent, actor, thing = drafts(config["tenant"], backup)

    def outcome(result: Any, *changes: Change, **more: Any) -> Draft:
        about = thing.model_copy(update=more.pop("object", {}))
        return Draft(
            actor=actor, action=Action.JOB_BACKUP, phase="outcome", intent=intent.id,
            object=about, result=result, change=changes, **more,
        )  # fmt: skip

    async with _auditor(config["audit"]) as audit:
        await audit.append(config["audit"]["log"], [intent])
        try:
            manifest, pruned = await _take(config, backup, began)
        except _FAILURES as error:
            why = Reason(code="Failed", text=str(error)[:1000] or type(error).__name__)
            with suppress(AuditError):  # the error itself is what has to be reported
                await audit.append(config["audit"]["log"], [outcome("error", reason=why)])
            raise
        changes = [
            Change(path="/manifest", new=manifest),
            *(Change(path=f"/pruned/{name}", old=name) for name in pruned),
        ]
        done = outcome(
            "ok", *changes[:64], object={"sha256": manifest["sha256"], "version": manifest["versionId"] or None}
        )
        await audit.append(config["audit"]["log"], [done])
    facts = ("size", "sha256", "systemIdentifier", "retainUntil")
    return {
        "at": manifest["finishedAt"],
        "backup": backup,
        **{name: manifest[name] for name in facts},
        "pruned": len(pruned),
    }


async def _take(config: Mapping[str, Any], backup: str, began: datetime) -> tuple[dict[str, Any], list[str]]:
    key, wrapped = await data_key(config["vault"])
    retain = began + timedelta(seconds=config["retentionSeconds"])
    facts = {"backup": backup, "tenant": config["tenant"]["id"], "key": config["vault"]["key"], "content": "tar.zst"}
    header = new_header(wrapped, **facts)

    def work() -> tuple[dict[str, Any], list[str]]:
        database = config["database"]
        server = server_facts(database)
        store = BackupStore(config["store"])
        with base_backup(database, backup) as source:
            stored = store.write(backup, source, key, header, retain, expected=server.pop("bytes"))
        manifest = {
            "format": "CLOISTER-SEALED/1", **facts, "wrappedKey": wrapped, "tenantName": config["tenant"]["name"],
            "region": config["tenant"]["region"], "startedAt": _text(began), "retainUntil": _text(retain), **server, **stored,
        }  # fmt: skip
        store.verify(manifest, key)
        manifest["finishedAt"] = _text(datetime.now(UTC))
        store.write_manifest(backup, manifest, retain)
        return manifest, store.prune(datetime.now(UTC), timedelta(seconds=config["retentionSeconds"]))

    return await asyncio.to_thread(work)


def _text(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def main() -> int:
    """Take a backup and leave the report."""
    config = json.loads(Path(os.environ["CLOISTER_BACKUP_CONFIG"]).read_text(encoding="utf-8"))
    try:
        report, code = asyncio.run(run(config)), 0
    except _FAILURES as error:
        report, code = {"at": _text(datetime.now(UTC)), "error": str(error)[:2000] or type(error).__name__}, 1
    text = json.dumps(report)
    with suppress(OSError):  # outside a pod there is none
        REPORT.write_text(text, encoding="utf-8")
    sys.stdout.write(text + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
