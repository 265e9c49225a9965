"""Several replicas of the app on one database: what one does, the other shows at the next look."""

from collections.abc import AsyncIterator

import pytest

from tenant_app import factory
from tenant_app.adapters.directory import LdapDirectory
from tests.tenant_app.support.site import Browser, Site
from tests.tenant_app.test_filing import HITS, NEW


@pytest.fixture
async def other(fresh, keys, audit) -> AsyncIterator[Site]:
    app = factory.build(fresh, factory.Ports(keys=keys, directory=LdapDirectory(fresh.ldap), audit=audit))
    await app.database.open()
    made = Site(app)
    yield made
    await made.close()
    await app.close()


async def found(browser: Browser, *words: str) -> list[int]:
    """Return how many documents a search for each of the words finds."""
    return [(await browser.get("/documents", params={"q": word})).text.count(HITS) for word in words]


async def test_what_one_replica_stores_edits_files_and_remarks_is_found_by_the_other(site: Site, other: Site):
    alice, rosa, rita = await site.as_("alice"), await site.as_("rosa"), await other.as_("rita")
    older = await alice.uploaded(b"wombat\n", "n.txt", "Quokka")
    # The other's index is built here; everything from here on it has to take up.
    assert await found(rita, "wombat", "quokka", "axolotl") == [1, 1, 0]
    document = await alice.uploaded(b"axolotl\n", "n.txt", "Capybara")
    assert await found(rita, "axolotl", "capybara") == [1, 1]
    answer = await alice.post(f"/documents/{document}/describe", {**NEW, "title": "Dormouse", "reason": "Better title"})
    assert answer.status_code == 303
    assert await found(rita, "capybara", "dormouse", "axolotl", "wombat") == [0, 1, 1, 1]
    assert (await alice.add_version(document, b"echidna\n", expected=1)).status_code == 303
    remark = {"text": "See the fossa", "place": "page 1"}
    assert (await rosa.post(f"/documents/{older}/versions/1/annotations", remark)).status_code == 303
    assert await found(rita, "echidna", "fossa", "dormouse", "quokka") == [1, 1, 1, 1]
    move = {"folder": "Quality/SOPs", "reason": "Belongs to the procedures"}
    assert (await alice.post(f"/documents/{older}/move", move)).status_code == 303
    assert "folder=Quality" in (await rita.get("/documents")).text
    inside = (await rita.get("/documents", params={"folder": "Quality/SOPs"})).text
    assert (inside.count(HITS), "Quokka" in inside) == (1, True)
    assert await found(rita, "quokka", "procedures", "sops") == [1, 0, 1]
