"""The thin whole of issue 3: sign in, upload, list, read back, new version, all of it in the trail."""

from tests.tenant_app.support.site import PDF, Site


async def test_a_person_uploads_reads_back_and_adds_a_version_and_all_of_it_is_in_the_trail(site: Site, audit):
    alice = await site.as_("alice")
    document = await alice.uploaded(PDF, "protocol.pdf", "Stability protocol")
    listed = await alice.get("/documents")
    assert "Stability protocol" in listed.text
    assert (await alice.content(document)).content == PDF
    assert (await alice.add_version(document, PDF + b"\n", expected=1, name="protocol.pdf")).status_code == 303
    assert (await alice.content(document, 1)).content == PDF
    assert (await alice.content(document, 2)).content == PDF + b"\n"
    page = await alice.get(f"/documents/{document}/trail")
    assert "created the document" in page.text
    assert "Corrected a figure" in page.text
    await site.app.relay.deliver_all()
    assert [action for action in audit.actions() if action in {"app:document:create", "app:document:update"}] == [
        "app:document:create",
        "app:document:update",
    ]
