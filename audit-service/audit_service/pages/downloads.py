"""What an inspector takes along: the bundle, an entry with its proof, the keys. Always as files, never shown by the browser."""

from starlette.responses import Response

from audit_service.http.entries import bundle_response
from audit_service.log.proving import proofs_of
from audit_service.pages.render import STRICT
from audit_service.pages.views import entry_of
from audit_service.pages.visit import Visit


async def bundle(visit: Visit) -> Response:
    """Return the whole log, for `cloister-verify bundle`."""
    response = await bundle_response(visit.state, visit.log)
    response.headers.update(STRICT)
    return response


async def leaf(visit: Visit) -> Response:
    """Return an entry's bytes, exactly as they are hashed."""
    stored, _ = await entry_of(visit)
    return _file(stored.data, f"{visit.log.name}-{stored.index}.leaf", "application/octet-stream")


async def proof(visit: Visit) -> Response:
    """Return an entry's `.tlog-proof` under the last checkpoint."""
    stored, signed = await entry_of(visit)
    text = (await proofs_of(visit.state.reading, visit.log.number, signed, [stored.index]))[0]
    return _file(text, f"{visit.log.name}-{stored.index}.tlog-proof", "text/plain; charset=utf-8")


async def keys(visit: Visit) -> Response:
    """Return the log's verifier keys, one a line."""
    text = "".join(f"{vkey}\n" for vkey in await visit.state.books.vkeys(visit.log))
    return _file(text.encode(), f"{visit.log.name}.keys", "text/plain; charset=utf-8")


def _file(data: bytes, name: str, media: str) -> Response:
    headers = {**STRICT, "Content-Disposition": f'attachment; filename="{name}"'}
    return Response(data, headers=headers, media_type=media)
