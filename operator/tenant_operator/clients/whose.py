"""Whose is an object of ours? Two kinds of questions to the API server, for a process too small to carry a whole client."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp

from tenant_operator.api.common import GROUP, VERSION
from tenant_operator.api.names import PLATFORM_LOG, Names
from tenant_operator.api.reasons import Reason
from tenant_operator.errors import Refused, Retryable

_TIMEOUT = aiohttp.ClientTimeout(total=3, connect=2)
_PLATFORMS = frozenset({"Region", "TenantClass"})


@dataclass
class Whose:
    """Finds the audit log that an object's changes belong in. Open it inside a running event loop."""

    url: str
    token: Path
    ca: Path | None
    _session: aiohttp.ClientSession = field(init=False)

    def __post_init__(self) -> None:
        context = ssl.create_default_context(cafile=str(self.ca)) if self.ca else True
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, limit=16), timeout=_TIMEOUT, raise_for_status=False
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def log_of(self, item: Mapping[str, Any]) -> str:
        """Return the log of the tenant that an object is about, or the platform's when there is no such tenant (yet).

        Raises Retryable when the API server does not say, Refused when it does not let us ask.
        """
        tenant = await self._tenant_of(item)
        record = await self._get("tenantrecords", tenant) if tenant else None
        return Names(tenant, record["spec"]["id"]).audit_log if record else PLATFORM_LOG

    async def _tenant_of(self, item: Mapping[str, Any]) -> str:
        kind, spec = item["kind"], item.get("spec") or {}
        if kind in _PLATFORMS:
            return ""
        if kind in {"Tenant", "TenantRecord"}:
            return str(item["metadata"].get("name") or "")
        if kind == "TenantApproval":
            offboarding = await self._get("tenantoffboardings", str(spec.get("offboarding") or ""))
            spec = (offboarding or {}).get("spec") or {}
        return str(spec.get("tenant") or "")

    async def _get(self, plural: str, name: str) -> dict[str, Any] | None:
        if not name:
            return None
        url = f"{self.url}/apis/{GROUP}/{VERSION}/{plural}/{quote(name, safe='')}"
        try:
            headers = {"authorization": f"Bearer {self.token.read_text().strip()}", "accept": "application/json"}
            async with self._session.get(url, headers=headers) as answer:
                if answer.status == 404:  # noqa: PLR2004 - HTTP
                    return None
                if answer.status in {401, 403}:
                    said = f"the API server does not let the webhook read {plural} ({answer.status})"
                    raise Refused(said, reason=Reason.API_REFUSED)
                answer.raise_for_status()
                found: dict[str, Any] = await answer.json()
                return found
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            said = f"the API server does not say whose {plural}/{name} is: {type(error).__name__}"
            raise Retryable(said, reason=Reason.API_UNREACHABLE) from error
