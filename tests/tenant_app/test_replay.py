"""Any order of real acts through the pages: folding the trail from nothing gives what the tables hold (11.10(e), AT-12)."""

import itertools
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenant_app.domain.replay import DocumentState, GapError, VersionState, replay
from tenant_app.domain.signing import digest
from tenant_app.storage import outbox, records, workflow
from tests.tenant_app.support.site import Browser, Site
from tests.tenant_app.test_workflow import reviewer_sub, sign

WORDS = st.text("abcdefgh éß", min_size=5, max_size=20).map(lambda text: f"x{text}x")
ACTS = st.one_of(
    st.tuples(st.just("upload"), WORDS, st.sampled_from(["", "A", "A/B", "C"])),
    st.tuples(st.just("version"), st.integers(0, 9), WORDS),
    st.tuples(st.just("describe"), st.integers(0, 9), WORDS, st.sampled_from(["", "P1"])),
    st.tuples(st.just("move"), st.integers(0, 9), st.sampled_from(["", "A", "D/E"])),
    st.tuples(st.just("rename"), st.sampled_from(["A", "C", "D"]), st.sampled_from(["Z", "A/B"])),
    st.tuples(st.just("remark"), st.integers(0, 9), WORDS),
    st.tuples(st.just("settle"), st.integers(0, 9)),
    st.tuples(st.just("sign"), st.integers(0, 9), st.sampled_from(["submit", "review", "approve", "publish", "reject_review", "revoke"])),
    st.tuples(st.just("hold"), st.integers(1, 9), st.sampled_from(["hold", "release"])),
)  # fmt: skip
SIGNER = {
    "submit": "alice",
    "review": "rosa",
    "approve": "ana",
    "publish": "pia",
    "reject_review": "rosa",
    "revoke": "alice",
}


class Office:
    """Everybody at work; what is refused is refused, and nobody is surprised."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.people: dict[str, Browser] = {}
        self.documents: list[str] = []
        self.latest: dict[str, int] = {}
        self.contents = itertools.count()

    async def start(self) -> None:
        for uid in ("alice", "rosa", "ana", "pia", "max"):
            self.people[uid] = await self.site.as_(uid)
        self.rosa = await reviewer_sub(self.site, "rosa")

    async def act(self, name: str, *more) -> None:
        if name in {"upload", "rename", "hold"} or not self.documents:
            await getattr(self, name if name in {"upload", "rename", "hold"} else "nothing")(*more)
        else:
            await getattr(self, name)(self.documents[more[0] % len(self.documents)], *more[1:])

    async def nothing(self, *_more) -> None:
        pass

    async def upload(self, title: str, folder: str) -> None:
        content = b"%d\n" % next(self.contents)
        document = await self.people["alice"].uploaded(content, title=title, folder=folder)
        self.documents.append(document)
        self.latest[document] = 1

    async def version(self, document: str, reason: str) -> None:
        number, content = self.latest[document], b"%d\n" % next(self.contents)
        answer = await self.people["alice"].add_version(document, content, expected=number, reason=reason)
        self.latest[document] += answer.status_code == 303

    async def describe(self, document: str, title: str, project: str) -> None:
        data = {"title": title, "kind": "Form", "project": project, "reference": "", "reason": "Described anew"}
        await self.people["alice"].post(f"/documents/{document}/describe", data)

    async def move(self, document: str, folder: str) -> None:
        await self.people["alice"].post(f"/documents/{document}/move", {"folder": folder, "reason": "Moved over"})

    async def rename(self, old: str, new: str) -> None:
        await self.people["alice"].post("/folders/rename", {"old": old, "new": new, "reason": "Renamed it"})

    async def remark(self, document: str, text: str) -> None:
        path = f"/documents/{document}/versions/{self.latest[document]}/annotations"
        await self.people["rosa"].post(path, {"text": text})

    async def settle(self, document: str) -> None:
        async with self.site.app.database.transaction() as conn:
            rows = await workflow.annotations(conn, UUID(document))
        if rows:
            await self.people["rosa"].post(f"/documents/{document}/annotations/{rows[-1]['id']}/resolve")

    async def sign(self, document: str, step: str) -> None:
        browser, uid = self.people[SIGNER[step]], SIGNER[step]
        if step == "approve":
            await browser.get(f"/documents/{document}/trail")
        await sign(
            browser, uid, document, step, number=self.latest[document], reviewers=[self.rosa], reason="Because of it"
        )

    async def hold(self, number: int, act: str) -> None:
        await self.people["max"].post("/admin/holds", {"number": str(number), "reason": "Litigation 7", "act": act})


async def stored(site: Site) -> dict[str, DocumentState]:
    """What the tables say."""
    app, found = site.app, {}
    async with app.database.transaction() as conn:
        for row in await records.list_documents(conn, limit=1000):
            document = app.documents._rows.document(row)
            state = DocumentState(
                number=document.number,
                words={path: value for path, value in document.metadata.flat().items() if value},
                folder=document.folder, held=document.held, disposed=document.disposed,
            )  # fmt: skip
            for each in map(app.documents._rows.version, await records.list_versions(conn, document.id)):
                state.versions[each.number] = VersionState(
                    file_name=each.file_name, media_type=each.media_type, size=each.size, sha256=each.sha256, state=each.state.value,
                    reviewers={app.progress._name(one) for one in await workflow.assignments(conn, document.id, each.number)},
                )  # fmt: skip
            for one in await workflow.annotations(conn, document.id):
                words = app.columns.open(one["sealed"], "annotations", str(one["id"]), str(document.id))
                state.remarks[str(one["id"])] = (words["text"], one["resolved_at"] is not None)
            for one in await workflow.signatures(conn, document.id):
                envelope = app.columns.open(one["sealed"], "signatures", str(one["id"]), str(document.id))
                state.signatures.append((one["version"], one["meaning"], digest(envelope)))
            found[str(document.id)] = state
    return found


async def trail(site: Site) -> list[dict]:
    async with site.app.database.transaction() as conn:
        return [site.app.recorder.opened(link).body for link in await outbox.since(conn, 0, limit=100_000)]


@settings(max_examples=8, suppress_health_check=list(HealthCheck))
@given(acts=st.lists(ACTS, min_size=12, max_size=25))
async def test_at12_replaying_the_trail_from_nothing_rebuilds_the_state_exactly(site: Site, acts):
    office = getattr(site, "office", None)
    if office is None:
        office = site.office = Office(site)
        await office.start()
    for act in acts:
        await office.act(*act)
    assert replay(await trail(site)) == await stored(site)


async def test_at12_a_trail_with_one_change_left_out_does_not_rebuild_the_state(site: Site):
    office = Office(site)
    await office.start()
    for act in (("upload", "A title", "A"), ("move", 0, "B"), ("remark", 0, "Look here"), ("settle", 0), ("describe", 0, "Another", ""),
                ("sign", 0, "submit"), ("sign", 0, "review"), ("version", 0, "Changed it"), ("hold", 1, "hold")):  # fmt: skip
        await office.act(*act)
    entries, state = await trail(site), await stored(site)
    assert replay(entries) == state
    changing = [
        place for place, entry in enumerate(entries)
        if entry["object"]["type"] == "Document" and entry["result"] == "ok" and entry["change"]
    ]  # fmt: skip
    assert len(changing) >= 11
    for place in changing:
        shorter = entries[:place] + entries[place + 1 :]
        try:
            assert replay(shorter) != state, entries[place]["action"]
        except (KeyError, GapError):
            continue
