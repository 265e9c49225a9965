"""Signing the certificate of destruction and turning the TenantRecord into a tombstone that carries it."""

import asyncio
import base64
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tenant_operator.api.common import API_VERSION
from tenant_operator.api.names import LABEL_MANAGED_BY, MANAGED_BY, PLATFORM_LOG
from tenant_operator.api.reasons import Reason
from tenant_operator.errors import Refused, Retryable
from tenant_operator.offboarding import certificate
from tenant_operator.offboarding.destroying import ABSENT
from tenant_operator.offboarding.journal import Journal
from tenant_operator.offboarding.ports import KeyVault
from tenant_operator.offboarding.state import Decision, Facts, grace, stamp
from tenant_operator.ports import Clock, Cluster, Planned, Recorder
from tenant_operator.stack.part import Context, External, ExternalKey, Manifest, ObjectKey

PLATFORM_KEY = "cloister-platform-signing"
PROVE, CERTIFY = "operator:offboarding:prove", "operator:offboarding:certify"
PROOF_TRIES, PROOF_PAUSE_SECONDS = 10, 0.2
_KEY_SPEC = {
    "type": "ed25519",
    "exportable": False,
    "allowPlaintextBackup": False,
    "deletionAllowed": False,
    "autoRotateSeconds": 0,
    "rotationPeriodSeconds": 0,
    "rotationDue": False,
}


@dataclass
class Certifier:
    """Makes one certificate. A kill before the record is written leaves none; after it there is exactly one."""

    cluster: Cluster
    keys: KeyVault
    recorder: Recorder
    clock: Clock
    operator_namespace: str

    async def certify(self, ctx: Context, facts: Facts, decision: Decision, journal: Journal) -> Manifest:
        """Record that all is gone, sign the certificate, and write it into the TenantRecord, which becomes a tombstone."""
        version, public = await self._signing_key(ctx)
        audit = [await self._entry(ctx, log, journal) for log in (ctx.names.audit_log, PLATFORM_LOG)]
        issuer = {
            "vault": ctx.region.vault.address,
            "region": ctx.spec.region,
            "key": PLATFORM_KEY,
            "version": version,
            "publicKey": certificate.pem(public),
        }
        payload = self._payload(ctx, facts, decision, journal, audit, issuer)
        payload["inventory"] = await self._inventory(facts)
        signed = await self.keys.sign(ctx, PLATFORM_KEY, certificate.pae(payload))
        _, signed_version, value = signed.split(":", 2)
        if signed_version != f"v{version}":
            raise Retryable(f"{PLATFORM_KEY} was rotated while signing; signing anew", reason=Reason.ROTATION_DUE)
        made = certificate.seal(payload, base64.b64decode(value))
        wrong = [finding.text for finding in certificate.verify(certificate.encode(made), public_key=public)]
        if wrong:
            raise Refused(
                f"the certificate does not hold and is not issued: {'; '.join(wrong)}", reason=Reason.NOT_AS_SPECIFIED
            )
        return await self._publish(ctx, facts, made)

    async def _signing_key(self, ctx: Context) -> tuple[int, bytes]:
        """Return the platform's signing key in this Region, made when missing, published for pinning."""
        wanted = External(ExternalKey("vault", "key", PLATFORM_KEY), _KEY_SPEC, 0)
        if await self.keys.observe(ctx, wanted) is None:
            planned = Planned(
                "operator:vault-key:create", "vault-key", PLATFORM_KEY, "", "Offboarding", ctx.spec.region
            )
            async with self.recorder.acts(PLATFORM_LOG, [planned]) as (act,):
                await self.keys.ensure(ctx, wanted, None)
                act.done()
        versions = await self.keys.public_keys(ctx, PLATFORM_KEY)
        if not versions:
            raise Retryable(f"{PLATFORM_KEY} cannot be read", reason=Reason.VAULT_UNREACHABLE)
        pins = {f"v{version}.pem": certificate.pem(raw) for version, raw in sorted(versions.items())}
        await self.cluster.apply(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {
                    "name": f"cloister-signing-{ctx.spec.region}",
                    "namespace": self.operator_namespace,
                    "labels": {LABEL_MANAGED_BY: MANAGED_BY},
                },
                "data": pins,
            }
        )
        latest = max(versions)
        return latest, versions[latest]

    async def _entry(self, ctx: Context, log: str, journal: Journal) -> dict[str, Any]:
        """Return the log's entry that all is gone, with its proof. The entry is made once: its place is saved with the steps."""
        count = sum(1 for step in journal.status.steps if step.state == ABSENT)
        text = f"all {count} things of tenant {ctx.names.tenant} ({ctx.names.id}) were listed as absent"
        name = f"last entry of log {log}"
        saved = journal.step(name)
        entry: dict[str, Any] = json.loads(saved.evidence) if saved else {}
        if entry.get("text") != text:
            receipt = await self.recorder.note(log, Planned(PROVE, "Tenant", ctx.names.tenant, "", "Offboarding", text))
            entry = {"text": text, "log": log, **{field: receipt[field] for field in ("id", "index", "leafHash")}}
            await journal.mark(name, "Recorded", json.dumps(entry))
        return {**entry, "proof": await self._proof(log, int(entry["index"]))}

    async def _proof(self, log: str, index: int) -> str:
        """Return the entry's proof; a log signs its checkpoint a moment after it has acknowledged an entry."""
        for _ in range(PROOF_TRIES):
            with suppress(Refused):
                return (await self.recorder.proof(log, index)).decode()
            await asyncio.sleep(PROOF_PAUSE_SECONDS)
        try:
            return (await self.recorder.proof(log, index)).decode()
        except Refused as error:
            said = f"no checkpoint covers entry {index} of {log} yet: {error.message}"
            raise Retryable(said, reason=Reason.AUDIT_UNAVAILABLE) from error

    async def _inventory(self, facts: Facts) -> list[Any]:
        """Return where the tenant's bytes lay, as the record or the Tenant last said."""
        tenant = await self.cluster.read(ObjectKey(API_VERSION, "Tenant", "", facts.tenant))
        for seen in (facts.record, tenant):
            if found := ((seen or {}).get("status") or {}).get("inventory"):
                return list(found)
        return []

    def _payload(
        self,
        ctx: Context,
        facts: Facts,
        decision: Decision,
        journal: Journal,
        audit: Sequence[Mapping[str, Any]],
        issuer: Mapping[str, Any],
    ) -> dict[str, Any]:
        spec = facts.offboarding["spec"]
        steps = journal.status.steps
        receipt = journal.status.export
        if receipt is None:
            raise Refused("there is no verified export to certify", reason=Reason.NOT_OBSERVED)
        began = journal.step("destruction began")
        return {
            "type": certificate.PAYLOAD_TYPE,
            "tenant": {"name": ctx.names.tenant, "id": ctx.names.id, "region": ctx.spec.region},
            "offboarding": {
                "name": facts.offboarding["metadata"]["name"],
                "uid": facts.uid,
                "requestedBy": spec["requestedBy"],
                "reason": spec["reason"],
                "recipient": dict(spec["recipient"]),
            },
            "approvals": [dict(approval) for approval in decision.approvals.records],
            "export": receipt.manifest(),
            "gracePeriod": f"{int(grace(facts).total_seconds())}s",
            "destructionBegan": began.at if began else "",
            "evidence": [step.manifest() for step in steps if step.state in {ABSENT, "Deleting"}],
            "kept": [f"audit log {ctx.names.audit_log}", f"export {receipt.bucket}/{receipt.key}"],
            "audit": [dict(entry) for entry in audit],
            "issuer": dict(issuer),
            "issuedAt": stamp(self.clock.now()),
            "operator": ctx.platform.version,
        }

    async def _publish(self, ctx: Context, facts: Facts, made: Mapping[str, Any]) -> Manifest:
        """Write the tombstone, the one durable step; its intent and outcome are in both logs."""
        record = facts.record
        if record is None:
            raise Refused("the TenantRecord is gone", reason=Reason.MISSING)
        change = {"state": "Destroyed", "since": made["payload"]["issuedAt"], "certificate": dict(made)}
        planned = Planned(
            CERTIFY,
            "TenantRecord",
            ctx.names.tenant,
            reason="Offboarding",
            text=f"certificate signed with {PLATFORM_KEY} of {ctx.spec.region}: {made['signature']}",
            change=[("/spec/state", record["spec"]["state"], "Destroyed")],
        )
        async with self.recorder.acts(ctx.names.audit_log, [planned]) as (mine,):
            async with self.recorder.acts(PLATFORM_LOG, [planned]) as (ours,):
                written = await self.cluster.patch(record, {"spec": change})
                ours.done()
            mine.done()
        return written
