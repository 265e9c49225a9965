"""Keeping records: retention, holds, the scrubber, search, copies (11.10(a) to (c), 11.50(b))."""

import io
import json
import subprocess
from datetime import timedelta

import psycopg
import pytest

from tenant_app import factory
from tenant_app.adapters.directory import LdapDirectory
from tests.tenant_app.support.callers import with_settings
from tests.tenant_app.support.site import PDF, Site
from tests.tenant_app.test_workflow import approved

ROLES = ["rita", "alice", "rosa", "ana", "pia", "max"]


async def test_at06_deletion_under_retention_is_refused_and_recorded_for_every_role(site: Site, audit):
    document = await (await site.as_("alice")).uploaded()
    for uid in ROLES:
        answer = await (await site.as_(uid)).post(f"/documents/{document}/delete", {"reason": "Not needed any more"})
        assert answer.status_code == 409, uid
    await site.app.relay.deliver_all()
    tries = [entry for entry in audit.entries if entry["action"] == "app:document:delete"]
    assert [entry["result"] for entry in tries] == ["denied"] * len(ROLES)


async def test_at06_at14_a_legal_hold_outlasts_retention_and_only_an_administrator_places_it(site: Site, server, fresh):
    document = await (await site.as_("alice")).uploaded()
    pia, max_ = await site.as_("pia"), await site.as_("max")
    with server.admin(fresh.database.name) as conn:
        conn.execute("ALTER TABLE documents DISABLE TRIGGER retention_kept")
        conn.execute("UPDATE documents SET retain_until = now() - interval '1 day'")
        conn.execute("ALTER TABLE documents ENABLE TRIGGER retention_kept")
    data = {"number": "DOC-000001", "reason": "Litigation 2026-7", "act": "hold"}
    assert (await pia.post("/admin/holds", data)).status_code == 403
    assert (await max_.post("/admin/holds", data)).status_code == 303
    assert (await pia.post(f"/documents/{document}/delete", {"reason": "Retention is over"})).status_code == 409
    assert "Legal hold" in (await pia.get(f"/documents/{document}")).text
    assert (await max_.post("/admin/holds", {**data, "act": "release"})).status_code == 303
    rita = await site.as_("rita")
    assert (await rita.post(f"/documents/{document}/delete", {"reason": "Retention is over"})).status_code == 403
    assert (await pia.post(f"/documents/{document}/delete", {"reason": "Retention is over"})).status_code == 303
    assert (await pia.content(document)).status_code == 404
    assert (
        "created the document" in (await pia.get(f"/documents/{document}/trail")).text
    )  # AT-14: the trail outlives it


@pytest.mark.parametrize("role", ["app", "app_owner"])
async def test_at06_the_database_itself_refuses_and_retention_is_never_shortened(site: Site, server, fresh, role):
    await (await site.as_("alice")).uploaded()
    for statement in (
        "SELECT dispose_document((SELECT id FROM documents))", "DELETE FROM contents", "UPDATE documents SET retain_until = now()",
    ):  # fmt: skip
        with (
            psycopg.connect(
                host="127.0.0.1",
                port=server.port,
                user=role,
                password=f"{role}-pw",
                dbname=fresh.database.name,
                sslmode="require",
            ) as conn,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            conn.execute(statement)


async def test_at03_the_scrubber_finds_an_altered_byte_that_nobody_reads_and_alerts_once(
    site: Site, server, fresh, audit
):
    taken = []

    class Sink:
        name = "sink"

        async def send(self, body):
            taken.append(body)

    site.app.alerts._sinks.append(Sink())
    document = await (await site.as_("alice")).uploaded()
    assert await site.app.scrub.look() == 0
    with server.admin(fresh.database.name) as conn:
        conn.execute("ALTER TABLE contents DISABLE TRIGGER ALL")
        conn.execute("UPDATE contents SET sealed = set_byte(sealed, 20, get_byte(sealed, 20) # 1)")
    assert [await site.app.scrub.look(), await site.app.scrub.look()] == [1, 0]
    await site.app.alerts.deliver()
    assert [alert["kind"] for alert in taken] == ["integrity_violation"]
    await site.app.relay.deliver_all()
    assert any(
        each["action"] == "app:integrity:violation" and each["object"]["id"] == document for each in audit.entries
    )


async def test_at13_the_scrubber_finds_a_rewritten_trail(site: Site, server, fresh):
    await (await site.as_("alice")).uploaded()
    with server.admin(fresh.database.name) as conn:
        conn.execute("ALTER TABLE audit_outbox DISABLE TRIGGER ALL")
        conn.execute("UPDATE audit_outbox SET actor = 'somebody else' WHERE seq = 1")
    assert await site.app.scrub.look() == 1


async def test_search_finds_by_words_of_title_number_project_file_and_remark(site: Site):
    alice = await site.as_("alice")
    document = await alice.uploaded(b"x\n", "Überblick.txt", "Stability of ABC-123", project="Zephyr")
    await alice.uploaded(b"y\n", "other.txt", "Cleaning record")
    await alice.post(f"/documents/{document}/versions/1/annotations", {"text": "Check the humidity"})
    for query in ("stabil abc", "zeph", "uberbl", "DOC-000001", "humidity"):
        page = (await alice.get("/documents", params={"q": query})).text
        assert page.count("row-title") == 1, query
        assert "Stability of ABC-123" in page
    assert (await alice.get("/documents", params={"q": "stability cleaning"})).text.count("row-title") == 0


async def test_at28_the_pdf_copy_shows_every_signature_with_name_time_and_meaning(site: Site, tmp_path, audit):
    document = await approved(site)
    ana = await site.as_("ana")
    answer = await ana.get(f"/documents/{document}/trail.pdf")
    assert answer.content.startswith(b"%PDF")
    path = tmp_path / "trail.pdf"
    path.write_bytes(answer.content)
    import pikepdf

    with pikepdf.open(io.BytesIO(answer.content)) as pdf:
        assert len(pdf.pages) >= 1
    if subprocess.run(["which", "pdftotext"], capture_output=True, check=False).returncode == 0:
        text = subprocess.run(
            ["pdftotext", "-layout", str(path), "-"], capture_output=True, check=True, text=True
        ).stdout
        for word in ("Alice Author", "Rosa Reviewer", "Ana Approver", "approval", "UTC"):
            assert word in text
    await site.app.relay.deliver_all()
    assert "app:document:export" in audit.actions()


async def test_the_json_copy_verifies_with_the_public_key_alone(site: Site, keys):
    from tenant_app.domain.signing import check_chain, opened

    document = await approved(site)
    ana = await site.as_("ana")
    copy = json.loads((await ana.get(f"/documents/{document}/trail.json")).content)
    public = await keys.public_keys()
    pairs = [(each["envelope"], opened(each["envelope"], public)) for each in copy["signatures"]]
    check_chain(pairs, tenant=str(site.app.settings.tenant.id), document=document)
    assert [payload["meaning"]["code"] for _, payload in pairs] == ["authorship", "review", "approval"]
    assert [entry["seq"] for entry in copy["entries"]] == sorted(entry["seq"] for entry in copy["entries"])


async def test_at43_an_administrator_ends_a_persons_sessions_at_once_and_reads_no_content(site: Site):
    alice, max_ = await site.as_("alice"), await site.as_("max")
    document = await alice.uploaded()
    sub = (await site.app.ports.directory.authenticate("alice", "alice-password")).sub
    page = await max_.get("/admin")
    assert "Alice Author" in page.text
    assert (await max_.post(f"/admin/people/{sub}/end-sessions", {"reason": "Laptop lost"})).status_code == 303
    assert (await alice.get("/documents")).status_code == 303
    assert (await max_.get(f"/documents/{document}")).status_code == 403


async def test_the_api_answers_the_same_and_is_guarded_the_same(site: Site):
    alice, rita, stranger = await site.as_("alice"), await site.as_("rita"), site.browser()
    document = await alice.uploaded(PDF, "p.pdf", "Protocol")
    listed = (await rita.get("/api/v1/documents")).json()
    assert [(each["id"], each["latest"]["fileName"]) for each in listed] == [(document, "p.pdf")]
    assert (await rita.get(f"/api/v1/documents/{document}/versions/1/content")).content == PDF
    remark = {"text": "Good"}
    path = f"/api/v1/documents/{document}/versions/1/annotations"
    assert (await alice.http.post(path, json=remark)).json()["title"] == "This form is no longer valid"
    token = (await alice.get("/api/v1/session")).json()["csrfToken"]
    assert (await alice.http.post(path, json=remark, headers={"x-csrf-token": token})).status_code == 201
    answer = await stranger.get("/api/v1/documents")
    assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")


async def test_at09_the_matrix_of_the_api_generated_from_its_openapi(site: Site):
    from tenant_app.domain.access import RIGHTS_OF, Right, Role
    from tests.tenant_app.test_rights import UID, concrete

    paths = (await (await site.as_("max")).get("/api/v1/openapi.json")).json()["paths"]
    wrong = []
    for role in Role:
        browser = await site.as_(UID[role])
        token = (await browser.get("/api/v1/session")).json()["csrfToken"]
        for path, methods in paths.items():
            for method, described in methods.items():
                wanted = described["x-right"]
                target = "/api/v1" + concrete(path.replace("{number}", "1"))
                answer = await browser.http.request(method, target, headers={"x-csrf-token": token}, json={"text": "x"})
                allowed = wanted == "signed_in" or Right(wanted) in RIGHTS_OF[role]
                if (answer.status_code == 403) == allowed:
                    wrong.append((role, method, path, answer.status_code))
    assert wrong == []


@pytest.mark.parametrize("days", [400, 9000])
async def test_a_document_is_kept_as_long_as_the_tenant_set_shorter_or_longer_than_the_databases_own(
    fresh, keys, audit, server, days
):
    config = with_settings(fresh, records={"retentionDays": days})
    app = factory.build(config, factory.Ports(keys=keys, directory=LdapDirectory(config.ldap), audit=audit))
    await app.database.open()
    site = Site(app)
    try:
        await (await site.as_("alice")).uploaded()
        with server.admin(fresh.database.name) as conn:
            kept = conn.execute("SELECT retain_until - created_at FROM documents").fetchone()[0]
            assert kept == timedelta(days=days)
    finally:
        await site.close()
        await app.close()


def test_records_are_kept_ten_years_unless_the_tenant_says_otherwise(fresh):
    assert fresh.records.retention_days == 3650
