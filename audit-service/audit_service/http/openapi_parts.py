"""The words that the description of the calls is made of."""

from typing import Any, Final

PLAIN: Final = "text/plain"
BINARY: Final = "application/octet-stream"
HTML: Final = "text/html"
ANYONE: Final[list[dict[str, list[str]]]] = []

_COMMON: Final = {
    400: "A parameter is wrong; it is named",
    401: "The token is missing or not believed",
    403: "Not entitled",
    404: "There is no such log, or not that in it",
    422: "A field of the body is wrong; it is named",
    503: "Come again: nothing was recorded",
}


def answer(text: str, media: str = "application/json", schema: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the description of an answer."""
    kinds = {"application/json": {"type": "object"}, BINARY: {"type": "string", "format": "binary"}}
    return {"description": text, "content": {media: {"schema": schema or kinds.get(media, {"type": "string"})}}}


def onward(text: str) -> dict[str, Any]:
    """Return the description of an answer that only leads elsewhere."""
    return {"description": text, "headers": {"Location": {"schema": {"type": "string"}}}}


def operation(
    summary: str,
    parameters: list[dict[str, Any]],
    answers: dict[int, dict[str, Any]],
    *,
    request: dict[str, Any] | None = None,
    security: list[dict[str, list[str]]] | None = None,
) -> dict[str, Any]:
    """Return the description of a call; what every call that needs a token can answer is added."""
    common = {} if security is not None else {code: answer(text) for code, text in _COMMON.items()}
    if request is None:
        common.pop(422, None)
    responses = {str(code): said for code, said in sorted({**common, **answers}.items())}
    found: dict[str, Any] = {"summary": summary, "parameters": parameters, "responses": responses}
    if request is not None:
        found["requestBody"] = request
    if security is not None:
        found["security"] = security
    return found


def body(model: str) -> dict[str, Any]:
    """Return the description of a JSON body."""
    schema = {"$ref": f"#/components/schemas/{model}"}
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def path_text(name: str, text: str) -> dict[str, Any]:
    """Return a part of the path."""
    return {"name": name, "in": "path", "required": True, "description": text, "schema": {"type": "string"}}


def query(name: str, text: str, values: list[str] | None = None) -> dict[str, Any]:
    """Return a text of the query, of a closed set where one is given."""
    schema: dict[str, Any] = {"type": "string"} if values is None else {"type": "string", "enum": values}
    return {"name": name, "in": "query", "description": text, "schema": schema}


def number(name: str, text: str, *, required: bool = False) -> dict[str, Any]:
    """Return a whole number of the query."""
    return {**query(name, text), "required": required, "schema": {"type": "integer", "minimum": 0}}


LOG: Final = path_text("log", "A log's name: `tenant-<id>`, or `platform`.")
_TIME: Final = "RFC 3339"
SEARCH: Final = [
    {
        **query("from", f"A time ({_TIME}): not before it. A whole number is taken as `start`."),
        "schema": {"oneOf": [{"type": "string", "format": "date-time"}, {"type": "integer", "minimum": 0}]},
    },
    query("to", f"A time ({_TIME}): before it."),
    query("since", "The same as `from`."),
    query("until", "The same as `to`."),
    query("time", "Which time is meant: when it happened, or when it came in.", ["event", "received"]),
    query("actor", "The actor's `sub`, exactly."),
    query("type", "The object's type, exactly."),
    query("object", "The object's id, exactly."),
    query("action", "The action, exactly."),
    number("start", "The index to begin at; `next` of the page before."),
    {**number("limit", "Rows a page."), "schema": {"type": "integer", "minimum": 1, "maximum": 256, "default": 100}},
    query("order", "Which come first.", ["oldest", "newest"]),
    number("size", "Search the first `size` entries only: that of the first page, so that a walk ends."),
]

_HASH: Final = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_PLACE: Final = {"index": {"type": "integer"}, "leafHash": _HASH}
_ROW: Final = {
    "type": "object",
    "required": ["index", "leafHash", "entry", "values"],
    "properties": {
        **_PLACE,
        "entry": {"type": "object"},
        "values": {"type": "object", "additionalProperties": {"type": "object"}},
    },
}
_RECEIPT: Final = {
    "type": "object",
    "required": ["id", "index", "leafHash"],
    "properties": {"id": {"type": "string"}, **_PLACE, "proof": {"type": "string", "description": "A .tlog-proof"}},
}
_LOG_FACTS: Final = {
    "type": "object",
    "required": ["log", "origin", "kind", "tenant", "namespace", "region", "retentionDays", "keys", "durable", "size"],
}


def _listed(key: str, row: dict[str, Any], **more: dict[str, Any]) -> dict[str, Any]:
    fields = {key: {"type": "array", "items": row}, **more}
    return {"type": "object", "required": list(fields), "properties": fields}


ENTRIES_ANSWER: Final = answer(
    "The page; `next` is where the next one starts, null at the end",
    schema=_listed("entries", _ROW, size={"type": "integer"}, next={"type": ["integer", "null"]}),
)
DRAFTS_ANSWER: Final = answer(
    "A place a draft, in order; `proof` with `wait` only", schema=_listed("entries", _RECEIPT, next={"type": "integer"})
)
LOGS_ANSWER: Final = answer("The logs", schema=_listed("logs", _LOG_FACTS))
LOG_ANSWER: Final = answer("The log, its root and its checkpoint", schema=_LOG_FACTS)
EVIDENCE_ANSWER: Final = answer(
    "The entry's bytes (base64), its `.tlog-proof` under the last checkpoint, its values with their salts, the log's keys",
    schema={
        "type": "object",
        "required": ["index", "origin", "leaf", "proof", "values", "keys"],
        "properties": {
            "index": {"type": "integer"},
            "origin": {"type": "string"},
            "leaf": {"type": "string"},
            "proof": {"type": "string"},
            "values": {"type": "object", "additionalProperties": {"type": "object"}},
            "keys": {"type": "array", "items": {"type": "string"}},
        },
    },
)
