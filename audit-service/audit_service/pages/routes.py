"""Where the pages are."""

from typing import Final

from starlette.routing import Route

from audit_service.pages import downloads, render, sign_in, views
from audit_service.pages.visit import on_log, on_page

_LOG: Final = "/inspect/{log}"
_ENTRY: Final = f"{_LOG}/entries/{{index}}"


def routes() -> list[Route]:
    """Return the pages' routes; all but signing in and out only read."""
    return [
        Route("/", sign_in.to_pages, methods=["GET"]),
        Route("/inspect", sign_in.home, methods=["GET"]),
        Route("/inspect/sign-in", sign_in.sign_in, methods=["POST"]),
        Route("/inspect/sign-out", sign_in.sign_out, methods=["POST"]),
        Route("/inspect/static/{name}", on_page(render.static), methods=["GET"]),
        Route(f"{_LOG}/history", on_log(views.show_history), methods=["GET"]),
        Route(f"{_ENTRY}/leaf", on_log(downloads.leaf), methods=["GET"]),
        Route(f"{_ENTRY}/proof", on_log(downloads.proof), methods=["GET"]),
        Route(_ENTRY, on_log(views.show_entry), methods=["GET"]),
        Route(f"{_LOG}/keys", on_log(downloads.keys), methods=["GET"]),
        Route(f"{_LOG}/bundle", on_log(downloads.bundle, "export"), methods=["GET"]),
        Route(_LOG, on_log(views.show_log), methods=["GET"]),
    ]
