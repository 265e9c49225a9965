"""The state machine: nothing is destroyed unless every condition holds, whatever else is true."""

from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenant_operator.offboarding.approvals import approval_name, count
from tenant_operator.offboarding.state import Facts, decide, offboarding_blocks, stamp
from tenant_operator.offboarding.words import MARK_DESTROYING, MARK_OFFBOARDING, Phase, Word

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
PEOPLE = ["alice", "Alice", "bob", "carol@example.org", "system:serviceaccount:cloister-system:cloister-operator", ""]


def offboarding(
    name: str = "bye", uid: str = "u1", tenant: str = "acme", export: Any = None, **spec: Any
) -> dict[str, Any]:
    status = {"export": export} if export else {}
    meta = {"name": name, "uid": uid, "creationTimestamp": spec.pop("created", "2026-11-20T00:00:00Z")}
    return {"metadata": meta, "spec": {"tenant": tenant, **spec}, "status": status}


def approval(approver: str, uid: str = "u1", name: str = "a", to: str = "bye") -> dict[str, Any]:
    spec = {"offboarding": to, "offboardingUID": uid, "approver": approver, "statement": "yes"}
    return {"metadata": {"name": name}, "spec": spec}


def export(at: datetime) -> dict[str, Any]:
    return {"bucket": "b", "key": "k", "sha256": "00", "size": 1, "documents": 0, "verifiedAt": stamp(at)}


def record(state: str = "Live", **more: Any) -> dict[str, Any]:
    return {"metadata": {}, "spec": {"tenant": "acme", "state": state, **more}}


def facts(**changes: Any) -> Facts:
    ready = {
        "offboarding": offboarding(export=export(NOW - timedelta(days=1)), gracePeriod="1h"),
        "record": record(),
        "approvals": [approval("alice"), approval("bob", name="b")],
        "holds": [],
        "offboardings": [],
        "now": NOW,
    }
    return Facts(**{**ready, **changes})


def test_everything_in_place_allows_destruction():
    assert decide(facts()).may_destroy


@pytest.mark.parametrize(
    ("changes", "phase", "reason"),
    [
        ({"record": None}, Phase.REFUSED, Word.NO_SUCH_TENANT),
        ({"record": record("Destroyed")}, Phase.REFUSED, Word.ALREADY_DESTROYED),
        ({"approvals": []}, Phase.AWAITING_APPROVALS, Word.APPROVALS_MISSING),
        ({"approvals": [approval("alice")]}, Phase.AWAITING_APPROVALS, Word.APPROVALS_MISSING),
        (
            {"approvals": [approval("alice"), approval("alice", name="b")]},
            Phase.AWAITING_APPROVALS,
            Word.SAME_PERSON_TWICE,
        ),
        (
            {"approvals": [approval("alice"), approval(" ALICE", name="b")]},
            Phase.AWAITING_APPROVALS,
            Word.SAME_PERSON_TWICE,
        ),
        (
            {"approvals": [approval("alice"), approval("bob", uid="u0", name="b")]},
            Phase.AWAITING_APPROVALS,
            Word.FOR_ANOTHER_OFFBOARDING,
        ),
        (
            {"approvals": [approval("alice"), approval("system:serviceaccount:x:y", name="b")]},
            Phase.AWAITING_APPROVALS,
            Word.APPROVER_NOT_A_PERSON,
        ),
        (
            {"holds": [{"metadata": {"name": "h"}, "spec": {"tenant": "acme", "matter": "m"}}]},
            Phase.HELD,
            Word.LEGAL_HOLD,
        ),
        ({"offboarding": offboarding(gracePeriod="1h")}, Phase.EXPORTING, Word.EXPORT_WAITING),
        ({"offboarding": offboarding(export=export(NOW), gracePeriod="1h")}, Phase.GRACE_PERIOD, Word.GRACE_PERIOD),
        (
            {"offboardings": [offboarding(name="first", uid="u0", created="2026-11-01T00:00:00Z")]},
            Phase.REFUSED,
            Word.ANOTHER_OFFBOARDING,
        ),
    ],
)
def test_each_missing_condition_is_named_and_stops_it(changes, phase, reason):
    decision = decide(facts(**changes))
    assert (decision.phase, decision.reason) == (phase, reason)
    assert not decision.may_destroy


def test_a_hold_on_another_tenant_is_none():
    assert decide(facts(holds=[{"metadata": {"name": "h"}, "spec": {"tenant": "other", "matter": "m"}}])).may_destroy


def test_the_grace_period_is_the_offboardings_then_the_tenants_then_a_week():
    verified = NOW - timedelta(hours=2)
    own = offboarding(export=export(verified), gracePeriod="1h")
    none = offboarding(export=export(verified))
    tenants = record(lastSpec={"deletion": {"gracePeriod": "3h"}})
    assert decide(facts(offboarding=own, record=tenants)).destroy_after == verified + timedelta(hours=1)
    assert decide(facts(offboarding=none, record=tenants)).destroy_after == verified + timedelta(hours=3)
    assert decide(facts(offboarding=none)).destroy_after == verified + timedelta(days=7)


_approval = st.builds(
    approval,
    st.sampled_from(PEOPLE),
    st.sampled_from(["u1", "u0"]),
    st.sampled_from("abc"),
    st.sampled_from(["bye", "x"]),
)
_approvals = st.lists(_approval, max_size=5)
_holds = st.lists(
    st.sampled_from(
        [{"metadata": {"name": "h"}, "spec": {"tenant": name, "matter": "m"}} for name in ("acme", "other")]
    ),
    max_size=2,
)
_exports = st.none() | st.integers(-7200, 7200).map(lambda ago: export(NOW - timedelta(seconds=ago)))


@given(_approvals, _holds, _exports, st.sampled_from(["Live", "Retained", "Destroyed", None]), st.booleans())
def test_no_mixture_of_facts_destroys_without_every_condition(approvals, holds, exported, state, older):
    others = [offboarding(name="first", uid="u0", created="2026-11-01T00:00:00Z")] if older else []
    seen = facts(
        offboarding=offboarding(export=exported, gracePeriod="1h"),
        record=record(state) if state else None,
        approvals=approvals,
        holds=holds,
        offboardings=others,
    )
    people = {
        one["spec"]["approver"].lower()
        for one in approvals
        if (one["spec"]["offboarding"], one["spec"]["offboardingUID"]) == ("bye", "u1")
    } & {"alice", "bob", "carol@example.org"}
    held = any(one["spec"]["tenant"] == "acme" for one in holds)
    elapsed = exported is not None and datetime.fromisoformat(exported["verifiedAt"]) + timedelta(hours=1) <= NOW
    allowed = state in {"Live", "Retained"} and not older and not held and len(people) >= 2 and elapsed
    assert decide(seen).may_destroy == allowed


@given(st.permutations([approval("alice"), approval("Alice", name="b"), approval("bob", name="c")]))
def test_the_count_does_not_depend_on_the_order_of_a_list(approvals):
    assert count(offboarding(), approvals) == count(
        offboarding(), [approval("alice"), approval("Alice", name="b"), approval("bob", name="c")]
    )


def test_only_the_oldest_of_several_offboardings_goes_on():
    several = [
        offboarding(name=str(n), uid=f"u{n}", created="2026-11-01T00:00:00Z", export=export(NOW)) for n in range(3)
    ]
    for order in permutations(several):
        going = [
            one for one in several if decide(facts(offboarding=one, offboardings=order)).phase is not Phase.REFUSED
        ]
        assert [one["metadata"]["uid"] for one in going] == ["u0"]


def test_hands_are_off_once_taken_over_and_back_on_when_withdrawn():
    marked = {**record(), "metadata": {"annotations": {MARK_OFFBOARDING: "u1"}}}
    half = {**record(), "metadata": {"annotations": {MARK_DESTROYING: "u1"}}}
    taking = {**offboarding(), "status": {"steps": [{"name": "taken over"}]}}
    assert not offboarding_blocks(None, [])
    assert not offboarding_blocks(record(), [offboarding()])
    assert not offboarding_blocks(marked, [])
    assert offboarding_blocks(marked, [offboarding()])
    assert offboarding_blocks(record(), [taking])
    assert offboarding_blocks(half, [])
    assert offboarding_blocks(record("Destroyed"), [])


@pytest.mark.parametrize(
    ("who", "name"),
    [
        ("alice", "bye.alice"),
        ("Alice@Example.org", "bye.alice-at-example.org"),
        ("oidc:bob_b", "bye.oidc-c-bob-u-b"),
        ("Zoë", ""),
        ("x" * 260, ""),
    ],
)
def test_an_approvals_name_is_the_persons(who, name):
    assert approval_name("bye", who) == name
