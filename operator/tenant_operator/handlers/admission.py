"""The admission webhook, a process of its own: `python -m tenant_operator admission` (docs/adr/0008).

`/stamp` (mutating) puts the stamp on; it asks nobody and never fails on what it can read. `/record` (validating, so after
every other rule has spoken) records who asked for what before the API server stores it. When that cannot be recorded, it is
refused: no change of our kinds without its entry.
"""

import asyncio
import base64
import logging
import os
import signal
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
from aiohttp import web

from audit_contract.client import AuditClient, AuditError, AuditRefused, AuditUnavailable
from audit_contract.entry import Draft, uuid7
from tenant_operator.api.names import ADMISSION, PLATFORM_LOG
from tenant_operator.clients.whose import Whose
from tenant_operator.errors import CloisterError
from tenant_operator.handlers import admission_entry as entries
from tenant_operator.handlers.settings import OperatorConfig, Pod
from tenant_operator.stack import stamp

PORT: Final = 9443
ANSWER_SECONDS: Final = 4.0
"""Below the five seconds that the API server waits, so that it is our words that a person reads."""
_AGAIN_SECONDS: Final = 0.25
_LOOK_SECONDS: Final = 30.0
_MAX_BODY: Final = 8 * 1024 * 1024
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Files:
    """Where the pod finds what it needs: the Secret `cloister-admission` and its service account."""

    secret: Path = Path("/var/run/cloister/admission")
    account: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount")

    def stamping_key(self) -> bytes:
        """Return the key; read anew each time, it is a small file and may be replaced."""
        return base64.b64decode((self.secret / "stamp.key").read_text(), validate=True)


class Webhook:
    """Answers the API server's two questions."""

    def __init__(self, audit: AuditClient, whose: Whose, files: Files) -> None:
        self._audit, self._whose, self._files = audit, whose, files

    async def stamp(self, request: entries.Request) -> dict[str, Any]:
        """Put the stamp on; what is not to be recorded keeps the one it has."""
        patch = entries.stamped(request, self._files.stamping_key(), uuid7())
        return entries.patched(request, patch)

    async def record(self, request: entries.Request) -> dict[str, Any]:
        """Record a request, then allow it. A dry run is checked and leaves nothing."""
        if not entries.changes_spec(request):
            return entries.review(request, allowed=True)
        entry = uuid7()
        if request["operation"] != "DELETE":
            found = stamp.genuine(self._files.stamping_key(), request["object"])
            if found is None:
                return entries.refused(request, _unstamped(request))
            entry = found.entry
        draft = entries.draft(request, entry)
        if request.get("dryRun"):
            return entries.review(request, allowed=True)
        try:
            await self._append_in_time(request, draft)
        except (AuditError, CloisterError, TimeoutError) as error:
            _log.warning("refused %s of %s: %s", request["operation"], draft.object.id, error)
            return entries.refused(request, _unrecorded(error), 503)
        # The API server's own audit log names the entry too, so that the two can be compared (`cloister audit gaps`).
        return entries.review(request, allowed=True, auditAnnotations={"entry": entry})

    async def _append_in_time(self, request: entries.Request, draft: Draft) -> None:
        """Append, and again while the audit service cannot be had: one that is replaced is there again in seconds.

        The entry has one id, so it is recorded once. Raises what was said last when the time is up.
        """
        said: AuditUnavailable | None = None
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                log = await self._whose.log_of(request.get("object") or request["oldObject"])
                while True:
                    try:
                        return await self._append(log, draft)
                    except AuditUnavailable as error:
                        said = error
                    await asyncio.sleep(_AGAIN_SECONDS)
        except TimeoutError:
            raise said or TimeoutError from None

    async def _append(self, log: str, draft: Draft) -> None:
        try:
            await self._audit.append(log, [draft])
        except AuditRefused:
            if log == PLATFORM_LOG:
                raise
            # The record is there a moment before its log is, at the very beginning of a tenant.
            await self._audit.append(PLATFORM_LOG, [draft])


def _unrecorded(error: Exception) -> str:
    what = str(error) or "no answer in time"
    return (
        f"this change cannot be recorded, so it is not made: the audit service did not take the entry ({what}). "
        "Nothing was changed; try again when it answers: kubectl -n cloister-audit get pods. "
        "In an emergency: docs/runbooks/break-glass.md"
    )


def _unstamped(request: entries.Request) -> str:
    return (
        f"{request['kind']['kind']} {request.get('name') or ''} carries no stamp that fits it: the mutating webhook {ADMISSION} "
        "is not in force, or another one changed the specification after it. Ask whoever runs Cloister to look at: "
        f"kubectl get mutatingwebhookconfiguration {ADMISSION}"
    )


_Answer = Callable[[entries.Request], Awaitable[dict[str, Any]]]


def application(webhook: Webhook) -> web.Application:
    """Return the server's routes."""

    def route(answer: _Answer) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(http: web.Request) -> web.Response:
            try:
                request: dict[str, Any] = orjson.loads(await http.read())["request"]
                said = await answer(request)
            except (ValueError, KeyError, TypeError) as error:
                # 400 makes the API server refuse the change (failurePolicy Fail) and show these words.
                text = f"not an AdmissionReview that can be answered: {type(error).__name__}: {error}"
                return web.Response(status=400, text=text)
            return web.Response(body=orjson.dumps(said), content_type="application/json")

        return handle

    async def well(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    made = web.Application(client_max_size=_MAX_BODY)
    made.add_routes([web.post("/stamp", route(webhook.stamp)), web.post("/record", route(webhook.record))])
    made.add_routes([web.get("/healthz", well), web.get("/readyz", well)])
    return made


def tls(files: Files) -> ssl.SSLContext:
    """Return the serving context."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(files.secret / "tls.crt", files.secret / "tls.key")
    return context


async def renew(context: ssl.SSLContext, files: Files, every: float = _LOOK_SECONDS) -> None:
    """Take up a new certificate when the kubelet has put one there; connections made from then on see it."""
    known = (files.secret / "tls.crt").read_bytes()
    while True:
        await asyncio.sleep(every)
        try:
            found = (files.secret / "tls.crt").read_bytes()
            if found != known:
                context.load_cert_chain(files.secret / "tls.crt", files.secret / "tls.key")
                known = found
                _log.info("a new certificate is in use")
        except OSError as error:  # between the kubelet's two moves; the old one serves on
            _log.warning("the certificate cannot be read: %s", error)


async def serve(config: OperatorConfig, pod: Pod, files: Files, *, host: str = "0.0.0.0", port: int = PORT) -> None:  # noqa: S104 - the network policy decides who gets here
    """Serve until SIGTERM; requests under way are answered."""
    api = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}"
    whose = Whose(api, files.account / "token", files.account / "ca.crt")
    audit = AuditClient(
        config.audit_url,
        token=pod.audit_token.read_text,
        source_kind="admission",
        source_id=f"{ADMISSION}/{pod.uid}",
        ca_file=str(files.secret / "ca.crt"),
    )
    context = tls(files)
    runner = web.AppRunner(application(Webhook(audit, whose, files)), access_log=None)
    await runner.setup()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    renewing = asyncio.create_task(renew(context, files))
    try:
        await web.TCPSite(runner, host, port, ssl_context=context).start()
        _log.info("serving on %d", port)
        await ended.wait()
    finally:
        renewing.cancel()
        await runner.cleanup()
        await audit.aclose()
        await whose.close()
