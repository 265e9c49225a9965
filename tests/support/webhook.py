"""The admission webhook as a server with TLS, over a real audit service, and an API server that knows whose an object is."""

import asyncio
import base64
import contextlib
import copy
import json
import ssl
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from aiohttp import web

from audit_contract.client import AuditClient
from tenant_operator.clients.whose import Whose
from tenant_operator.handlers import admission
from tenant_operator.handlers.admission_watch import secret
from tests.support.tenants import DERIVE, tenant_body

_GOODBYES = 0.3
ALICE = {
    "username": "alice",
    "uid": "",
    "groups": ["cloister:approvers", "system:authenticated"],
    "extra": {"authentication.kubernetes.io/credential-id": ["X509SHA256=ab12"]},
}


@dataclass
class Running:
    """A webhook, asked as the API server asks: mutate first, then validate, each by HTTPS."""

    url: str
    trust: ssl.SSLContext
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What the API server finds, by the end of its path."""

    async def post(self, path: str, request: Any) -> httpx.Response:
        async with httpx.AsyncClient(verify=self.trust) as client:
            body = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
            return await client.post(f"{self.url}{path}", json=body)

    async def ask(self, path: str, request: dict[str, Any]) -> dict[str, Any]:
        answer = await self.post(path, request)
        assert answer.status_code == 200, answer.text
        said = answer.json()["response"]
        assert said["uid"] == request["uid"]
        return said

    async def write(self, new: Any, old: Any = None, **more: Any) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """Do what the API server does with a write; return the last answer and the object as it would be stored."""
        operation = "DELETE" if new is None else "UPDATE" if old else "CREATE"
        request = review(operation, new, old, **more)
        if new is not None:
            said = await self.ask("/stamp", request)
            assert said["allowed"], said
            new = patched(new, said)
            changed = old is None or new["spec"] != old["spec"]
            new["metadata"]["generation"] = (old["metadata"]["generation"] if old else 0) + changed
            request = review(operation, new, old, **more) | {"uid": request["uid"]}
        return await self.ask("/record", request), new


def review(operation: str, new: Any, old: Any = None, user: Any = None, **more: Any) -> dict[str, Any]:
    item = new or old
    return {
        "uid": str(uuid.uuid4()),
        "kind": {"group": "cloister.dev", "version": "v1alpha1", "kind": item["kind"]},
        "resource": {"group": "cloister.dev", "version": "v1alpha1", "resource": f"{item['kind'].lower()}s"},
        "name": item["metadata"].get("name", ""),
        "operation": operation,
        "userInfo": user or ALICE,
        "object": new,
        "oldObject": old,
        "dryRun": False,
        **more,
    }


def patched(item: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    """Return an object with an answer's JSON patch (of the two operations the webhook uses) carried out."""
    made = copy.deepcopy(item)
    for step in json.loads(base64.b64decode(said.get("patch", ""))) if "patch" in said else []:
        *way, last = (part.replace("~1", "/").replace("~0", "~") for part in step["path"].split("/")[1:])
        target = made
        for part in way:
            target = target[part]
        if step["op"] == "remove":
            del target[last]
        else:
            target[last] = step["value"]
    return made


def tenant(**spec: Any) -> dict[str, Any]:
    item = copy.deepcopy(tenant_body())
    item["spec"] |= spec
    return item


@contextlib.asynccontextmanager
async def served(folder: Path, audit: AuditClient) -> AsyncIterator[Running]:
    """Have a webhook whose entries go through this client, which must be the webhook's own account."""
    for name, value in secret(DERIVE, "cloister-system", datetime.now(UTC))["data"].items():
        (folder / name).write_bytes(base64.b64decode(value))
    (folder / "token").write_text("t")
    objects: dict[str, dict[str, Any]] = {}

    async def find(request: web.Request) -> web.Response:
        found = objects.get(request.path.removeprefix("/apis/cloister.dev/v1alpha1/"))
        return web.json_response(found or {}, status=200 if found else 404)

    kubernetes = web.Application()
    kubernetes.add_routes([web.get("/{rest:.*}", find)])
    files = admission.Files(folder, folder)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(asyncio.sleep, _GOODBYES)  # the last: TLS says goodbye before its socket closes
        api = await _start(stack, kubernetes, None)
        whose = Whose(f"http://localhost:{api}", folder / "token", None)
        stack.push_async_callback(whose.close)
        port = await _start(stack, admission.application(admission.Webhook(audit, whose, files)), admission.tls(files))
        trust = ssl.create_default_context(cadata=DERIVE.ca.certificate)
        yield Running(f"https://localhost:{port}", trust, objects)


async def _start(stack: contextlib.AsyncExitStack, app: web.Application, context: ssl.SSLContext | None) -> int:
    runner = web.AppRunner(app)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    port: int = runner.addresses[0][1]
    return port
