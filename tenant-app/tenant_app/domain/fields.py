"""Metadata that a tenant's configuration asks for beyond title and kind: checked at entry, said clearly (ALCOA+)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Literal

from tenant_app.domain.documents import checked_text
from tenant_app.errors import InvalidInput

PREFIX = "field_"
MOST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """One field: what it is called, what fits, and for which kinds of documents it is asked (none named: all)."""

    name: str
    label: str
    type: Literal["text", "date", "number", "choice"] = "text"
    required: bool = False
    pattern: str = ""
    hint: str = ""
    choices: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()

    def asked_of(self, kind: str) -> bool:
        """Say whether a document of this kind has the field."""
        return not self.kinds or kind in self.kinds


def checked_fields(definitions: Sequence[Definition], kind: str, given: Mapping[str, str]) -> dict[str, str]:
    """Return the values of the fields that a document of this kind has; empty ones are left out.

    Raises InvalidInput naming the field.
    """
    found = {}
    for definition in definitions:
        if definition.asked_of(kind):
            value = _checked(definition, given.get(definition.name, ""))
            if value:
                found[definition.name] = value
    return found


def _checked(definition: Definition, given: str) -> str:
    at, label = PREFIX + definition.name, definition.label
    value = checked_text(given, field=at, label=label, least=0, most=MOST)
    if not value:
        if definition.required:
            raise InvalidInput(f"{label} is needed for this kind of document.", field=at)
        return ""
    if definition.pattern and re.fullmatch(definition.pattern, value) is None:
        hint = f" {definition.hint}." if definition.hint else ""
        raise InvalidInput(f"{label} does not have the form that is asked for.{hint}", field=at)
    problem = _PROBLEMS[definition.type](definition, value)
    if problem:
        raise InvalidInput(f"{label} {problem}.", field=at)
    return value


def _date(_definition: Definition, value: str) -> str:
    try:
        date.fromisoformat(value)
    except ValueError:
        return "must be a date such as 2026-11-27"
    return ""


def _number(_definition: Definition, value: str) -> str:
    try:
        return "" if Decimal(value).is_finite() else "must be a number"
    except InvalidOperation:
        return "must be a number such as 98.7"


def _choice(definition: Definition, value: str) -> str:
    return "" if value in definition.choices else f"must be one of: {', '.join(definition.choices)}"


_PROBLEMS = {"text": lambda _definition, _value: "", "date": _date, "number": _number, "choice": _choice}
