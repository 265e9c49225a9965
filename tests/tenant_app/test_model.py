"""Any order of acts by anybody: the guard never lets a version be published without review, then approval, on one hash (AT-16)."""

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from tenant_app.domain.access import Right, Role, rights_of
from tenant_app.domain.documents import State
from tenant_app.domain.workflow import Facts, Signed, decide, load
from tenant_app.errors import AppError

DEFINITION = load()
PEOPLE = ["ann", "bob", "cem", "dia", "eve"]
EVERYTHING = rights_of(set(Role))


class Life(RuleBasedStateMachine):
    """One document: people with every right do anything in any order; only the guard stands between them and a publication.

    The trail of accepted acts is kept, and replayed from nothing at each step (AT-12).
    """

    versions = Bundle("versions")

    def __init__(self) -> None:
        super().__init__()
        self.facts: list[Facts] = []
        self.trail: list[tuple] = []

    @rule(author=st.sampled_from(PEOPLE), target=versions)
    def upload(self, author):
        self._apply(("upload", author))
        return len(self.facts) - 1

    @precondition(lambda self: self.facts)
    @rule(
        number=versions,
        actor=st.sampled_from(PEOPLE),
        step=st.sampled_from(sorted(DEFINITION.transitions)),
        reviewers=st.frozensets(st.sampled_from(PEOPLE), max_size=3),
        opened=st.booleans(),
        behalf=st.none() | st.sampled_from(PEOPLE),
        rights=st.sampled_from([EVERYTHING, rights_of({Role.READER}), rights_of({Role.REVIEWER}), frozenset(Right)]),
    )
    def act(self, number, actor, step, reviewers, opened, behalf, rights):
        act = ("act", number, actor, step, reviewers, opened, behalf if behalf != actor else None, rights)
        try:
            self._apply(act)
        except AppError:
            return

    def _apply(self, act) -> None:
        self.facts = _after(self.facts, act)
        self.trail.append(act)

    @invariant()
    def replaying_the_trail_from_nothing_rebuilds_the_state(self):
        again: list[Facts] = []
        for act in self.trail:
            again = _after(again, act)
        assert again == self.facts

    @invariant()
    def nothing_is_published_without_review_then_approval_of_its_bytes_by_others(self):
        for facts in self.facts:
            if facts.state in {State.APPROVED, State.PUBLISHED, State.SUPERSEDED, State.WITHDRAWN}:
                meanings = [each.meaning for each in facts.signatures if not each.revoked]
                assert meanings.index("review") < meanings.index("approval")
                reviewers, approvers = facts.signers("review"), facts.signers("approval")
                assert facts.principals("review") == facts.reviewers
                assert approvers
                # Delegates and those behind them: nobody has a hand in two of the three, in whatever way.
                assert not (reviewers | facts.reviewers | facts.authors) & approvers
                assert not facts.authors & (reviewers | facts.reviewers)
                # Each review by another pair of eyes.
                assert len([each for each in facts.signatures if each.meaning == "review"]) == len(
                    {each.sub for each in facts.signatures if each.meaning == "review"}
                )

    @invariant()
    def at_most_one_version_is_published(self):
        assert sum(facts.state is State.PUBLISHED for facts in self.facts) <= 1


def _after(before: list[Facts], act: tuple) -> list[Facts]:
    """Return the versions after an act, pure; raises what the guard raises."""
    if act[0] == "upload":
        fresh = Facts(
            actor="", rights=frozenset(), state=State.DRAFT, sha256=f"hash-{len(before)}", author=act[1], latest=True
        )
        return [replace(facts, latest=False) for facts in before] + [fresh]
    _, number, actor, step, reviewers, opened, behalf, rights = act
    transition = DEFINITION.transition(step)
    facts = before[number]
    joined = facts.reviewers | reviewers if step == "submit" else facts.reviewers
    asked = replace(
        facts,
        actor=actor,
        rights=rights,
        reviewers=joined,
        trail_opened=opened,
        reason="why",
        on_behalf_of=behalf,
    )
    state = decide(transition, asked)
    signed = Signed(sub=actor, meaning=transition.meaning, sha256=facts.sha256, on_behalf_of=behalf)
    signatures = (*facts.signatures, signed)
    if step == "revoke":
        signatures = tuple(
            replace(each, revoked=True) if each.sub == actor and each.meaning != "revocation" else each
            for each in signatures
        )
    after = list(before)
    after[number] = replace(facts, state=state, reviewers=joined, signatures=signatures)
    if state is State.PUBLISHED:
        after = [
            replace(each, state=State.SUPERSEDED) if index != number and each.state is State.PUBLISHED else each
            for index, each in enumerate(after)
        ]
    return after


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=80, stateful_step_count=40)


def test_at27_a_definition_with_an_unknown_need_or_meaning_is_refused():
    good = b'{"version":"1","meanings":{"m":"text"},"transitions":[{"name":"x","label":"X","from":["draft"],"to":"in_review",'
    with pytest.raises(ValueError, match="unknown need"):
        load(good + b'"right":"author","meaning":"m","needs":["none_such"]}]}')
    with pytest.raises(ValueError, match="unknown need or meaning"):
        load(good + b'"right":"author","meaning":"free text","needs":[]}]}')
