"""Reading drafts without models: what is accepted is what the models accept, with the same content, and nothing else is."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import Field, ValidationError, field_validator

from audit_contract.entry import Draft, Part
from audit_contract.plain import PlainReader


class Batch(Part):
    """A body."""

    entries: list[Draft] = Field(min_length=1, max_length=3)


READER = PlainReader(Batch)
GOOD = {
    "id": "01a21ebc-3521-7f62-b7ff-8aafe6ef7eb8",
    "event": "2026-11-27T20:39:40.577173Z",
    "actor": {"type": "user", "sub": "u-1"},
    "action": "operator:object:apply",
    "object": {"type": "ConfigMap", "id": "x"},
    "src": {"kind": "operator", "id": "cloister-operator/pod", "seq": 0},
}
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=3)
    | st.sampled_from(["", "null"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner),
    max_leaves=4,
)
WORDS = st.sampled_from(["x", "", "a b", "null", "Köln", "Ko\u0308ln", "nul\0", "\ud83d\ude00", "q" * 1024, "q" * 1025])


def some(**fields: object) -> st.SearchStrategy[dict]:
    """Make an object of some of these fields; now and then one more, or null, or anything."""
    each = {name: made | st.none() | JSON for name, made in fields.items()}
    return st.fixed_dictionaries({}, optional=each | {"surplus": st.just(1)})


AUTH = st.dictionaries(
    st.sampled_from(["components", "mfa", "login", "method", "token", "other", "1"]),
    st.lists(WORDS, max_size=3) | st.booleans() | WORDS | st.integers(-(2**54), 2**54) | JSON,
    max_size=3,
)
CHANGE = st.fixed_dictionaries({"path": WORDS}, optional={"old": JSON, "new": JSON, "surplus": JSON})
FIELDS = {
    "id": st.sampled_from([GOOD["id"], "x", GOOD["id"].upper()]),
    "event": st.sampled_from([GOOD["event"], "2026-02-30T20:39:40.577173Z", "2026-11-27T20:39:40Z"]),
    "tz": st.sampled_from(["UTC", "Europe/Madrid", "../x"]),
    "actor": st.just(GOOD["actor"])
    | some(type=st.sampled_from(["user", "service", "x"]), sub=WORDS, dn=WORDS, name=WORDS, auth=AUTH)
    | AUTH.map(lambda auth: {**GOOD["actor"], "auth": auth}),
    "action": st.sampled_from([GOOD["action"], "app:document:read", "operator:nothing:done"]),
    "phase": st.sampled_from(["single", "intent", "outcome", "other"]),
    "intent": st.just(GOOD["id"]),
    "object": st.just(GOOD["object"])
    | some(type=WORDS, id=WORDS, name=WORDS, namespace=WORDS, version=WORDS, sha256=st.just("a" * 64)),
    "change": st.lists(CHANGE, max_size=3),
    "reason": some(code=st.sampled_from(["X", "1"]), text=WORDS) | st.just({"code": "X", "text": "why"}),
    "result": st.sampled_from(["ok", "denied", "error", "maybe"]),
    "request": WORDS,
    "system": st.dictionaries(st.sampled_from(["image", "1"]), WORDS, max_size=2),
    "src": st.just(GOOD["src"]) | some(kind=st.sampled_from(["operator", "app"]), id=WORDS, seq=st.integers(-1, 2**53)),
    "surplus": st.none(),
}


@st.composite
def drafts(draw: st.DrawFn) -> dict:
    """Make a good draft with one to three fields made anew or left out."""
    draft = dict(GOOD)
    for name in draw(st.lists(st.sampled_from(sorted(FIELDS)), max_size=3, unique=True)):
        draft.pop(name, None)
        if draw(st.booleans()) or draw(st.booleans()):
            draft[name] = draw(FIELDS[name] | st.none())
    return draft


def by_models(body: bytes) -> list[dict] | None:
    try:
        return [draft.plain() for draft in Batch.model_validate_json(body).entries]
    except ValidationError:
        return None


def same(body: bytes) -> list[dict] | None:
    """Hold both ways to each other; return what the quick one said."""
    quick, slow = READER.read(body), by_models(body)
    if quick is not None:
        assert slow is not None, f"the models refuse {body!r}"
        for each, other in zip(quick, slow, strict=True):
            for key in ("id", "event"):
                if each[key] != other[key]:  # not said, so each way gave it one
                    assert each.pop(key).encode() not in body
                    assert other.pop(key).encode() not in body
        assert repr(sort(quick)) == repr(sort(slow))  # repr: NaN is not itself
    return quick


def sort(value: object) -> object:
    if isinstance(value, dict):
        return {key: sort(value[key]) for key in sorted(value)}
    return [sort(each) for each in value] if isinstance(value, list | tuple) else value


@given(st.lists(drafts(), max_size=4), st.booleans())
@example([{**GOOD, "tz": None, "result": None, "change": []}], False)
@example([{**GOOD, "change": [{"path": "/a", "old": None}, {"path": "/b", "new": "null"}]}], False)
@example([{**GOOD, "reason": {"code": "X", "text": None}, "system": {}}], False)
@example([{**GOOD, "actor": {"type": "user", "sub": "u", "auth": {}}}], True)
@example([{**GOOD, "phase": "outcome", "intent": GOOD["id"], "result": "ok"}], True)
@example([{**GOOD, "phase": "outcome", "intent": GOOD["id"]}], True)
@example([{**GOOD, "change": [{"path": "/a", "old": float("nan"), "new": 2**80}]}], True)
def test_both_ways_accept_the_same_and_say_the_same(entries, escaped) -> None:
    same(json.dumps({"entries": entries}, ensure_ascii=escaped).encode("utf-8", "surrogatepass"))


@given(st.data())
def test_no_damaged_text_is_read_as_the_models_would_not(data) -> None:
    whole = bytearray(json.dumps({"entries": [{**GOOD, "change": [{"path": "/a", "old": None, "new": [1]}]}]}).encode())
    for _ in range(data.draw(st.integers(1, 2))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at : at + data.draw(st.integers(0, 2))] = data.draw(
            st.sampled_from([b"", b'"', b",", b"}", b"0", b"\xc3\xb6", b"\\", b"x"])
        )
    same(bytes(whole))


@pytest.mark.parametrize(
    "twice",
    [
        '"phase":"single","phase":"intent"',
        '"tz":"UTC","tz":null',
        '"result":"ok","result":"x"',
        '"actor":{"type":"user","type":"service","sub":"a","sub":"b"}',
        '"src":{"kind":"app","kind":"operator","id":"a/b","seq":1}',
    ],
)
def test_of_two_fields_of_one_name_both_take_the_same(twice) -> None:
    body = json.dumps({"entries": [GOOD]}).replace('"actor"', f'{twice},"actor"', 1).encode()
    quick = same(body)
    assert quick is not None or by_models(body) is None


def test_the_common_ones_are_read_without_the_models() -> None:
    common = [
        GOOD,
        {**GOOD, "phase": "outcome", "intent": GOOD["id"], "result": "ok", "system": {"image": "sha256:1"}},
        {**GOOD, "actor": {**GOOD["actor"], "auth": {"components": ["id", "password"], "mfa": False, "login": "h"}}},
        {**GOOD, "change": ({"path": "/a", "old": None, "new": {"deep": [1.5, True]}},)},
        {**GOOD, "reason": {"code": "X", "text": "y"}},
    ]
    for each in common:
        assert same(json.dumps({"entries": [each]}).encode()) == [{"phase": "single", **each}]


def test_a_rule_that_nobody_taught_it_is_not_left_out() -> None:
    class Stricter(Batch):
        @field_validator("entries")
        @classmethod
        def _even(cls, entries: list[Draft]) -> list[Draft]:
            return entries

    with pytest.raises(TypeError, match="_even"):
        PlainReader(Stricter)
