"""Reading drafts without making models of them, which is two thirds of what reading costs.

The models' own schema is used, with their patterns, lengths, closed sets and refusal of unknown fields, but gives plain values.
What it leaves out is the rules that are written in Python. Two of them, on how text is encoded, nobody can break with ASCII
and without escapes, so other bodies are left to the models. The rest are asked here. Whatever is not accepted here is left to the
models too: they decide, and say what is wrong. Pure.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import CoreSchema, SchemaValidator

from audit_contract.entry import Plain, check_agreement, check_auth, check_source

_ASKED_HERE: Final = frozenset({"_clean", "_is_time", "_auth", "_agreement"})
_ESCAPE: Final = b"\\u"


class PlainReader:
    """Reads bodies of a model that has drafts in its list `entries`."""

    def __init__(self, model: type[BaseModel]) -> None:
        """Take the model. Raises TypeError when it has a rule that this module does not know."""
        self._validator = SchemaValidator(_plain(model.__pydantic_core_schema__))

    def read(self, body: bytes) -> list[Plain] | None:
        """Return the drafts as `Draft.plain` would, or None when it is for the models to read them."""
        if not body.isascii() or _ESCAPE in body:
            return None
        try:
            drafts: list[Plain] = self._validator.validate_json(body)["entries"]
            nulls = b"null" in body
            for draft in drafts:
                _check(draft)
                if nulls or not draft.get("change", True):
                    _leave_out(draft)
        except (ValidationError, ValueError):
            return None
        return drafts


def _check(draft: Plain) -> None:
    """Ask the rules that are written in Python. Raises ValueError."""
    datetime.fromisoformat(draft["event"])
    check_agreement(draft["phase"], draft.get("intent"), draft.get("result"))
    source, auth = draft.get("src"), draft["actor"].get("auth")
    if source is not None:
        check_source(draft["action"], source["kind"])
    if auth is not None:
        check_auth(auth)


def _leave_out(draft: Plain) -> None:
    """Leave out what is not set. Not in a change: there null is a value."""
    parts = [draft, *(draft[key] for key in ("actor", "object", "reason", "src") if draft.get(key))]
    for part in parts:
        for key in [key for key, value in part.items() if value is None]:
            del part[key]
    if not draft.get("change", True):
        del draft["change"]


def _plain(schema: Any) -> Any:
    """Return a core schema that accepts the same and gives dictionaries and text, without the rules written in Python."""
    if isinstance(schema, list):
        return [_plain(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    match schema.get("type"):
        case "function-after":
            name = schema["function"]["function"].__name__
            if name not in _ASKED_HERE:
                raise TypeError(f"{name}: a rule that audit_contract.plain does not know")
            return _plain(schema["schema"])
        case "model":
            fields = schema["schema"]["fields"]
            return {
                "type": "typed-dict",
                "fields": {name: _field(field["schema"]) for name, field in fields.items()},
                "extra_behavior": schema["config"]["extra_fields_behavior"],
            }
        case "enum":
            return {"type": "literal", "expected": [member.value for member in schema["members"]]}
        case _:
            return {key: _plain(value) for key, value in schema.items() if key != "metadata"}


def _field(schema: Mapping[str, Any]) -> CoreSchema:
    """Return a field: one that may be absent stays so, unless its default says something."""
    if schema["type"] != "default":
        return {"type": "typed-dict-field", "schema": _plain(schema), "required": True}
    silent = not schema.get("default") and "default_factory" not in schema
    inner = _plain(schema["schema"] if silent else schema)
    return {"type": "typed-dict-field", "schema": inner, "required": False}
