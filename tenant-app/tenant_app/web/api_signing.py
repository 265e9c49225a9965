"""The part of the REST API that signs: reviews of a document's trail, and reviews of access.

Two requests, as in the pages: a challenge tells what would be signed and what has to be typed; the signing takes it back within
five minutes, with the components. The session's cookie and token alone sign nothing (11.200(a)(1)).
"""

from datetime import datetime
from typing import Any, Self
from uuid import UUID

from fastapi import FastAPI, Request
from pydantic import ConfigDict, Field

from tenant_app.domain.access import Right
from tenant_app.domain.access_review import IN_ORDER, STATEMENT, TO_CHANGE
from tenant_app.domain.trail_review import Covered, Since
from tenant_app.factory import App
from tenant_app.services import access_review, trail_review
from tenant_app.services.components import Asked, Typed
from tenant_app.web.api_parts import WANTS, Administrator, Model, Number, Viewer
from tenant_app.web.visit import client_of

_VIEW, _ADMINISTER = {WANTS: Right.VIEW.value}, {WANTS: Right.ADMINISTER.value}


class AskedOut(Model):
    """What the signing takes. `step_up`: a proof at the provider first, which takes a browser."""

    account: bool
    password: bool
    code: bool
    step_up: bool

    @classmethod
    def of(cls, asked: Asked) -> Self:
        """Return it as the API tells it."""
        return cls(
            account=asked.first and asked.password, password=asked.password, code=asked.code, step_up=asked.step_up
        )


class CoveredOut(Model):
    """Which entries a review covers; `hash` is the chain's at the last, `sha256` is of the entries as RFC 8785 JSON."""

    first: int
    last: int
    entries: int
    hash: str
    sha256: str

    @classmethod
    def of(cls, covered: Covered) -> Self:
        """Return it as the API tells it."""
        return cls(**covered.as_json())


class SinceOut(Model):
    """What has come since: how many entries, how many of them changes."""

    entries: int
    changes: int

    @classmethod
    def of(cls, since: Since) -> Self:
        """Return it as the API tells it."""
        return cls(**since.as_json())


class TrailChallengeOut(Model):
    """What signing now would cover and mean, and what to type."""

    nonce: str
    statement: str
    covered: CoveredOut
    asked: AskedOut


class TrailReviewOut(Model):
    """A signed review of a document's trail."""

    id: UUID
    version: int
    at: datetime
    by: str
    covered: CoveredOut
    since: SinceOut
    envelope: dict[str, Any]


class AccessChallengeOut(Model):
    """The list that signing now would cover, what it would mean, and what to type."""

    nonce: str
    statement: str
    sha256: str
    lines: list[dict[str, Any]]
    asked: AskedOut


class AccessReviewOut(Model):
    """A signed review of access with the list that it is of."""

    id: UUID
    at: datetime
    by: str
    outcome: str
    sha256: str
    lines: list[dict[str, Any]]
    envelope: dict[str, Any]


class _Signed(Model):
    """What every signing sends: the challenge, and what a person typed. Never kept, never told back."""

    model_config = ConfigDict(extra="forbid")

    nonce: str
    account: str = ""
    password: str = Field(default="", repr=False)
    code: str = Field(default="", repr=False)
    remarks: str = ""

    def typed(self) -> Typed:
        """Return the components."""
        return Typed(account=self.account, password=self.password, code=self.code)


class TrailReviewIn(_Signed):
    """A review to be signed. `last`: the last entry of the challenge's `covered`."""

    last: int = Field(ge=0, le=2**63 - 1)


class AccessReviewIn(_Signed):
    """A review to be signed: the digest of the challenge's list, and the outcome: `in_order` or `to_change`."""

    sha256: str
    outcome: str


def add_signing(api: FastAPI, app: App) -> None:
    """Add the routes."""
    _add_trail(api, app)
    _add_access(api, app)


def _add_trail(api: FastAPI, app: App) -> None:
    at = "/documents/{document}/versions/{number}/trail-reviews"

    @api.get("/documents/{document}/trail-reviews", openapi_extra=_VIEW)
    async def trail_reviews(caller: Viewer, document: UUID) -> list[TrailReviewOut]:
        """List the signed reviews of a document's trail, newest first, each verified with the entries that it covers."""
        return [_trail_review(each) for each in await app.trail_review.shown(caller, document)]

    @api.post(at + "/challenge", status_code=201, openapi_extra=_VIEW)
    async def challenge(caller: Viewer, document: UUID, number: Number, request: Request) -> TrailChallengeOut:
        """Begin to sign for the trail as it stands now; a conflict for an author, and before the trail was read."""
        found = await app.trail_review.challenge(caller, client_of(request), document, number)
        return TrailChallengeOut(
            nonce=found.nonce,
            statement=found.statement,
            covered=CoveredOut.of(found.covered),
            asked=AskedOut.of(found.asked),
        )

    @api.post(at, status_code=201, openapi_extra=_VIEW)
    async def review(
        caller: Viewer, document: UUID, number: Number, body: TrailReviewIn, request: Request
    ) -> dict[str, UUID]:
        """Sign for having reviewed the trail up to the last entry of the challenge."""
        given = trail_review.Request(
            document=document,
            number=number,
            nonce=body.nonce,
            last=body.last,
            typed=body.typed(),
            remarks=body.remarks,
        )
        return {"id": await app.trail_review.sign(caller, client_of(request), given)}


def _add_access(api: FastAPI, app: App) -> None:
    @api.get("/access-reviews", openapi_extra=_ADMINISTER)
    async def access_reviews(caller: Administrator) -> list[AccessReviewOut]:
        """List the signed reviews of access, newest first, each verified and all in one chain."""
        return [_access_review(each) for each in await app.access_review.reviews(caller)]

    @api.post("/access-reviews/challenge", status_code=201, openapi_extra=_ADMINISTER)
    async def challenge(caller: Administrator, request: Request) -> AccessChallengeOut:
        """Begin to sign for the list as it stands now."""
        listing = await app.access_review.listing(caller)
        nonce, asked = await app.access_review.challenge(caller, client_of(request), listing)
        return AccessChallengeOut(
            nonce=nonce,
            statement=STATEMENT,
            sha256=listing.sha256,
            lines=listing.as_json(),
            asked=AskedOut.of(asked),
        )

    @api.post("/access-reviews", status_code=201, openapi_extra=_ADMINISTER)
    async def review(caller: Administrator, body: AccessReviewIn, request: Request) -> dict[str, UUID]:
        """Sign the review of exactly the challenge's list; a conflict when something in it has changed since."""
        given = access_review.Outcome(
            nonce=body.nonce, sha256=body.sha256, outcome=body.outcome, remarks=body.remarks, typed=body.typed()
        )
        return {"id": await app.access_review.sign_off(caller, client_of(request), given)}


def _trail_review(found: trail_review.Reviewed) -> TrailReviewOut:
    signature = found.signature
    return TrailReviewOut(
        id=signature.id,
        version=signature.version,
        at=signature.at,
        by=signature.payload["signer"]["printed_name"],
        covered=CoveredOut.of(found.covered),
        since=SinceOut.of(found.since),
        envelope=signature.envelope,
    )


def _access_review(found: access_review.Review) -> AccessReviewOut:
    return AccessReviewOut(
        id=found.id,
        at=found.at,
        by=found.payload["signer"]["printed_name"],
        outcome=TO_CHANGE if found.payload["decision"] == "reject" else IN_ORDER,
        sha256=found.payload["record"]["content_sha256"],
        lines=found.listing,
        envelope=found.envelope,
    )
