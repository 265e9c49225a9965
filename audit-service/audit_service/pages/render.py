"""Templates and headers: everything is escaped, nothing is kept by the browser, nothing is loaded from elsewhere."""

from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any, Final

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from audit_contract import zipapp
from audit_service.http.errors import ApiError
from audit_service.pages import words
from audit_service.pages.sessions import Session

CSP: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
STRICT: Final = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Strict-Transport-Security": "max-age=31536000",
    "Cache-Control": "no-store",
}
"""What every page carries: the pages hold regulated content, so no cache keeps them."""
_STATIC: Final = {"inspector.css": "text/css; charset=utf-8", "mark.svg": "image/svg+xml"}


def page(template: str, session: Session | None, *, status: int = 200, **facts: Any) -> Response:
    """Return a page."""
    text = _environment().get_template(template).render(session=session, verifier=zipapp.program().sha256, **facts)
    return HTMLResponse(text, status, STRICT)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("audit_service.pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "exactly": words.exactly,
        "day": words.day,
        "clock": words.clock,
        "verb": words.verb,
        "source": words.source,
        "meaning": words.meaning,
        "value": words.value_text,
        "raw": words.raw_json,
        "short": words.short,
        "key_type": words.key_type,
    }
    environment.globals |= {"asset": asset, "grouped_actions": words.grouped_actions}
    return environment


@cache
def _content(name: str) -> bytes:
    return files("audit_service.pages").joinpath("static", name).read_bytes()


@cache
def asset(name: str) -> str:
    """Return a static file's address, which changes with its content."""
    return f"/inspect/static/{name}?v={sha256(_content(name)).hexdigest()[:12]}"


async def static(request: Request) -> Response:
    """Return a static file, for anyone; it may be kept, for its address changes with it."""
    name = request.path_params["name"]
    if name not in _STATIC:
        raise ApiError(404, f"there is no {name}")
    headers = {**STRICT, "Cache-Control": "public, max-age=31536000, immutable"}
    return Response(_content(name), headers=headers, media_type=_STATIC[name])
