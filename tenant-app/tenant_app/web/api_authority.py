"""The part of the REST API about authority: the same services as the pages of administration and of one's own rights."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from fastapi import FastAPI

from tenant_app.domain.access import Right
from tenant_app.domain.authority import day_end
from tenant_app.factory import App
from tenant_app.services.administration import Standing
from tenant_app.services.delegations import Shown
from tenant_app.services.grants import Record
from tenant_app.services.identity_records import Verification
from tenant_app.web.api_parts import WANTS, Administrator, Anyone, Model, Viewer
from tenant_app.web.guard import Access


class PersonOut(Model):
    """Somebody who has signed in, with what they may do now."""

    sub: str
    name: str
    account: str
    roles: list[str]
    rights: list[str]
    withheld: list[str]
    sessions: int
    suspended_at: datetime | None


class RecordOut(Model):
    """A grant or a training record."""

    id: UUID
    name: str
    words: str
    by: str
    at: datetime
    until: datetime
    ended_at: datetime | None
    live: bool


class GrantIn(Model):
    """A role or right to be given until the end of a day."""

    name: str
    reason: str
    until: date


class TrainingIn(Model):
    """A training to be recorded, valid until the end of a day."""

    name: str
    what: str
    until: date


class EnrolmentIn(Model):
    """A verified identity to be recorded."""

    how: str
    verified_by: str
    verified_on: date
    personnel: str = ""


class ReasonIn(Model):
    """Why."""

    reason: str


class AskIn(Model):
    """What two administrators have to agree on, and why."""

    kind: str
    reason: str


class PolicyIn(Model):
    """The next version of the policy."""

    title: str
    text: str
    reason: str


class PolicyOut(Model):
    """The current policy."""

    version: int
    title: str
    text: str
    sha256: str


class AcceptanceIn(Model):
    """The digest of the policy that was read."""

    sha256: str


class DelegationIn(Model):
    """A delegation to be offered: to whom, which meaning, until the end of a day."""

    receiver: str
    meaning: str
    reason: str
    until: date


class DelegationOut(Model):
    """A delegation."""

    id: UUID
    giver: str
    receiver: str
    meaning: str
    state: str
    until: datetime


def add_authority(api: FastAPI, app: App) -> None:
    """Add the routes."""
    _add_people(api, app)
    _add_acts(api, app)
    _add_policy(api, app)
    _add_delegations(api, app)


def _add_people(api: FastAPI, app: App) -> None:
    wants = {WANTS: Right.ADMINISTER.value}

    @api.get("/people", openapi_extra=wants)
    async def people(caller: Administrator) -> list[PersonOut]:
        """List everybody who has signed in."""
        return [_person(each) for each in await app.administration.members(caller)]

    @api.get("/people/{sub}", openapi_extra=wants)
    async def person(caller: Administrator, sub: str) -> PersonOut:
        """Tell one person, as the directory has them now."""
        return _person(await app.administration.person(caller, sub))

    @api.get("/people/{sub}/grants", openapi_extra=wants)
    async def grants(caller: Administrator, sub: str) -> list[RecordOut]:
        """List a person's grants, newest first."""
        return [_record(each) for each in await app.grants.grants(caller, sub)]

    @api.post("/people/{sub}/grants", status_code=201, openapi_extra=wants)
    async def grant(caller: Administrator, sub: str, body: GrantIn) -> dict[str, UUID]:
        """Give a role or right until a day."""
        until = day_end(body.until.isoformat())
        return {"id": await app.grants.grant(caller, sub, body.name, body.reason, until)}

    @api.post("/grants/{grant}/revoke", status_code=204, openapi_extra=wants)
    async def revoke(caller: Administrator, grant: UUID, body: ReasonIn) -> None:
        """Take a grant back at once."""
        await app.grants.revoke(caller, grant, body.reason)

    @api.get("/people/{sub}/training", openapi_extra=wants)
    async def trainings(caller: Administrator, sub: str) -> list[RecordOut]:
        """List a person's training records, newest first."""
        return [_record(each) for each in await app.grants.trainings(caller, sub)]

    @api.post("/people/{sub}/training", status_code=201, openapi_extra=wants)
    async def train(caller: Administrator, sub: str, body: TrainingIn) -> dict[str, UUID]:
        """Record a training."""
        until = day_end(body.until.isoformat())
        return {"id": await app.grants.record_training(caller, sub, body.name, body.what, until)}


def _add_acts(api: FastAPI, app: App) -> None:
    wants = {WANTS: Right.ADMINISTER.value}

    @api.post("/people/{sub}/enrolment", status_code=201, openapi_extra=wants)
    async def enrol(caller: Administrator, sub: str, body: EnrolmentIn) -> dict[str, UUID]:
        """Record that a person's identity was verified."""
        given = Verification(
            how=body.how,
            verified_by=body.verified_by,
            verified_on=body.verified_on.isoformat(),
            personnel=body.personnel,
        )
        return {"id": await app.enrolments.enrol(caller, sub, given)}

    @api.post("/people/{sub}/loss", status_code=201, openapi_extra=wants)
    async def lose(caller: Administrator, sub: str, body: ReasonIn) -> dict[str, int]:
        """Report a loss: every session ends and the access is suspended."""
        return {"sessions": await app.losses.report(caller, sub, body.reason)}

    @api.post("/people/{sub}/requests", status_code=201, openapi_extra=wants)
    async def ask(caller: Administrator, sub: str, body: AskIn) -> dict[str, UUID]:
        """Ask for what two administrators have to agree on."""
        return {"id": await app.two_person.ask(caller, body.kind, sub, body.reason)}

    @api.post("/requests/{request_id}/confirm", status_code=204, openapi_extra=wants)
    async def confirm(caller: Administrator, request_id: UUID) -> None:
        """Confirm what another administrator asked for."""
        await app.two_person.confirm(caller, request_id)

    @api.post("/requests/{request_id}/refuse", status_code=204, openapi_extra=wants)
    async def refuse(caller: Administrator, request_id: UUID, body: ReasonIn) -> None:
        """End a request before it takes effect."""
        await app.two_person.refuse(caller, request_id, body.reason)

    @api.get("/access-review", openapi_extra=wants)
    async def review(caller: Administrator) -> dict[str, Any]:
        """Tell who has which right through what, and the digest that a review signs."""
        listing = await app.access_review.listing(caller)
        return {"sha256": listing.sha256, "lines": listing.as_json()}


def _add_policy(api: FastAPI, app: App) -> None:
    @api.get("/policy", openapi_extra={WANTS: Access.SIGNED_IN.value})
    async def policy(_caller: Anyone) -> PolicyOut | None:
        """Tell the current policy, or null before the first."""
        found = await app.policies.current()
        if found is None:
            return None
        return PolicyOut(version=found.version, title=found.title, text=found.text, sha256=found.sha256)

    @api.post("/policy", status_code=201, openapi_extra={WANTS: Right.ADMINISTER.value})
    async def publish(caller: Administrator, body: PolicyIn) -> PolicyOut:
        """Publish the next version."""
        found = await app.policies.publish(caller, body.title, body.text, body.reason)
        return PolicyOut(version=found.version, title=found.title, text=found.text, sha256=found.sha256)

    @api.post("/policy/acceptance", status_code=204, openapi_extra={WANTS: Access.SIGNED_IN.value})
    async def accept(caller: Anyone, body: AcceptanceIn) -> None:
        """Accept the current version for oneself."""
        await app.policies.accept(caller, body.sha256)


def _add_delegations(api: FastAPI, app: App) -> None:
    wants = {WANTS: Right.VIEW.value}

    @api.get("/delegations", openapi_extra=wants)
    async def delegations(caller: Viewer) -> list[DelegationOut]:
        """List the caller's delegations, given and taken."""
        return [_delegation(each) for each in await app.delegations.shown(caller)]

    @api.post("/delegations", status_code=201, openapi_extra=wants)
    async def offer(caller: Viewer, body: DelegationIn) -> dict[str, UUID]:
        """Offer somebody to sign on the caller's behalf."""
        until = day_end(body.until.isoformat())
        return {"id": await app.delegations.offer(caller, body.receiver, body.meaning, body.reason, until)}

    @api.post("/delegations/{delegation}/accept", status_code=204, openapi_extra=wants)
    async def accept(caller: Viewer, delegation: UUID) -> None:
        """Accept an offer to the caller."""
        await app.delegations.accept(caller, delegation)

    @api.post("/delegations/{delegation}/end", status_code=204, openapi_extra=wants)
    async def end(caller: Viewer, delegation: UUID, body: ReasonIn) -> None:
        """End a delegation, given or taken."""
        await app.delegations.end(caller, delegation, body.reason)


def _person(found: Standing) -> PersonOut:
    return PersonOut(
        sub=found.known.sub,
        name=found.known.name,
        account=found.known.account,
        roles=sorted(found.now.roles),
        rights=sorted(found.now.rights),
        withheld=sorted(found.now.withheld),
        sessions=found.known.live,
        suspended_at=found.known.suspended_at,
    )


def _record(found: Record) -> RecordOut:
    return RecordOut(
        id=found.id,
        name=found.name,
        words=found.words,
        by=found.by,
        at=found.at,
        until=found.until,
        ended_at=found.ended_at,
        live=found.live,
    )


def _delegation(found: Shown) -> DelegationOut:
    return DelegationOut(
        id=found.delegation.id,
        giver=found.giver,
        receiver=found.receiver,
        meaning=found.delegation.meaning,
        state=found.state,
        until=found.delegation.until,
    )
