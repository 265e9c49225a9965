"""The audit service over HTTP, for those who write to it. Async; the one module of this package that does I/O.

Entries of one source are numbered per log under a lock, so calls may run at the same time. An answer that was lost is made
good: the same draft sent again gives the same answer, and the numbering goes on from where the log says it is. A log that
has forgotten what it acknowledged is never written to again.
"""

import asyncio
import json
import ssl
from collections import defaultdict
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import httpx

from audit_contract.entry import MAX_BATCH, Draft, Source, SourceKind

_TIMEOUT: Final = httpx.Timeout(10.0, connect=3.0)
_EXPORT_TIMEOUT: Final = httpx.Timeout(300.0, connect=3.0)
_REFUSED: Final = frozenset({400, 403, 404, 405, 413, 415, 422})
_CONFLICT: Final = 409


class AuditError(Exception):
    """The audit service did not take an entry. `retry` says whether the same call may succeed later."""

    retry = False


class AuditUnavailable(AuditError):
    """No answer, or one that asks to come again: nothing was acknowledged, and nothing may be done on the strength of it."""

    retry = True


class AuditRefused(AuditError):
    """The service will not take this from us: not entitled, no such log, or a draft with a wrong field."""


class AuditConflict(AuditError):
    """Another entry has this id, the log has another identity, or the log has lost what it had acknowledged."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """Where an entry is: durable from now on. `leaf_hash` in hex; `proof` is its `.tlog-proof`, "" when none was waited for."""

    id: str
    index: int
    leaf_hash: str
    proof: str = ""


class _Counter:
    """The numbering of one source in one log: the next number, and the least the log must know of."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.next = 0


class AuditClient:
    """Writes to and reads from the audit service as one source.

    `token` is called before each request. `source_id` is `<service account>/<pod uid>[/<part>]`, new for each new process
    that cannot go on counting.
    """

    def __init__(
        self,
        url: str,
        *,
        token: Callable[[], str],
        source_kind: SourceKind = "operator",
        source_id: str = "reader/none",
        ca_file: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._token = token
        self._kind: SourceKind = source_kind
        self._source_id = source_id
        self._counters: defaultdict[str, _Counter] = defaultdict(_Counter)
        context = ssl.create_default_context(cafile=ca_file)
        self._http = httpx.AsyncClient(base_url=url, timeout=_TIMEOUT, verify=context, transport=transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def ensure_log(self, log: str, *, tenant: str, namespace: str, region: str, retention_days: int) -> None:
        """Create a tenant's log. Idempotent; raises AuditConflict when it exists with another identity."""
        body = {
            "kind": "tenant", "tenant": tenant, "namespace": namespace, "region": region, "retentionDays": retention_days,
        }  # fmt: skip
        await self._call("PUT", f"/v1/logs/{log}", json=body)

    async def append(self, log: str, drafts: Sequence[Draft], *, prove: bool = False) -> list[Receipt]:
        """Record drafts in order; they are durable, all of them, when this returns.

        With `prove` it returns when a signed checkpoint covers them and the receipts carry their proofs; without, if the service
        had none in time: the entries are recorded all the same.
        Raises AuditUnavailable (send the same drafts again), AuditRefused or AuditConflict. More than 256 drafts go in
        several requests, and an error then leaves those before it recorded; the same call again completes it.
        """
        receipts: list[Receipt] = []
        for at in range(0, len(drafts), MAX_BATCH):
            receipts += await self._append(log, drafts[at : at + MAX_BATCH], prove=prove)
        return receipts

    async def _append(self, log: str, drafts: Sequence[Draft], *, prove: bool) -> list[Receipt]:
        counter = self._counters[log]
        async with counter.lock:
            try:
                answer = await self._send(log, drafts, counter.next, prove=prove)
            except _OutOfStepError as step:
                if step.expected < counter.next:
                    raise AuditConflict(
                        f"{log} expects number {step.expected} of {self._source_id}, which had {counter.next} acknowledged: "
                        "the log was set back"
                    ) from step
                counter.next = step.expected  # an answer was lost, or this process goes on for one before it
                answer = await self._send(log, drafts, counter.next, step.recorded, last=True, prove=prove)
            counter.next = max(counter.next, answer["next"])
            return [
                Receipt(each["id"], each["index"], each["leafHash"], each.get("proof", ""))
                for each in answer["entries"]
            ]

    async def _send(
        self,
        log: str,
        drafts: Sequence[Draft],
        start: int,
        recorded: Container[str] = (),
        *,
        last: bool = False,
        prove: bool = False,
    ) -> dict[str, Any]:
        """Send drafts numbered from `start`; those already recorded keep their old number, so they take none here."""
        bodies = []
        seq = start
        for draft in drafts:
            source = Source(kind=self._kind, id=self._source_id, seq=seq)
            bodies.append({**draft.body(), "src": source.model_dump()})
            seq += draft.id not in recorded
        path = f"/v1/logs/{log}/entries" + ("?wait=checkpoint" if prove else "")
        response = await self._call("POST", path, json={"entries": bodies}, may_step=not last)
        answer: dict[str, Any] = response.json()
        return answer

    async def export(self, log: str) -> bytes:
        """Return the log's export bundle, for `audit_contract.verify.verify_bundle`."""
        return (await self._call("GET", f"/v1/logs/{log}/export", timeout=_EXPORT_TIMEOUT)).content

    async def log(self, log: str) -> dict[str, Any]:
        """Return the log's identity, size, root and last checkpoint."""
        answer: dict[str, Any] = (await self._call("GET", f"/v1/logs/{log}")).json()
        return answer

    async def logs(self) -> list[dict[str, Any]]:
        """Return every log that the caller may read, with its identity, its `keys` in force and its sizes."""
        answer: list[dict[str, Any]] = (await self._call("GET", "/v1/logs")).json()["logs"]
        return answer

    async def proof(self, log: str, index: int, size: int | None = None) -> bytes:
        """Return the `.tlog-proof` of an entry under the last checkpoint, or under that of `size` leaves."""
        query = {"index": index} if size is None else {"index": index, "size": size}
        return (await self._call("GET", f"/v1/logs/{log}/proof", params=query)).content

    async def evidence(self, log: str, index: int) -> dict[str, Any]:
        """Return an entry's `leaf` (base64), `proof` (a `.tlog-proof`), `values`, and the log's `origin` and `keys`.

        A source may ask after entries that it wrote itself. Raises AuditRefused for others, and for one not yet signed.
        """
        answer: dict[str, Any] = (await self._call("GET", f"/v1/logs/{log}/evidence", params={"index": index})).json()
        return answer

    async def entries(self, log: str, **query: str | int) -> list[dict[str, Any]]:
        """Return entries with their index; `query` is any of from, limit, actor, object, action (`from_` for from)."""
        params = {key.rstrip("_"): value for key, value in query.items()}
        answer: list[dict[str, Any]] = (await self._call("GET", f"/v1/logs/{log}/entries", params=params)).json()[
            "entries"
        ]
        return answer

    async def _call(self, method: str, path: str, *, may_step: bool = False, **more: Any) -> httpx.Response:
        try:
            headers = {"Authorization": f"Bearer {self._token().strip()}"}
            response = await self._http.request(method, path, headers=headers, **more)
        except (httpx.HTTPError, OSError) as error:
            raise AuditUnavailable(f"{method} {path}: {type(error).__name__}: {error}") from error
        if response.is_success:
            return response
        raise _error(method, path, response, may_step=may_step)


class _OutOfStepError(Exception):
    """The log expects another number of this source; `recorded` are those of the drafts that it already has."""

    def __init__(self, expected: int, recorded: Container[str]) -> None:
        super().__init__(f"expected {expected}")
        self.expected = expected
        self.recorded = recorded


def _error(method: str, path: str, response: httpx.Response, *, may_step: bool) -> Exception:
    """Return what an answer other than success means. 401 asks to come again: the token may just have been rotated."""
    try:
        body = response.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        body = {}
    body = body if isinstance(body, dict) else {}
    text = f"{method} {path}: {response.status_code}: {body.get('error', response.text[:200])}"
    if response.status_code == _CONFLICT:
        expected = body.get("expected")
        if may_step and type(expected) is int:
            return _OutOfStepError(expected, frozenset(body.get("recorded", ())))
        return AuditConflict(text)
    return AuditRefused(text) if response.status_code in _REFUSED else AuditUnavailable(text)
