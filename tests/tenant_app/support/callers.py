"""People as services see them: signed in, with the rights in force now."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from tenant_app import factory
from tenant_app.services.caller import Caller
from tenant_app.services.sessions import Client
from tests.tenant_app.support import people

CLIENT = Client(address="127.0.0.1", agent="test-browser", request="r")
SOON = timedelta(days=30)


def soon() -> datetime:
    return datetime.now(UTC) + SOON


async def caller(app: factory.App, uid: str) -> Caller:
    """Return somebody who has just signed in, as the guard would hand them on."""
    _, session = await app.sessions.sign_in(uid, people.password(uid), CLIENT)
    return Caller(session=await app.authority.applied(session, "r"), request="r")


async def again(app: factory.App, who: Caller) -> Caller:
    """Return the same person at their next request."""
    directory = frozenset(
        (await app.ports.directory.authenticate(who.session.account, people.password(who.session.account))).roles
    )
    return replace(who, session=await app.authority.applied(replace(who.session, roles=directory), "r"))


async def sub(app: factory.App, uid: str) -> str:
    return (await app.ports.directory.authenticate(uid, people.password(uid))).sub


def with_settings(fresh, **sections):
    """Return settings with some sections replaced, as the file would have them."""
    body = fresh.model_dump(mode="json", by_alias=True)
    for name, values in sections.items():
        body[name] = {**(body.get(name) or {}), **values}
    return type(fresh).model_validate(body)
