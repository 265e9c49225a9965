"""`GET /cloister-verify.pyz`: the offline verifier of this build, for anyone. Its hash is in the logs (`audit:writer:start`)."""

import base64

from starlette.requests import Request
from starlette.responses import Response

from audit_contract import zipapp


async def verifier(_: Request) -> Response:
    """Return the program, with its SHA-256 as an entity tag and as a digest (RFC 9530)."""
    program = zipapp.program()
    digest = base64.b64encode(bytes.fromhex(program.sha256)).decode()
    headers = {
        "Content-Disposition": 'attachment; filename="cloister-verify.pyz"',
        "Content-Security-Policy": "default-src 'none'",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-cache",
        "ETag": f'"{program.sha256}"',
        "Repr-Digest": f"sha-256=:{digest}:",
    }
    return Response(program.data, media_type="application/octet-stream", headers=headers)
