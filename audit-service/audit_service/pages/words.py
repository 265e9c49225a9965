"""Words for people: what an action means (from the closed set's own comments), times, values, names of keys."""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any, Final

from audit_contract.actions import Action

_LINE: Final = re.compile(r'^    [A-Z_]+ = "([a-z:-]+)"  # (.+)$', re.MULTILINE)
_READS: Final = " (reads)"
_KEY_TYPES: Final = {
    "ED25519": "Ed25519",
    "ED25519_COSIGNATURE": "Ed25519, a witness",
    "ML_DSA_44": "ML-DSA-44 (post-quantum)",
}
SOURCES: Final = {
    "operator": "The operator",
    "admission": "Requests to the cluster",
    "job": "Jobs",
    "app": "The document platform",
    "auditor": "Auditors",
    "audit": "The audit service itself",
}


@cache
def meanings() -> Mapping[str, str]:
    """Return what each action means: the comments in `audit_contract.actions`, which are the one place it is said."""
    text = files("audit_contract").joinpath("actions.py").read_text()
    return {action: said.replace(_READS, "") for action, said in _LINE.findall(text)}


def meaning(action: str) -> str:
    """Return what an action means, "" for one that this build does not know."""
    return meanings().get(action, "")


@cache
def grouped_actions() -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return every action by its source, in words, for a list to choose from."""
    return tuple(
        (words, tuple(each.value for each in Action if each.value.startswith(f"{source}:")))
        for source, words in SOURCES.items()
    )


def verb(action: str) -> str:
    """Return an action without its source: "document create"."""
    return action.partition(":")[2].replace(":", " ").replace("-", " ")


def source(action: str) -> str:
    """Return an action's source."""
    return action.partition(":")[0]


def exactly(at: str) -> str:
    """Return a time to the second, with its zone; the text itself when it is none."""
    try:
        return datetime.fromisoformat(at).strftime("%Y-%m-%d %H:%M:%S UTC")
    except ValueError:
        return at


def day(at: str) -> str:
    """Return a time's date."""
    return at[:10]


def clock(at: str) -> str:
    """Return a time's hour, minute and second."""
    return at[11:19]


def value_text(value: Any) -> str:
    """Return a JSON value as people read it: text as it is, the rest as indented JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, indent=2)


def raw_json(value: Any) -> str:
    """Return JSON with its fields in order."""
    return json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True)


def key_type(name: str) -> str:
    """Return a kind of key in words."""
    return _KEY_TYPES.get(name, name)


def short(text: str, length: int = 12) -> str:
    """Return the beginning of a hash."""
    return text if len(text) <= length else f"{text[:length]}…"
