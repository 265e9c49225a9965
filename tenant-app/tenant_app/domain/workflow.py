"""The workflow: a definition as data, and the one guard that every change of state passes (11.10(f), 11.10(g)).

A transition is allowed when the version is in one of its states, the person has its right, and each named need holds. Needs are
pure functions of `Facts`; an unknown need in a definition is an error at start, never a need that is skipped.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from tenant_app.domain.access import Right
from tenant_app.domain.documents import State
from tenant_app.domain.trail_review import MEANING as TRAIL_REVIEW
from tenant_app.errors import Conflict, Forbidden, InvalidInput, NotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """One signature on a version, as far as the guard needs it. `sha256` is of the bytes that were signed."""

    sub: str
    meaning: str
    sha256: str
    revoked: bool = False
    on_behalf_of: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything the guard looks at, gathered inside the deciding transaction."""

    actor: str
    rights: frozenset[Right]
    state: State
    sha256: str
    author: str
    latest: bool
    reviewers: frozenset[str] = frozenset()
    signatures: tuple[Signed, ...] = ()
    trail_opened: bool = False
    reason: str = ""
    on_behalf_of: str | None = None

    @property
    def principal(self) -> str:
        """Return whose authority is used: the actor's own, or that of the person on whose behalf they act."""
        return self.on_behalf_of or self.actor

    @property
    def involved(self) -> frozenset[str]:
        """Return everybody who has a hand in this act: a delegation frees neither of the two from the separation of duties."""
        return frozenset({self.actor, self.principal})

    @property
    def authors(self) -> frozenset[str]:
        """Return the author and whoever signed the authorship."""
        return self.signers("authorship") | {self.author}

    def signers(self, meaning: str) -> frozenset[str]:
        """Return who had a hand in a valid signature of this meaning on exactly these bytes: signers and those behind them."""
        counted = [each for each in self.signatures if self._counts(each, meaning)]
        return frozenset(each.sub for each in counted) | self.principals(meaning)

    def principals(self, meaning: str) -> frozenset[str]:
        """Return whose authority those signatures used."""
        return frozenset(each.on_behalf_of or each.sub for each in self.signatures if self._counts(each, meaning))

    @property
    def open_reviews(self) -> frozenset[str]:
        """Return the assigned reviewers whose review nobody has signed yet."""
        return self.reviewers - self.principals("review")

    def _counts(self, each: Signed, meaning: str) -> bool:
        return each.meaning == meaning and each.sha256 == self.sha256 and not each.revoked


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One arrow of the definition."""

    name: str
    label: str
    sources: frozenset[State]
    target: State
    right: Right
    meaning: str
    needs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A workflow's version, its arrows and the closed list of meanings with their statements (11.50(a)(3))."""

    version: str
    digest: str
    transitions: MappingProxyType[str, Transition] = field(repr=False)
    statements: MappingProxyType[str, str] = field(repr=False)

    def transition(self, name: str) -> Transition:
        """Return an arrow by name. Raises NotFound."""
        if name not in self.transitions:
            raise NotFound("There is no such step in the workflow.")
        return self.transitions[name]


Need = Callable[[Facts], str | None]
_PERSON = "Author, reviewer and approver of one version must be different people (11.10(g))."


def _unless(problem: str, holds: Callable[[Facts], bool]) -> Need:
    def need(facts: Facts) -> str | None:
        return None if holds(facts) else problem

    return need


NEEDS: MappingProxyType[str, Need] = MappingProxyType(
    {
        "latest": _unless("Only the newest version can go on.", lambda facts: facts.latest),
        "is_author": _unless(
            "Only its author can send a version to review.", lambda facts: facts.principal == facts.author
        ),
        "not_author": _unless(_PERSON, lambda facts: not facts.involved & facts.authors),
        "not_reviewer": _unless(
            _PERSON, lambda facts: not facts.involved & (facts.reviewers | facts.signers("review"))
        ),
        "reviewers_assigned": _unless(
            "Choose at least one reviewer other than the author.",
            lambda facts: bool(facts.reviewers) and not (facts.involved | facts.authors) & facts.reviewers,
        ),
        "assigned": _unless(
            "You are not an assigned reviewer of this version.", lambda facts: facts.principal in facts.reviewers
        ),
        "not_signed_yet": _unless(
            "You have signed this review already.", lambda facts: facts.principal in facts.open_reviews
        ),
        "reviews_complete": _unless(
            "Not every assigned reviewer has finished on exactly these bytes.",
            lambda facts: bool(facts.reviewers) and not facts.open_reviews,
        ),
        "approved_same_bytes": _unless(
            "There is no approval of exactly these bytes.", lambda facts: bool(facts.signers("approval"))
        ),
        "trail_opened": _unless(
            "Open the version's audit trail first: it is part of what you decide on.", lambda facts: facts.trail_opened
        ),
        # Asked for by none of our own arrows: a tenant whose approvers sign for the trail puts it into its file.
        "trail_reviewed": _unless(
            "Sign your review of this version's audit trail first.",
            lambda facts: facts.actor in facts.signers(TRAIL_REVIEW),
        ),
        "has_signed": _unless(
            "You have no signature on this version to revoke.",
            lambda facts: any(
                each.sub == facts.actor and not each.revoked and each.meaning != TRAIL_REVIEW
                for each in facts.signatures
            ),
        ),
    }
)


def decide(transition: Transition, facts: Facts) -> State:
    """Return the state after `transition`. The only function that moves a version.

    Raises Forbidden when the right is missing, Conflict when a need or the state is not met, InvalidInput without a reason where
    one is asked for. A review leads to `reviewed` only when it is the last open one.
    """
    if transition.right not in facts.rights:
        raise Forbidden(f"This needs the right to {transition.right.value}.")
    if facts.on_behalf_of is not None and (problem := _against_delegation(transition, facts)):
        raise Conflict(problem)
    if facts.state not in transition.sources:
        raise Conflict(f"A version that is {facts.state.value.replace('_', ' ')} cannot take this step.")
    for name in transition.needs:
        if name == "reason":
            if not facts.reason.strip():
                raise InvalidInput("Please state the reason.", field="reason")
            continue
        problem = NEEDS[name](facts)
        if problem is not None:
            raise Conflict(problem)
    if transition.name == "review" and facts.open_reviews != {facts.principal}:
        return facts.state
    return transition.target


def possible(definition: Definition, facts: Facts) -> list[Transition]:
    """Return what this person could do now, for showing; what they do is decided again by `decide`."""
    return [transition for transition in definition.transitions.values() if can(transition, facts)]


def can(transition: Transition, facts: Facts) -> bool:
    """Say whether a step could be taken now, the dialog once filled in."""
    try:
        decide(transition, _as_if_filled_in(facts))
    except (Forbidden, Conflict):
        return False
    return True


def load(raw: bytes | None = None) -> Definition:
    """Read a definition; the package's own when none is given. Raises ValueError naming what is wrong."""
    text = raw if raw is not None else files("tenant_app.domain").joinpath("workflow.json").read_bytes()
    body: dict[str, Any] = json.loads(text)
    transitions = {item["name"]: _transition(item, body["meanings"]) for item in body["transitions"]}
    return Definition(
        version=body["version"],
        digest=hashlib.sha256(text).hexdigest(),
        transitions=MappingProxyType(transitions),
        statements=MappingProxyType(body["meanings"]),
    )


def _against_delegation(transition: Transition, facts: Facts) -> str | None:
    if transition.meaning == "revocation":
        return "Only the person who signed can revoke a signature."
    # Two seats filled by one pair of eyes would be one review.
    if facts.actor in facts.reviewers | facts.signers("review"):
        return "You are a reviewer of this version already, so you cannot act on it for somebody else."
    return None


def _transition(item: dict[str, Any], meanings: dict[str, str]) -> Transition:
    unknown = [name for name in item["needs"] if name not in NEEDS and name != "reason"]
    if unknown or item["meaning"] not in meanings:
        raise ValueError(f"workflow step {item['name']}: unknown need or meaning: {unknown or item['meaning']}")
    return Transition(
        name=item["name"],
        label=item["label"],
        sources=frozenset(State(state) for state in item["from"]),
        target=State(item["to"]),
        right=Right(item["right"]),
        meaning=item["meaning"],
        needs=tuple(item["needs"]),
    )


def _as_if_filled_in(facts: Facts) -> Facts:
    """Fill in what the person enters in the dialog itself: the reason, and the reviewers at the first step."""
    chosen = facts.reviewers or (frozenset({"to be chosen"}) if facts.state is State.DRAFT else frozenset())
    return replace(facts, reason=facts.reason or "to be given", reviewers=chosen)
