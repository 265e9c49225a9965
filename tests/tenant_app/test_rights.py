"""The route x role matrix, generated from the table of routes: deny by default, every cell expected (AT-09, AT-18)."""

import re
import uuid

import pytest

from tenant_app.domain.access import RIGHTS_OF, Right, Role, rights_of
from tenant_app.web.app import PAGES, create
from tenant_app.web.guard import Access
from tests.tenant_app.support.site import Site

UID = {
    Role.READER: "rita", Role.AUTHOR: "alice", Role.REVIEWER: "rosa", Role.APPROVER: "ana", Role.PUBLISHER: "pia",
    Role.ADMINISTRATOR: "max",
}  # fmt: skip
UNGUARDED = {"/healthz", "/readyz", "/metrics", "/static"}


def concrete(path: str) -> str:
    return re.sub(r"\{\w+:int\}", "1", re.sub(r"\{\w+\}", str(uuid.uuid4()), path))


def test_administer_gives_no_right_over_content_and_content_gives_no_administration():
    assert RIGHTS_OF[Role.ADMINISTRATOR] == {Right.ADMINISTER}
    assert Right.ADMINISTER not in rights_of(set(Role) - {Role.ADMINISTRATOR})
    assert rights_of([]) == frozenset()


async def test_every_route_is_declared_with_what_it_needs(app):
    declared = {page.path for page in PAGES}
    served = {route.path for route in create(app).routes}
    assert served - declared - UNGUARDED - {"/api/v1"} == set()
    public = {(page.method, page.path) for page in PAGES if page.needs is Access.PUBLIC}
    assert public == {("GET", "/sign-in"), ("POST", "/sign-in"), ("GET", "/oidc/start"), ("GET", "/oidc/callback")}


@pytest.mark.parametrize("role", [None, *Role])
async def test_at09_each_route_lets_in_exactly_the_roles_with_its_right(site: Site, role):
    browser = site.browser() if role is None else await site.as_(UID[role])
    wrong = []
    for page in PAGES:
        if page.needs is Access.PUBLIC or page.path == "/sign-out":
            continue
        path = concrete(page.path)
        answer = await (browser.get(path) if page.method == "GET" else browser.post(path))
        if role is None:
            fine = answer.status_code == 303 and answer.headers["location"].startswith("/sign-in")
        elif isinstance(page.needs, Access) or page.needs in RIGHTS_OF[role]:
            fine = answer.status_code not in {401, 403} and not answer.headers.get("location", "").startswith(
                "/sign-in"
            )
        else:
            fine = answer.status_code == 403
        if not fine:
            wrong.append((page.method, path, answer.status_code))
    assert wrong == []


async def test_idor_ids_of_nothing_and_of_another_kind_are_not_found(site: Site):
    alice = await site.as_("alice")
    document = await alice.uploaded()
    for bad in (str(uuid.uuid4()), "1", "../etc", "%00", document[:-1], f"{document}x", "null"):
        for path in (f"/documents/{bad}", f"/documents/{bad}/trail", f"/documents/{bad}/versions/1/content"):
            assert (await alice.get(path)).status_code == 404, path
    assert (await alice.get(f"/documents/{document}/versions/99/content")).status_code == 404
