"""`GET /openapi.json`: every call there is, as OpenAPI 3.1. A test walks the routes and finds the same, no more and no less."""

from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from audit_service.http.erasures import Erasure
from audit_service.http.logs import NewLog
from audit_service.http.openapi_parts import (
    ANYONE,
    BINARY,
    DRAFTS_ANSWER,
    ENTRIES_ANSWER,
    EVIDENCE_ANSWER,
    HTML,
    LOG,
    LOG_ANSWER,
    LOGS_ANSWER,
    PLAIN,
    SEARCH,
    answer,
    body,
    number,
    onward,
    operation,
    path_text,
    query,
)
from audit_service.http.taking import Batch

_MODELS: Final[tuple[type[BaseModel], ...]] = (Batch, NewLog, Erasure)
_INDEX: Final = path_text("index", "An entry's index, from 0.")
_TILE: Final = path_text(
    "path", "`<L>/<N>[.p/<W>]` or `entries/<N>[.p/<W>]`, as C2SP tlog-tiles has it; N has slashes."
)

_CHECKPOINT: Final = operation(
    "The last signed checkpoint (C2SP tlog-checkpoint)", [LOG], {200: answer("A signed note", PLAIN)}
)
_TILES: Final = operation(
    "A tile of hashes, or an entry bundle, of the signed tree (C2SP tlog-tiles)",
    [LOG, _TILE],
    {200: answer("The tile; never changes", BINARY), 404: answer("The signed tree has no such tile")},
)

_PATHS: Final[dict[str, dict[str, dict[str, Any]]]] = {
    "/v1/logs": {"get": operation("Every log the caller may read", [], {200: LOGS_ANSWER})},
    "/v1/logs/{log}": {
        "get": operation("What a log is, and how far it is durable and signed", [LOG], {200: LOG_ANSWER}),
        "put": operation(
            "Create a tenant's log; the same again changes nothing. Operator only",
            [LOG],
            {200: answer("It was there"), 201: answer("It is made"), 409: answer("It exists with another identity")},
            request=body("NewLog"),
        ),
    },
    "/v1/logs/{log}/entries": {
        "get": operation(
            "A page of signed entries, each with its index, so that it can be proven",
            [LOG, *SEARCH],
            {200: ENTRIES_ANSWER},
        ),
        "post": operation(
            "Record 1 to 256 drafts of one source, all or none, durably. The same id and body again gets the same answer",
            [
                LOG,
                query(
                    "wait",
                    "`checkpoint`: answer when a signed checkpoint covers the entries, with their proofs.",
                    ["checkpoint"],
                ),
            ],
            {
                200: DRAFTS_ANSWER,
                202: answer("With `wait`: recorded and durable, but not covered in time; ask `…/proof` later"),
                409: answer("Another body under this id, or out of step: `expected` and `recorded` say how to go on"),
                413: answer("More than 16 MiB"),
            },
            request=body("Batch"),
        ),
    },
    "/v1/logs/{log}/erasures": {
        "post": operation(
            "Erase one value beside an entry, as an act recorded first. Operator only",
            [LOG],
            {200: answer("The entry that says so"), 409: answer("It was erased before")},
            request=body("Erasure"),
        )
    },
    "/v1/logs/{log}/checkpoint": {"get": _CHECKPOINT},
    "/v1/logs/{log}/checkpoint/witnessed": {
        "get": operation(
            "The last checkpoint that a quorum of witnesses has cosigned",
            [LOG],
            {200: answer("A signed note (C2SP tlog-checkpoint)", PLAIN), 404: answer("None is cosigned yet")},
        )
    },
    "/v1/logs/{log}/tile/{path}": {"get": _TILES},
    "/{log}/checkpoint": {"get": _CHECKPOINT},
    "/{log}/tile/{path}": {"get": _TILES},
    "/v1/logs/{log}/proof": {
        "get": operation(
            "An entry's proof: a C2SP tlog-proof, or with `size` its RFC 6962 audit path in that tree, one base64 hash a line",
            [LOG, number("index", "The entry's index.", required=True), number("size", "The size of an earlier tree.")],
            {200: answer("The proof", PLAIN), 404: answer("The signed tree has no such leaf or size")},
        )
    },
    "/v1/logs/{log}/evidence": {
        "get": operation(
            "One entry with all that proves it offline. For readers, and for a source that asks after what it wrote itself",
            [LOG, number("index", "The entry's index.", required=True)],
            {200: EVIDENCE_ANSWER},
        )
    },
    "/v1/logs/{log}/consistency": {
        "get": operation(
            "The proof that the tree of `from` leaves is the beginning of that of `to`, one base64 hash a line",
            [
                LOG,
                number("from", "The earlier size, at least 1.", required=True),
                number("to", "The later one; what is signed now if left out."),
            ],
            {200: answer("The proof", PLAIN), 404: answer("The signed tree is smaller than `to`")},
        )
    },
    "/v1/logs/{log}/export": {
        "get": operation(
            "The whole log as a bundle that `cloister-verify` checks",
            [LOG],
            {200: answer("A tar", "application/x-tar")},
        )
    },
    "/cloister-verify.pyz": {
        "get": operation("The offline verifier of this build", [], {200: answer("A zipapp", BINARY)}, security=ANYONE)
    },
    "/openapi.json": {"get": operation("This document", [], {200: answer("OpenAPI 3.1")}, security=ANYONE)},
    "/healthz": {"get": operation("The process answers", [], {200: answer("ok", PLAIN)}, security=ANYONE)},
    "/readyz": {
        "get": operation(
            "Entries can be recorded",
            [],
            {200: answer("Each check"), 503: answer("Each check, one of which says why not")},
            security=ANYONE,
        )
    },
    "/metrics": {"get": operation("Metrics for Prometheus", [], {200: answer("Metrics", PLAIN)}, security=ANYONE)},
}


_NOT_HERE: Final = answer("There is no such page, or it is not theirs to read", HTML)


def _page(
    summary: str, *parameters: dict[str, Any], media: str = HTML, method: str = "get"
) -> dict[str, dict[str, Any]]:
    answers = {200: answer(summary, media), 404: _NOT_HERE} if method == "get" else {}
    answers |= {
        303: onward("To the sign-in form, or to where one belongs"),
        400: answer("A question or a form is wrong", HTML),
    }
    return {method: operation(f"Inspector's page: {summary}", list(parameters), answers, security=[{"session": []}])}


_PAGES: Final[dict[str, dict[str, dict[str, Any]]]] = {
    "/": {"get": operation("To the inspector's pages", [], {303: onward("To /inspect")}, security=ANYONE)},
    "/inspect": {
        "get": operation(
            "Inspector's page: sign in, or choose a log",
            [query("next", "Where to go then: a path of these pages.")],
            {200: answer("A page", HTML), 303: onward("To the only log one may read")},
            security=ANYONE,
        )
    },
    "/inspect/sign-in": {
        "post": operation(
            "Exchange a token for a session",
            [],
            {
                303: onward("Signed in"),
                400: answer("The form came from elsewhere", HTML),
                401: answer("The token is not believed", HTML),
                403: answer("The token is no auditor's", HTML),
                413: answer("The form is too long", HTML),
            },
            security=ANYONE,
        )
    },
    "/inspect/sign-out": _page("end the session", method="post"),
    "/inspect/static/{name}": {
        "get": operation(
            "A style sheet or a picture",
            [path_text("name", "The file.")],
            {200: answer("The file", BINARY), 404: _NOT_HERE},
            security=ANYONE,
        )
    },
    "/inspect/{log}": _page("a log's entries, newest first", LOG, *SEARCH),
    "/inspect/{log}/history": _page(
        "everything that happened to one object", LOG, query("type", "Its type."), query("id", "Its id.")
    ),
    "/inspect/{log}/entries/{index}": _page("one entry and its proof, in words", LOG, _INDEX),
    "/inspect/{log}/entries/{index}/leaf": _page("the entry's bytes", LOG, _INDEX, media=BINARY),
    "/inspect/{log}/entries/{index}/proof": _page("the entry's tlog-proof", LOG, _INDEX, media=PLAIN),
    "/inspect/{log}/keys": _page("the log's verifier keys", LOG, media=PLAIN),
    "/inspect/{log}/bundle": _page("the whole log as a bundle", LOG, media="application/x-tar"),
}


def document() -> dict[str, Any]:
    """Return the description."""
    _, schemas = models_json_schema(
        [(model, "validation") for model in _MODELS], ref_template="#/components/schemas/{model}"
    )
    try:
        number_of_build = version("cloister")
    except PackageNotFoundError:
        number_of_build = "unpackaged"
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Cloister audit service",
            "version": number_of_build,
            "description": "One Merkle log a tenant. Errors are JSON: `error` says what, more fields what to act on. 401: the "
            "token is not believed. 403: not entitled. 422: a field, which is named. 503: come again; nothing was recorded.",
        },
        "security": [{"token": []}],
        "paths": {**_PATHS, **_PAGES},
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A service account token for this audience",
                },
                "session": {"type": "apiKey", "in": "cookie", "name": "__Host-cloister-inspector"},
            },
        },
    }


async def openapi(_: Request) -> Response:
    """Return the description, for anyone."""
    return JSONResponse(document(), headers={"Cache-Control": "no-cache"})
