"""A tenant's own workflow and statements: checked whole at start, every problem named; stricter than ours, never laxer.

The codes of the meanings are closed (11.50(a)(3)); a tenant gives their texts. Arrows can be added, renamed in their labels, or
given more needs; what 11.10(f) and 11.10(g) rest on cannot be left out.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from tenant_app.domain.access import Right
from tenant_app.domain.documents import State
from tenant_app.domain.trail_review import MEANING as TRAIL_REVIEW
from tenant_app.domain.workflow import NEEDS, Definition, load

MEANINGS = frozenset(load().statements)
_KEYS = {"name": str, "label": str, "from": list, "to": str, "right": str, "meaning": str, "needs": list}
_LEAST, _MOST = 10, 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """What every arrow to a state has at least. `name`: the code knows the step by it."""

    sources: frozenset[str]
    meanings: frozenset[str]
    rights: frozenset[Right]
    needs: frozenset[str]
    name: str | None = None


_REJECTABLE = frozenset({"in_review", "reviewed", "approved"})
FLOORS: Mapping[State, Floor] = MappingProxyType(
    {
        State.IN_REVIEW: Floor(
            sources=frozenset({"draft"}),
            meanings=frozenset({"authorship"}),
            rights=frozenset({Right.AUTHOR}),
            needs=frozenset({"latest", "is_author", "reviewers_assigned"}),
            name="submit",
        ),
        State.REVIEWED: Floor(
            sources=frozenset({"in_review"}),
            meanings=frozenset({"review"}),
            rights=frozenset({Right.REVIEW}),
            needs=frozenset({"latest", "not_author", "assigned", "not_signed_yet"}),
            name="review",
        ),
        State.APPROVED: Floor(
            sources=frozenset({"reviewed"}),
            meanings=frozenset({"approval"}),
            rights=frozenset({Right.APPROVE}),
            needs=frozenset({"latest", "not_author", "not_reviewer", "reviews_complete", "trail_opened"}),
        ),
        State.PUBLISHED: Floor(
            sources=frozenset({"approved"}),
            meanings=frozenset({"publication"}),
            rights=frozenset({Right.PUBLISH}),
            needs=frozenset({"latest", "not_author", "approved_same_bytes"}),
        ),
        State.REJECTED: Floor(
            sources=_REJECTABLE,
            meanings=frozenset({"rejection", "revocation"}),
            rights=frozenset({Right.REVIEW, Right.APPROVE, Right.VIEW}),
            needs=frozenset({"latest", "reason"}),
        ),
        State.WITHDRAWN: Floor(
            sources=frozenset({"published"}),
            meanings=frozenset({"withdrawal"}),
            rights=frozenset({Right.PUBLISH}),
            needs=frozenset({"reason"}),
        ),
    }
)
_BY_MEANING = {
    "rejection": (frozenset({Right.REVIEW, Right.APPROVE}), frozenset({"not_author"})),
    "revocation": (frozenset({Right.VIEW}), frozenset({"has_signed"})),
}


def definition_of(raw: bytes | None, statements: Mapping[str, str], *, where: str = "workflow") -> Definition:
    """Return the tenant's workflow: the file's, or ours when `raw` is None, with the tenant's own statements.

    Raises ValueError that lists every problem: in which file, at which step, what is wrong, and what would be right.
    """
    problems = [] if raw is None else _problems(raw)
    problems += [f"signing.meanings: {problem}" for problem in _wrong_statements(dict(statements))]
    if problems:
        raise ValueError(f"{where}: " + "; ".join(problems))
    found = load(raw)
    # No arrow has this meaning, so that a file written before it was there needs none.
    ours = {TRAIL_REVIEW: load().statements[TRAIL_REVIEW]}
    if unused := sorted(set(statements) - set(found.statements) - set(ours)):
        raise ValueError(f"{where}: signing.meanings: the workflow does not use {', '.join(unused)}")
    return replace(found, statements=MappingProxyType({**ours, **found.statements, **statements}))


def _problems(raw: bytes) -> list[str]:
    try:
        body = json.loads(raw)
    except ValueError as error:
        return [f"not JSON: {error}"]
    if not isinstance(body, dict) or set(body) != {"version", "transitions", "meanings"}:
        return ["it needs exactly the members version, transitions and meanings"]
    problems = []
    if not isinstance(body["version"], str) or not body["version"].strip():
        problems.append("version: a text such as “2” is needed")
    if not isinstance(body["meanings"], dict):
        return [*problems, "meanings: an object of codes and statements is needed"]
    problems += [f"meanings: {problem}" for problem in _wrong_statements(body["meanings"])]
    if not isinstance(body["transitions"], list):
        return [*problems, "transitions: a list is needed"]
    for number, item in enumerate(body["transitions"]):
        problems += [f"transitions[{number}]{_named(item)}: {each}" for each in _wrong_step(item, body["meanings"])]
    return problems or _wrong_whole(body["transitions"])


def _wrong_statements(statements: dict[str, Any]) -> list[str]:
    known = ", ".join(sorted(MEANINGS))
    problems = [f"unknown code {code!r}; the codes are {known}" for code in sorted(set(statements) - MEANINGS)]
    for code, text in statements.items():
        if not isinstance(text, str) or not _LEAST <= len(text.strip()) <= _MOST:
            problems.append(f"{code}: a statement of {_LEAST} to {_MOST} characters is needed")
    return problems


def _wrong_step(item: Any, meanings: dict[str, Any]) -> list[str]:  # any JSON value
    if not isinstance(item, dict) or set(item) != set(_KEYS):
        return [f"it needs exactly the members {', '.join(_KEYS)}"]
    wrong = [f"{key}: a {kind.__name__} is needed" for key, kind in _KEYS.items() if not isinstance(item[key], kind)]
    if wrong:
        return wrong
    wrong = [f"unknown need {need!r}" for need in item["needs"] if need not in NEEDS and need != "reason"]
    wrong += [f"unknown state {state!r}" for state in (*item["from"], item["to"]) if state not in set(State)]
    if item["right"] not in set(Right):
        wrong.append(f"unknown right {item['right']!r}")
    if item["meaning"] not in meanings:
        wrong.append(f"meaning {item['meaning']!r} has no statement")
    return wrong or _laxer(item)


def _laxer(item: dict[str, Any]) -> list[str]:
    target = State(item["to"])
    floor = FLOORS.get(target)
    if floor is None:
        return [f"no step leads to {target.value}"]
    rights, extra = _BY_MEANING.get(item["meaning"], (floor.rights, frozenset()))
    wrong = []
    if item["meaning"] not in floor.meanings:
        wrong.append(f"a step to {target.value} has the meaning {' or '.join(sorted(floor.meanings))}")
    if not item["from"] or not set(item["from"]) <= floor.sources:
        wrong.append(f"a step to {target.value} comes from {', '.join(sorted(floor.sources))}")
    if Right(item["right"]) not in rights:
        wrong.append(f"it takes the right to {' or '.join(sorted(right.value for right in rights))}")
    if missing := (floor.needs | extra) - set(item["needs"]):
        wrong.append(f"it needs at least {', '.join(sorted(missing))} as well")
    if floor.name and item["name"] != floor.name:
        wrong.append(f"the one step to {target.value} is named {floor.name!r}")
    return wrong


def _wrong_whole(items: list[dict[str, Any]]) -> list[str]:
    names = [item["name"] for item in items]
    problems = [f"two steps are named {name!r}" for name in sorted({name for name in names if names.count(name) > 1})]
    targets = {item["to"] for item in items}
    path = (State.IN_REVIEW, State.REVIEWED, State.APPROVED, State.PUBLISHED)
    problems += [f"no step leads to {state.value}" for state in path if state.value not in targets]
    return problems


def _named(item: Any) -> str:  # any JSON value
    return f" {item['name']!r}" if isinstance(item, dict) and isinstance(item.get("name"), str) else ""
