"""The audit service through `audit_contract`: the only module of this house that knows the contract's types."""

import base64
import json
import ssl
from collections.abc import Sequence
from typing import Any

import httpx
from pydantic import ValidationError

from audit_contract import zipapp
from audit_contract.client import AuditClient, AuditConflict, AuditRefused, AuditUnavailable
from audit_contract.entry import Draft
from tenant_app.adapters.ports import Acknowledged, LogEvidence, Outgoing
from tenant_app.errors import AuditAway, AuditRefusal
from tenant_app.settings import AuditSection, SystemSection, read_secret

# Reachable is enough for readiness: whether the log takes entries is told by what waits in the outbox.
_PATIENCE = 3.0


class ServiceAuditLog:
    """The tenant's log at the audit service (port `AuditLog`)."""

    def __init__(
        self,
        section: AuditSection,
        system: SystemSection,
        *,
        service_account: str = "app",
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._section = section
        self._system = {"image": system.image, "version": system.version}
        self._account = service_account
        self._transport = transport
        self._clients: dict[str, AuditClient] = {}

    async def deliver(self, chain: str, entries: Sequence[Outgoing]) -> list[Acknowledged]:
        """See `AuditLog.deliver`."""
        try:
            drafts = [Draft.model_validate(self._draft(entry.body)) for entry in entries]
            receipts = await self._client(chain).append(self._section.log, drafts)
        except AuditUnavailable as error:
            raise AuditAway("The audit service does not answer.") from error
        except (AuditRefused, AuditConflict, ValidationError) as error:
            raise AuditRefusal(f"The audit service does not take an entry: {_brief(error)}") from error
        return [
            Acknowledged(id=receipt.id, log_index=receipt.index, leaf_hash=receipt.leaf_hash) for receipt in receipts
        ]

    async def evidence(self, log_index: int) -> LogEvidence:
        """See `AuditLog.evidence`."""
        try:
            found = await self._client("reader").evidence(self._section.log, log_index)
        except (AuditUnavailable, AuditRefused) as error:
            raise AuditAway("The audit log has no proof of this entry yet. Try again in a moment.") from error
        return LogEvidence(
            leaf=base64.b64decode(found["leaf"]),
            proof=found["proof"].encode(),
            values=found["values"],
            origin=found["origin"],
            keys=tuple(found["keys"]),
        )

    def verifier(self) -> bytes:
        """See `AuditLog.verifier`."""
        return zipapp.build()

    async def check(self) -> None:
        """See `AuditLog.check`."""
        try:
            async with httpx.AsyncClient(verify=_context(self._section), timeout=_PATIENCE) as http:
                answer = await http.get(f"{self._section.url}/healthz")
        except (httpx.HTTPError, OSError) as error:
            raise AuditAway("The audit service does not answer.") from error
        if answer.status_code != httpx.codes.OK:
            raise AuditAway("The audit service is not well.")

    async def close(self) -> None:
        """See `AuditLog.close`."""
        for client in self._clients.values():
            await client.aclose()

    def _client(self, chain: str) -> AuditClient:
        if chain not in self._clients:
            self._clients[chain] = AuditClient(
                self._section.url,
                ca_file=str(self._section.ca_file),
                token=lambda: read_secret(self._section.token_file),
                source_kind="app",
                transport=self._transport,
                source_id=f"{self._account}/{_pod(read_secret(self._section.token_file))}/{chain}",
            )
        return self._clients[chain]

    def _draft(self, body: dict[str, Any]) -> dict[str, Any]:
        draft = {key: value for key, value in body.items() if value not in ("", [], {})}
        if (reason := draft.get("reason")) and not reason.get("text"):
            draft["reason"] = {"code": reason["code"]}
        return {**draft, "phase": "single", "system": self._system}


def _context(section: AuditSection) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(section.ca_file))


def _pod(token: str) -> str:
    """Return the pod's uid as the token says it: the service holds a source to be whose token it sees.

    The token is not verified here, since it is our own; `none` when it names no pod, as outside a cluster.
    """
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return str(claims["kubernetes.io"]["pod"]["uid"])
    except (IndexError, KeyError, TypeError, ValueError):
        return "none"


def _brief(error: Exception) -> str:
    # A validation error quotes its input, which may be a document's words; only where and what kind is told.
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['type']}" for each in error.errors())
    return str(error)[:300]
