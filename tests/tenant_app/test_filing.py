"""Descriptions, fields and folders: changed with a reason, old and new kept, rights unchanged (11.10(e), AT-52, AT-56)."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenant_app import factory
from tenant_app.adapters.directory import LdapDirectory
from tenant_app.domain.fields import Definition, checked_fields
from tenant_app.domain.folders import checked_folder, lies_in, moved
from tenant_app.errors import InvalidInput
from tenant_app.services.tree import Tree
from tenant_app.settings import RecordsSection
from tests.tenant_app.support.site import Browser, Site
from tests.tenant_app.test_workflow import approved, submitted

HITS = "row-title"
NEW = {"title": "A better title", "kind": "Protocol", "project": "P1", "reference": ""}


async def api(browser: Browser, method: str, path: str, **more):
    token = (await browser.get("/api/v1/session")).json()["csrfToken"]
    headers = {"x-csrf-token": token, **more.pop("headers", {})}
    return await browser.http.request(method, f"/api/v1{path}", headers=headers, **more)


async def changes(site: Site, audit, code: str) -> list[dict]:
    await site.app.relay.deliver_all()
    return [entry for entry in audit.entries if entry.get("reason", {}).get("code") == code]


async def test_at52_a_description_changes_only_with_a_reason_and_the_trail_has_old_and_new(site: Site, audit):
    alice = await site.as_("alice")
    document = await alice.uploaded()
    page = f"/documents/{document}"
    await alice.get(f"{page}/describe")
    assert (await alice.post(f"{page}/describe", {**NEW, "reason": " "})).status_code == 422
    assert "A note" in (await alice.get(page)).text
    assert (await alice.post(f"{page}/describe", {**NEW, "reason": "Title was too short"})).status_code == 303
    assert "A better title" in (await alice.get(page)).text
    [entry] = await changes(site, audit, "edit")
    found = {change["path"]: (change.get("old"), change.get("new")) for change in entry["change"]}
    assert found == {"/title": ("A note", "A better title"), "/kind": ("Report", "Protocol"), "/project": ("", "P1")}
    assert entry["reason"]["text"] == "Title was too short"
    again = await alice.post(f"{page}/describe", {**NEW, "reason": "Once more the same"})
    assert again.status_code == 409


async def test_at52_the_api_refuses_a_change_or_deletion_without_a_reason_with_422(site: Site):
    alice = await site.as_("alice")
    document = await alice.uploaded()
    assert (await api(alice, "PUT", f"/documents/{document}/description", json=NEW)).status_code == 422
    assert (await api(alice, "PUT", f"/documents/{document}/folder", json={"folder": "A"})).status_code == 422
    headers = {"x-file-name": "n.txt"}
    answer = await api(alice, "PUT", f"/documents/{document}/versions/2", content=b"two\n", headers=headers)
    assert answer.status_code == 422
    assert (await alice.post(f"/documents/{document}/delete", {"reason": ""})).status_code == 422


async def test_at50_putting_a_version_that_is_there_is_409_and_the_next_one_is_stored(site: Site):
    alice = await site.as_("alice")
    document = await alice.uploaded(b"one\n")
    path, headers = f"/documents/{document}/versions", {"x-file-name": "n%C3%B6te.txt", "x-reason": "Corrected%20it"}

    async def put(number: int, content: bytes) -> int:
        return (await api(alice, "PUT", f"{path}/{number}", content=content, headers=headers)).status_code

    assert [await put(1, b"x\n"), await put(3, b"x\n"), await put(2, b"one\n")] == [409, 409, 409]
    assert [await put(2, b"two\n"), await put(2, b"two\n"), await put(2, b"three\n")] == [201, 409, 409]
    assert [(await alice.content(document, number)).content for number in (1, 2)] == [b"one\n", b"two\n"]
    found = (await api(alice, "GET", f"/documents/{document}")).json()
    assert found["latest"]["fileName"] == "nöte.txt"


async def test_at56_a_signed_description_is_not_edited_and_a_new_version_is_unsigned_while_the_old_stays_signed(
    site: Site,
):
    alice, document = await submitted(site)
    page = f"/documents/{document}"
    await alice.get(f"{page}/describe")
    answer = await alice.post(f"{page}/describe", {**NEW, "reason": "Title was too short"})
    assert answer.status_code == 409
    assert "Add a new version first" in answer.text
    await alice.add_version(document, b"changed after signing\n", expected=1)
    assert (await alice.post(f"{page}/describe", {**NEW, "reason": "Title was too short"})).status_code == 303
    shown = (await alice.get(page)).text
    assert 'aria-current="step"><span>Draft' in shown
    signatures = [each.version for each in await _signatures(site, document)]
    assert signatures == [1]


async def _signatures(site: Site, document: str):
    from uuid import UUID

    from tenant_app.storage import workflow

    async with site.app.database.transaction() as conn:
        rows = await workflow.signatures(conn, UUID(document))
    return site.app.progress.verified(rows, await site.app.ports.keys.public_keys(), UUID(document))


async def test_a_document_moves_between_folders_with_old_new_and_reason_even_when_signed(site: Site, audit):
    document = await approved(site)
    alice, rita = await site.as_("alice"), await site.as_("rita")
    await alice.get(f"/documents/{document}/describe")
    data = {"folder": " Quality / SOPs/", "reason": "Belongs to the procedures"}
    assert (await alice.post(f"/documents/{document}/move", {**data, "reason": ""})).status_code == 422
    assert (await rita.post(f"/documents/{document}/move", data)).status_code == 403
    assert (await alice.post(f"/documents/{document}/move", data)).status_code == 303
    assert (await alice.post(f"/documents/{document}/move", data)).status_code == 409
    [entry] = await changes(site, audit, "folder")
    assert entry["change"] == [{"path": "/folder", "old": "", "new": "Quality/SOPs"}]
    top = (await rita.get("/documents")).text
    assert "folder=Quality" in top
    inside = (await rita.get("/documents", params={"folder": "Quality/SOPs"})).text
    assert (inside.count(HITS), "Breadcrumb" in inside) == (1, True)
    assert (await rita.get("/documents", params={"folder": "Quality"})).text.count(HITS) == 0
    assert (await rita.get("/documents", params={"q": "sops"})).text.count(HITS) == 1
    assert (await rita.get(f"/documents/{document}")).text.count("Approved") >= 1


async def test_a_folder_is_renamed_with_everything_below_it_and_each_document_has_its_entry(site: Site, audit):
    alice = await site.as_("alice")
    for folder in ("Old", "Old/Deep/er", "Older"):
        await alice.uploaded(folder.encode(), folder=folder)
    await alice.get("/documents", params={"folder": "Old"})
    rename = {"old": "Old", "new": "Archive/2026", "reason": "Moved to the archive"}
    assert (await alice.post("/folders/rename", {**rename, "new": "Old/Inside"})).status_code == 422
    assert (await alice.post("/folders/rename", {**rename, "reason": ""})).status_code == 422
    assert (await alice.post("/folders/rename", rename)).status_code == 303
    assert (await alice.post("/folders/rename", rename)).status_code == 409
    moves = {tuple(sorted(entry["change"][0].items())) for entry in await changes(site, audit, "folder")}
    assert moves == {
        (("new", "Archive/2026"), ("old", "Old"), ("path", "/folder")),
        (("new", "Archive/2026/Deep/er"), ("old", "Old/Deep/er"), ("path", "/folder")),
    }
    assert site.app.search.tree.paths() == ["Archive/2026", "Archive/2026/Deep/er", "Older"]
    assert (await alice.get("/documents", params={"q": "older"})).text.count(HITS) == 1


@pytest.fixture
async def strict(fresh, keys, audit):
    """A site whose configuration asks for more about a report."""
    asked = [
        {"name": "study", "label": "Study", "required": True, "pattern": r"ST-\d{4}", "hint": "Such as ST-0042", "kinds": ["Report"]},
        {"name": "performed", "label": "Performed on", "type": "date"},
        {"name": "yield_percent", "label": "Yield", "type": "number"},
        {"name": "site", "label": "Site", "type": "choice", "choices": ["Basel", "Graz"]},
    ]  # fmt: skip
    config = fresh.model_copy(update={"records": RecordsSection.model_validate({"metadata": asked})})
    app = factory.build(config, factory.Ports(keys=keys, directory=LdapDirectory(config.ldap), audit=audit))
    await app.database.open()
    made = Site(app)
    yield made
    await made.close()
    await app.close()


async def test_metadata_that_the_configuration_asks_for_is_checked_at_entry(strict: Site):
    alice = await strict.as_("alice")
    good = {
        "field_study": "ST-0042",
        "field_performed": "2026-02-28",
        "field_yield_percent": "98.7",
        "field_site": "Graz",
    }
    for wrong, words in (
        ({"field_study": ""}, "Study is needed"), ({"field_study": "42"}, "Such as ST-0042"),
        ({"field_performed": "2026-02-30"}, "must be a date"), ({"field_yield_percent": "much"}, "must be a number"),
        ({"field_site": "Wien"}, "must be one of"),
    ):  # fmt: skip
        answer = await alice.upload(b"x\n", **{**good, **wrong})
        assert (answer.status_code, words in answer.text) == (422, True), wrong
    document = await alice.uploaded(b"x\n", **good)
    page = (await alice.get(f"/documents/{document}")).text
    assert "ST-0042" in page
    assert (await alice.upload(b"y\n", kind="Form")).status_code == 303
    assert (await alice.get("/documents", params={"q": "st 0042 graz"})).text.count(HITS) == 1


def test_a_configuration_with_a_broken_field_is_refused_at_start():
    for wrong in ({"pattern": "("}, {"type": "choice"}, {"name": "Bad Name"}):
        with pytest.raises(ValueError, match=r"validation error"):
            RecordsSection.model_validate({"metadata": [{"name": "ok", "label": "Ok", **wrong}]})
    with pytest.raises(ValueError, match="no time zone"):
        RecordsSection.model_validate({"timeZone": "Middle/Earth"})


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_given_as_a_folder_or_a_field_is_normal_or_refused(folder, value):
    with contextlib.suppress(InvalidInput):
        found = checked_folder(folder)
        assert checked_folder(found) == found
    fields = [Definition(name="n", label="N", type="number"), Definition(name="d", label="D", type="date")]
    with contextlib.suppress(InvalidInput):
        assert set(checked_fields(fields, "Report", {"n": value, "d": ""})) <= {"n"}


PATHS = st.lists(st.sampled_from(["a", "b", "ab"]), min_size=0, max_size=3).map("/".join)


@given(st.lists(st.tuples(st.integers(1, 6), PATHS), max_size=20), PATHS.filter(bool), PATHS.filter(bool))
def test_the_tree_agrees_with_what_was_put_into_it_after_any_moves_and_renames(puts, old, new):
    tree, model = Tree(), {}
    for number, path in puts:
        tree.put(number, path)
        model[number] = path
    for number, path in tree.all_in(old).items():
        tree.put(number, moved(path, old, new))
    model = {number: moved(path, old, new) if lies_in(path, old) else path for number, path in model.items()}
    assert tree.all_in("") == model
    assert sum(each.count for each in tree.below("")) == sum(bool(path) for path in model.values())
    assert tree.paths() == sorted({path for path in model.values() if path})
