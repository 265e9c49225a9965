"""A record's years, lived through: `test_years.py` runs this file under a clock that it can put ahead (libfaketime).

Everything in this process and below it takes its time from one file: the app, PostgreSQL, the audit service, TLS. Vault and the
directory keep the real time. Not collected by name: without that clock it means nothing.
"""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tenant_app import factory
from tenant_app.adapters.directory import LdapDirectory
from tenant_app.adapters.vault import VaultKeys
from tests.tenant_app.support import vault as real
from tests.tenant_app.support.site import PDF, Browser, Site
from tests.tenant_app.test_audit_service import TENANT_LOG, adapter, service
from tests.tenant_app.test_evidence import checked, signatures_of, unpack, verified
from tests.tenant_app.test_renditions import sealed_by, text_of
from tests.tenant_app.test_trail_review import review
from tests.tenant_app.test_workflow import reviewer_sub, sign

__all__ = ["service"]

CLOCK = Path(os.environ["FAKETIME_TIMESTAMP_FILE"])
BEGAN = datetime.now(UTC)
ACCEPTED = {"authorship", "review", "approval", "publication"}


def ahead(days: int) -> None:
    CLOCK.write_text(f"+{days}d\n")
    assert abs((datetime.now(UTC) - BEGAN).days - days) <= 1


@pytest.fixture
def vault(ground):
    with real.vault(ground / "vault") as found:
        yield found


@pytest.fixture
async def held(fresh, vault, service, tmp_path):
    """A site on real parts with a document that four people signed and published."""
    section = fresh.vault.model_copy(update={"address": vault.address, "token_file": vault.token_file, "ca_file": None})
    log = adapter(fresh, service, tmp_path, "pod-1")
    app = factory.build(fresh, factory.Ports(keys=VaultKeys(section), directory=LdapDirectory(fresh.ldap), audit=log))
    await app.database.open()
    site = Site(app)
    alice = await site.as_("alice")
    document = await alice.uploaded(PDF, "report.pdf", "Validation report")
    subs = [await reviewer_sub(site, "rosa")]
    assert (await sign(alice, "alice", document, "submit", reviewers=subs)).status_code == 303
    for uid, step in (("rosa", "review"), ("ana", "approve"), ("pia", "publish")):
        browser = await site.as_(uid)
        await browser.get(f"/documents/{document}/trail")
        assert (await sign(browser, uid, document, step)).status_code == 303
    await app.relay.deliver_all()
    yield site, document
    await site.close()
    await app.close()


async def everything_verifies(site: Site, service, browser: Browser, document: str, folder: Path) -> set[str]:
    """Check the content, the page, the signed copy and each signature's pack; return the meanings that were checked."""
    content = await browser.content(document)
    assert (content.status_code, content.content) == (200, PDF)
    page = (await browser.get(f"/documents/{document}")).text
    assert "Each verified just now" in page
    delivered = site.app.relay.progress.delivered
    async with service.client():
        await service.signed(TENANT_LOG, delivered + 1)
    meanings = set()
    for place, signature in enumerate(await signatures_of(browser, document)):
        answer = await browser.get(f"/documents/{document}/signatures/{signature}/evidence.zip")
        assert answer.status_code == 200, answer.text
        unpack(answer.content, folder / str(place))
        code, said = checked(folder / str(place))
        assert code == 0, said
        assert "the log's entry names exactly this signature" in said
        assert verified(folder / str(place)) == 0
        meanings.add(said.partition(", ")[2].partition(",")[0])
    copy = await browser.get(f"/documents/{document}/versions/1/rendition.pdf")
    assert all(name in text_of(copy.content) for name in ("Alice Author", "Rosa Reviewer", "Ana Approver"))
    issuer = (await browser.get("/pdf-seal-issuer.cer")).content
    seal = await sealed_by(copy.content, issuer)
    assert seal.intact
    assert seal.valid
    return meanings


async def test_a_record_lives_to_the_end_of_its_retention(held, vault, service, server, fresh, tmp_path):
    site, document = held
    rita = await site.as_("rita")
    (tmp_path / "0").mkdir()
    assert await everything_verifies(site, service, rita, document, tmp_path / "0") == ACCEPTED
    for number, days in enumerate((5 * 365, 3640), 1):
        ahead(days)
        with server.admin(fresh.database.name) as conn:
            assert conn.execute(
                "SELECT (now() - created_at) > %s * interval '1 day' FROM documents", (days - 1,)
            ).fetchone()[0]
        site.app.relay._audit = site.app.evidence._audit = adapter(fresh, service, tmp_path, f"pod-{number + 1}")
        # What waited for the log all the while would pause changes: first it is delivered, as the relay does by itself.
        await site.app.relay.deliver_all()
        for key in (real.SIGNING, real.KEY):
            vault.root.secrets.transit.rotate_key(key)
        # Who was signed in years ago is not any more.
        assert (await rita.get("/documents")).headers["location"].startswith("/sign-in")
        rita, rosa = await site.as_("rita"), await site.as_("rosa")
        # Signed with the new key, into the chain of those that the older ones signed.
        assert (await review(rosa, "rosa", document)).status_code == 303
        await site.app.relay.deliver_all()
        (tmp_path / str(number)).mkdir()
        found = await everything_verifies(site, service, rita, document, tmp_path / str(number))
        assert found == ACCEPTED | {"trail-review"}
        pack = tmp_path / str(number) / "0"
        assert f":v{number + 1}" in (pack / "signature.dsse.json").read_text()
        assert (pack / "signing-key-v1.pem").exists()
        for uid in ("pia", "max"):
            answer = await (await site.as_(uid)).post(f"/documents/{document}/delete", {"reason": "It is old enough"})
            assert (answer.status_code, "nobody can delete it before" in answer.text) == (409, True)
        with server.admin(fresh.database.name) as conn, pytest.raises(Exception, match="retention or a hold"):
            conn.execute("SELECT dispose_document(%s)", (document,))
    ahead(3651)
    pia = await site.as_("pia")
    site.app.relay._audit = adapter(fresh, service, tmp_path, "pod-9")
    await site.app.relay.deliver_all()
    assert (await pia.post(f"/documents/{document}/delete", {"reason": "Its retention is over"})).status_code == 303
    assert (await pia.content(document)).status_code == 404
    trail = (await pia.get(f"/api/v1/documents/{document}/trail")).json()
    assert {"app:document:create", "app:signature:create", "app:document:delete"} <= {
        each["entry"]["action"] for each in trail
    }
