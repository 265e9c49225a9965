"""A PDF/A validator as a service, for a pod of its own that can reach nothing (docs/adr/0011): `python -m tenant_app.judge`.

It reads no configuration, holds no secret but the key of its certificate, and imports nothing of the app that does.

`POST /?flavour=2b` with a PDF answers 200 and a verdict (`domain.pdfa.Verdict.as_json`), 400 for a flavour that does not exist,
413 for a file over the limit, and 503 when the validator did not come to a verdict in time. `GET /healthz` asks nobody.
"""

import argparse
import asyncio
import logging
import ssl
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from tenant_app.adapters.pdfa import CommandJudge
from tenant_app.adapters.ports import PdfaJudge
from tenant_app.domain.pdfa import FLAVOURS
from tenant_app.errors import DependencyAway
from tenant_app.logs import configure

log = logging.getLogger(__name__)
OK, WRONG_CONFIGURATION = 0, 2


def application(judge: PdfaJudge, *, seconds: float, max_bytes: int) -> Starlette:
    """Return the service over a validator. A file is read only when its turn comes, so one at most is in memory."""
    turn = asyncio.Semaphore(1)

    async def verdict(request: Request) -> Response:
        flavour = request.query_params.get("flavour", "")
        if flavour not in FLAVOURS:
            return _problem(400, f"flavour must be one of {', '.join(FLAVOURS)}")
        try:
            async with asyncio.timeout(seconds), turn:
                content = await _body(request, max_bytes)
                if content is None:
                    return _problem(413, f"a PDF of more than {max_bytes} bytes is not looked at")
                found = await judge.judge(content, flavour)
        except TimeoutError:
            return _problem(503, f"there was no verdict within {seconds:.0f} s")
        except DependencyAway as error:
            return _problem(503, error.detail)
        log.info("judged a PDF of %d bytes: PDF/A-%s %s", len(content), flavour, found.compliant)
        return Response(found.as_json(), media_type="application/json")

    return Starlette(routes=[Route("/", verdict, methods=["POST"]), Route("/healthz", _healthz)])


async def _body(request: Request, max_bytes: int) -> bytes | None:
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > max_bytes:
            return None
    return bytes(content)


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """How the service is served: the validator's command, the certificate, and the bounds of one file."""

    program: Sequence[str]
    cert_file: Path
    key_file: Path
    port: int
    seconds: float
    max_bytes: int


def serve(how: Serving) -> None:
    """Serve until the process is told to stop. Raises OSError when the certificate or the key cannot be read."""
    judge = CommandJudge(how.program, seconds=how.seconds)
    config = uvicorn.Config(
        application(judge, seconds=how.seconds, max_bytes=how.max_bytes),
        host="0.0.0.0",  # noqa: S104  # inside the pod; the network policy decides who reaches it
        port=how.port,
        ssl_certfile=str(how.cert_file),
        ssl_keyfile=str(how.key_file),
        ssl_version=ssl.PROTOCOL_TLS_SERVER,
        server_header=False,
        proxy_headers=False,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=max(1, int(how.seconds)),
    )
    config.load()
    if config.ssl is not None:
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
    uvicorn.Server(config).run()


async def _healthz(_request: Request) -> Response:
    return PlainTextResponse("ok\n")


def _problem(status: int, words: str) -> Response:
    return JSONResponse({"problem": words}, status_code=status)


def main(arguments: list[str] | None = None) -> int:
    """Serve; return 0 when told to stop, 2 when the certificate or its key cannot be used."""
    configure()
    how = Serving(**vars(_parser().parse_args(arguments)))
    try:
        serve(how)
    except OSError as error:
        log.error("the certificate or its key cannot be used: %s", error)  # noqa: TRY400  # it is one line for people
        return WRONG_CONFIGURATION
    return OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tenant_app.judge", description="Serves a PDF/A validator's verdicts.")
    parser.add_argument("--cert-file", type=Path, required=True, help="certificate, PEM")
    parser.add_argument("--key-file", type=Path, required=True, help="its key, PEM")
    parser.add_argument("--port", type=int, default=8443)
    parser.add_argument("--seconds", type=float, default=50, help="what a file may take, its wait for others included")
    parser.add_argument("--max-bytes", type=int, default=64 * 1024 * 1024, help="largest file")
    parser.add_argument(
        "program",
        nargs="*",
        default=["verapdf", "{flavour}"],
        help="the validator's command, after --; {flavour} becomes the claimed one",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
