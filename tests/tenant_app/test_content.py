"""What is uploaded: opened apart from the app, checked, and found by its words (11.10(a), 11.10(h), ALCOA+)."""

import io
import shutil
import zlib

import pikepdf
import pytest

from tenant_app.adapters import children
from tenant_app.domain.media import PDF
from tenant_app.errors import DependencyAway, InvalidInput
from tenant_app.services.inspection import MAX_WORDS, Inspection
from tenant_app.settings import UploadsSection
from tests.tenant_app.support.documents import sample_pdf
from tests.tenant_app.support.site import PDF as SMALL
from tests.tenant_app.support.site import Site

needs_pdftotext = pytest.mark.skipif(shutil.which("pdftotext") is None, reason="poppler-utils is not installed")
HITS = "row-title"


def encrypted() -> bytes:
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(SMALL)) as pdf:
        pdf.save(out, encryption=pikepdf.Encryption(owner="o", user=""))
    return out.getvalue()


def claims_pdfa(*, embedded: bool = True) -> bytes:
    """A PDF that says it is PDF/A-2b, with what its claim needs or without."""
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(SMALL if embedded else sample_pdf("x", ["y"]))) as pdf:
        with pdf.open_metadata() as metadata:
            metadata["pdfaid:part"] = "2"
            metadata["pdfaid:conformance"] = "B"
        pdf.Root.OutputIntents = pdf.make_indirect([pikepdf.Dictionary(S=pikepdf.Name("/GTS_PDFA1"))])
        pdf.save(out)
    return out.getvalue()


def bomb() -> bytes:
    """A page whose content is 256 MiB of drawing once unpacked."""
    packer = zlib.compressobj(9)
    block = b"0 0 m 1 1 l S " * 75_000
    packed = b"".join(packer.compress(block) for _ in range(256)) + packer.flush()
    return (
        b"%%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
        b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 200]/Contents 4 0 R>>endobj\n"
        b"4 0 obj<</Filter/FlateDecode/Length %d>>stream\n%s\nendstream endobj\ntrailer<</Root 1 0 R>>\n%%%%EOF\n"
        % (len(packed), packed)
    )


@needs_pdftotext
async def test_search_finds_words_inside_pdfs_and_texts_and_only_for_who_may_see(site: Site):
    alice, rita, max_ = await site.as_("alice"), await site.as_("rita"), await site.as_("max")
    await alice.uploaded(sample_pdf("Report", ["Chromatography of zolpidem"]), "r.pdf", "First")
    await alice.uploaded("Beobachtung: Trübung nach 3 Tagen\n".encode(), "n.txt", "Second")
    for query, hits in (("zolpid", 1), ("trubung", 1), ("chromatography tagen", 0), ("nowhere", 0)):
        assert (await rita.get("/documents", params={"q": query})).text.count(HITS) == hits, query
    assert (await max_.get("/documents", params={"q": "zolpidem"})).status_code == 403


@needs_pdftotext
async def test_an_index_made_anew_finds_contents_without_vault_and_nothing_of_them_is_stored_in_the_clear(
    site: Site, server, keys
):
    from tenant_app.services.search import Index

    alice = await site.as_("alice")
    await alice.uploaded(sample_pdf("Report", ["Xylophagous beetles 4715"]), "r.pdf", "First")
    keys.away = True
    search = site.app.search
    search._index, search._seen, search._changed = Index(), None, {}
    assert (await alice.get("/documents", params={"q": "xylophagous"})).text.count(HITS) == 1
    with server.admin() as conn:
        conn.execute("CHECKPOINT")
    assert not [
        path for path in server.data.rglob("*") if path.is_file() and b"xylophagous" in path.read_bytes().lower()
    ]


@needs_pdftotext
async def test_each_page_of_a_pdf_is_shown_as_a_picture_and_each_look_is_recorded(site: Site, audit):
    alice, max_ = await site.as_("alice"), await site.as_("max")
    document = await alice.uploaded(sample_pdf("Report", ["One page"]), "r.pdf", "First")
    page = f"/documents/{document}/versions/1/pages"
    assert 'alt="Page 1 of 1"' in (await alice.get(f"/documents/{document}")).text
    answer = await alice.get(f"{page}/1.png")
    assert (answer.status_code, answer.headers["content-type"], answer.content[:4]) == (200, "image/png", b"\x89PNG")
    assert (await alice.get(f"{page}/2.png")).status_code == 404
    assert (await max_.get(f"{page}/1.png")).status_code == 403
    text = await alice.uploaded(b"text\n")
    assert (await alice.get(f"/documents/{text}/versions/1/pages/1.png")).status_code == 404
    await site.app.relay.deliver_all()
    reads = [entry["reason"]["code"] for entry in audit.entries if entry["action"] == "app:document:read"]
    assert reads.count("page 1") == 1


async def test_what_was_destroyed_is_not_found_by_its_words(site: Site, server, fresh):
    alice, pia = await site.as_("alice"), await site.as_("pia")
    document = await alice.uploaded(b"pterodactyl\n", "n.txt", "A note")
    assert (await alice.get("/documents", params={"q": "pterodactyl"})).text.count(HITS) == 1
    with server.admin(fresh.database.name) as conn:
        conn.execute("ALTER TABLE documents DISABLE TRIGGER retention_kept")
        conn.execute("UPDATE documents SET retain_until = now() - interval '1 day'")
    answer = await pia.post(f"/documents/{document}/delete", {"reason": "Retention is over"})
    assert answer.status_code == 303
    assert (await alice.get("/documents", params={"q": "pterodactyl"})).text.count(HITS) == 0
    assert (await alice.get("/documents", params={"q": "note"})).text.count(HITS) == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (encrypted(), "encrypted"),
        (b"%PDF-1.7 broken", "cannot be opened"),
        (b"%PDF-1.4\ntrailer<</Root 1 0 R>>", "cannot be opened"),
    ],
)
async def test_at21_a_pdf_that_could_not_be_read_back_is_refused_in_clear_words(site: Site, content, words):
    answer = await (await site.as_("alice")).upload(content, "a.pdf")
    assert answer.status_code == 422
    assert words in answer.text


async def test_a_hostile_pdf_ends_a_child_process_and_not_the_app(monkeypatch):
    from tenant_app.services import inspection

    monkeypatch.setattr(inspection, "SECONDS", 2.0)
    hostile = bomb()
    assert len(hostile) < 10_000_000
    found = Inspection(UploadsSection())
    deep = SMALL.replace(b"/MediaBox[0 0 300 200]", b"/MediaBox" + b"[" * 200_000 + b"]" * 200_000)
    for content in (hostile, deep, SMALL + b"\x00" * 5_000_000):
        await found.words(PDF, content)
        try:
            await found.check(PDF, content, "Report")
        except InvalidInput:
            continue
    monkeypatch.undo()
    assert await found.check(PDF, SMALL, "Report") == 1


async def test_a_child_that_takes_too_long_is_ended(monkeypatch):
    found = Inspection(UploadsSection())
    ended = await found._run(["sleep", "60"], b"", seconds=0.2)
    assert ended.code is None
    with pytest.raises(DependencyAway):
        await children.run(["/no/such/program"], b"", clock=1)
    many = " ".join(f"w{number}" for number in range(MAX_WORDS * 2)).encode()
    assert len((await found.words("text/plain", many)).split()) == MAX_WORDS


async def test_at05_pdfa_is_asked_for_where_the_configuration_says_and_a_false_claim_is_refused():
    asked = Inspection(UploadsSection(pdfa_for=("Report",)))
    await asked.check(PDF, SMALL, "Protocol")
    await asked.check(PDF, claims_pdfa(), "Report")
    with pytest.raises(InvalidInput, match="must be PDF/A"):
        await asked.check(PDF, SMALL, "Report")
    with pytest.raises(
        InvalidInput, match="claims to be PDF/A-2b and is not: the font Helvetica is not embedded; the font"
    ):
        await asked.check(PDF, claims_pdfa(embedded=False), "Report")


@pytest.mark.parametrize(
    ("script", "outcome"),
    [("cat >/dev/null; exit 0", None), ("cat >/dev/null; exit 1", InvalidInput), ("exit 9", DependencyAway)],
)
async def test_an_external_judge_decides_on_pdfa_and_one_that_fails_lets_nothing_through(script, outcome):
    judged = Inspection(UploadsSection(pdfa_for=("*",), pdfa_judge=("sh", "-c", script)))
    if outcome is None:
        await judged.check(PDF, claims_pdfa(), "Report")
    else:
        with pytest.raises(outcome):
            await judged.check(PDF, claims_pdfa(), "Report")
