"""HTTP to the Kubernetes API: one session of the `kubernetes` asyncio client, plain JSON, errors translated.

The session, TLS and credentials are the library's; the bodies are dictionaries, because its typed models silently drop
fields they do not know (research/aesthetics.md §4), which an operator that compares live objects cannot afford.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
import orjson
from kubernetes.aio import client, config
from kubernetes.aio.client.rest import RESTClientObject

from tenant_operator.api.reasons import Reason
from tenant_operator.errors import AlreadyThere, CloisterError, Conflict, Missing, Refused, Retryable

JSON: Final = "application/json"
APPLY: Final = "application/apply-patch+yaml"
MERGE: Final = "application/merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"

_TIMEOUT = aiohttp.ClientTimeout(total=15, connect=3)
_WATCH_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=3, sock_read=100)
"""The API server sends a bookmark about once a minute; a stream that is silent for longer is broken."""
_BUSY = {408, 409, 429, 500, 502, 503, 504}


class ApiError(CloisterError):
    """An answer of the API server that is not a success; kept for its details."""

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        super().__init__(str(body.get("message") or f"HTTP {status}"))
        self.status = status
        self.body = body


def translate(status: int, body: Mapping[str, Any]) -> CloisterError:
    """Return the error of ours that an answer means."""
    message = str(body.get("message") or f"the API server answered {status}")
    word = body.get("reason")
    error: CloisterError
    if status == 404:  # noqa: PLR2004 - HTTP
        error = Missing(message, reason=Reason.MISSING)
    elif word == "AlreadyExists":
        error = AlreadyThere(message, reason=Reason.API_REFUSED)
    elif status == 409 and body.get("details", {}).get("causes"):  # noqa: PLR2004 - HTTP
        error = Conflict(message, reason=Reason.FIELD_CONFLICT)
    elif status == 410 or status in _BUSY:  # noqa: PLR2004 - HTTP
        error = Retryable(message, reason=Reason.API_UNREACHABLE)
    else:
        error = Refused(message, reason=Reason.API_REFUSED)
    error.__cause__ = ApiError(status, body)
    return error


class Transport:
    """One connection pool to one API server. Open it inside a running event loop."""

    def __init__(self, session: aiohttp.ClientSession, configuration: client.Configuration) -> None:
        self._session = session
        self._configuration = configuration
        self._base = str(configuration.host).rstrip("/")

    @classmethod
    async def open(cls, *, in_cluster: bool | None = None, context: str | None = None) -> "Transport":
        """Connect as the pod's service account, or as the kubeconfig says."""
        configuration = client.Configuration()
        if in_cluster is None:
            in_cluster = _has_service_account()
        if in_cluster:
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            await config.load_kube_config(client_configuration=configuration, context=context)  # type: ignore[no-untyped-call]
        configuration.connection_pool_maxsize = 64
        rest = RESTClientObject(configuration)
        return cls(rest._create_pool_manager(), configuration)  # noqa: SLF001 - documented there as the hook for this

    async def close(self) -> None:
        """Close the pool."""
        await self._session.close()
        await asyncio.sleep(0)  # what was broken off is closed in the loop's next turn

    async def _headers(self, content_type: str | None = None) -> dict[str, str]:
        headers = {"accept": JSON}
        settings: dict[str, Any] = dict(await self._configuration.auth_settings())
        for setting in settings.values():
            if setting["in"] == "header" and setting["value"]:
                headers[setting["key"]] = setting["value"]
        if content_type:
            headers["content-type"] = content_type
        return headers

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = JSON,
        query: Mapping[str, str] | None = None,
    ) -> Any:
        """Send one request and return the decoded answer. Raises the errors of `translate`, Retryable when unreachable."""
        data = None if body is None else orjson.dumps(body)
        headers = await self._headers(content_type if data is not None else None)
        try:
            async with self._session.request(
                method, self._base + path, data=data, headers=headers, params=query, timeout=_TIMEOUT
            ) as answer:
                payload = await answer.read()
                if answer.status >= 300:  # noqa: PLR2004 - HTTP
                    raise translate(answer.status, _error_body(payload))
                if "json" in answer.content_type:
                    return orjson.loads(payload)
                return payload.decode(errors="replace")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            what = f"the API server cannot be reached: {type(error).__name__} {error}"
            raise Retryable(what, reason=Reason.API_UNREACHABLE) from error

    @asynccontextmanager
    async def stream(self, path: str, query: Mapping[str, str]) -> AsyncIterator[AsyncIterator[Any]]:
        """Open a watch and yield an iterator over its decoded lines."""
        try:
            async with self._session.get(
                self._base + path, headers=await self._headers(), params=query, timeout=_WATCH_TIMEOUT
            ) as answer:
                if answer.status >= 300:  # noqa: PLR2004 - HTTP
                    raise translate(answer.status, _error_body(await answer.read()))
                try:
                    yield _lines(answer.content)
                finally:
                    _break_off(answer)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Retryable(f"a watch broke: {error}", reason=Reason.API_UNREACHABLE) from error


def _break_off(answer: aiohttp.ClientResponse) -> None:
    """Close an unfinished answer's connection at once: aiohttp would begin TLS's farewell, and nobody would wait for its end."""
    if answer.connection is not None and answer.connection.transport is not None:
        answer.connection.transport.abort()


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[Any]:
    rest = b""
    async for chunk in content.iter_any():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if line:
                yield orjson.loads(line)


def _error_body(payload: bytes) -> Mapping[str, Any]:
    try:
        body = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return {"message": payload.decode(errors="replace")[:500]}
    return body if isinstance(body, dict) else {"message": str(body)}


def _has_service_account() -> bool:
    try:
        config.load_incluster_config(client_configuration=client.Configuration())  # type: ignore[no-untyped-call]
    except config.ConfigException:
        return False
    return True
