"""The audit service as `ports.Recorder`: intents in one append before the acts, outcomes in one append after them."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Literal

from audit_contract.actions import Action
from audit_contract.client import AuditClient, AuditError, AuditUnavailable
from audit_contract.entry import Actor, Change, Draft, ObjectRef, Reason
from tenant_operator.api import reasons
from tenant_operator.errors import CloisterError, Refused, Retryable
from tenant_operator.ports import Act, Planned
from tenant_operator.stack.part import Context

RETENTION_DAYS = 3650
Result = Literal["ok", "denied", "error"]
_RESULTS: dict[str, Result] = {"ok": "ok", "denied": "denied", "error": "error"}
_TEXT_LIMIT = 4000
SERVING: ContextVar[str] = ContextVar("SERVING", default="")
"""The admission entry that everything recorded in this context serves, where what is planned does not name one."""


def translate(error: AuditError) -> CloisterError:
    """Return ours for the audit client's error."""
    if isinstance(error, AuditUnavailable):
        said = f"the audit service cannot be reached, so nothing is changed: {error}"
        return Retryable(said, reason=reasons.Reason.AUDIT_UNAVAILABLE)
    return Refused(f"the audit service refuses the entry: {error}", reason=reasons.Reason.AUDIT_REFUSED)


class _Act:
    """One act whose intent is durable."""

    def __init__(self, intent: Draft) -> None:
        self.intent = intent
        self.result: Result = "error"
        self.text = "not attempted"

    def done(self, result: str = "ok", text: str = "") -> None:
        """Say what came of it."""
        self.result, self.text = _RESULTS[result], text

    def outcome(self) -> Draft:
        """Return the entry that ends the intent."""
        return Draft(
            actor=self.intent.actor,
            action=self.intent.action,
            phase="outcome",
            intent=self.intent.id,
            object=self.intent.object,
            reason=Reason(code="Outcome", text=self.text[:_TEXT_LIMIT]) if self.text else None,
            result=self.result,
            request=self.intent.request,
        )


class AuditRecorder:
    """Records what the operator does, as the operator, or as the person who asked when one is named."""

    def __init__(self, client: AuditClient, actor: str) -> None:
        self._client = client
        self._self = Actor(type="service", sub=actor)
        self.heard: Callable[[bool], None] = lambda _: None
        """Called after each append with whether the service took it."""

    @classmethod
    def connect(cls, url: str, *, ca_file: str, token_file: Path, actor: str, source_id: str) -> "AuditRecorder":
        """Return a recorder that reads its token anew for each request."""
        client = AuditClient(
            url, ca_file=ca_file, token=token_file.read_text, source_kind="operator", source_id=source_id
        )
        return cls(client, actor)

    def _draft(self, planned: Planned, **more: Any) -> Draft:
        person = planned.actor
        return Draft(
            actor=Actor(type="user", sub=person) if person else self._self,
            action=Action(planned.action),
            object=ObjectRef(type=planned.object_type, id=planned.object_id, namespace=planned.namespace or None),
            change=tuple(_change(path, old, new) for path, old, new in planned.change),
            reason=Reason(code=planned.reason, text=planned.text[:_TEXT_LIMIT] or None),
            request=planned.request or SERVING.get() or None,
            **({"id": planned.entry} if planned.entry else {}),
            **more,
        )

    async def _append(self, log: str, drafts: Sequence[Draft]) -> list[Any]:
        try:
            receipts = await self._client.append(log, drafts)
        except AuditError as error:
            self.heard(False)  # noqa: FBT003 - a callback of one flag
            raise translate(error) from error
        self.heard(True)  # noqa: FBT003 - likewise
        return list(receipts)

    async def open_log(self, ctx: Context) -> None:
        """Make sure that the tenant's log exists."""
        try:
            await self._client.ensure_log(
                ctx.names.audit_log,
                tenant=ctx.names.tenant,
                namespace=ctx.namespace,
                region=ctx.spec.region,
                retention_days=RETENTION_DAYS,
            )
        except AuditError as error:
            raise translate(error) from error

    @asynccontextmanager
    async def acts(self, log: str, planned: Sequence[Planned]) -> AsyncIterator[Sequence[Act]]:
        """Record the intents, yield the acts, record the outcomes, whatever happened in between."""
        intents = [self._draft(item, phase="intent") for item in planned]
        await self._append(log, intents)
        acts = [_Act(intent) for intent in intents]
        try:
            yield acts
        finally:
            await self._append(log, [act.outcome() for act in acts])

    async def note(self, log: str, observed: Planned, result: str = "ok") -> Mapping[str, Any]:
        """Record one thing that happened or was observed."""
        (receipt,) = await self._append(log, [self._draft(observed, phase="single", result=_RESULTS[result])])
        return {"id": receipt.id, "index": receipt.index, "leafHash": receipt.leaf_hash}

    async def latest(self, log: str, action: str, object_type: str, object_id: str) -> str:
        """Return the id of the newest signed entry about an object with an action; nothing when there is none."""
        try:
            found = await self._client.entries(
                log, order="newest", limit=1, action=action, type=object_type, object=object_id
            )
        except AuditError as error:
            raise translate(error) from error
        return str(found[0]["entry"]["id"]) if found else ""

    async def export(self, log: str) -> bytes:
        """Return the log's bundle."""
        try:
            return await self._client.export(log)
        except AuditError as error:
            raise translate(error) from error

    async def proof(self, log: str, index: int) -> bytes:
        """Return the proof of an entry."""
        try:
            return await self._client.proof(log, index)
        except AuditError as error:
            raise translate(error) from error

    async def signing_keys(self) -> dict[str, list[str]]:
        """Return each log's verifier keys in force, by its name."""
        try:
            return {str(log["log"]): [str(vkey) for vkey in log["keys"]] for log in await self._client.logs()}
        except AuditError as error:
            raise translate(error) from error

    async def alive(self) -> bool:
        """Tell whether the service answers; asked now and then so that AuditCurrent never rests on the past."""
        try:
            await self._client.log("platform")
        except AuditUnavailable:
            return False
        except AuditError:
            return True
        return True


def _change(path: str, old: Any, new: Any) -> Change:
    given = {key: value for key, value in (("old", old), ("new", new)) if value is not None}
    return Change(path=path, **given)
