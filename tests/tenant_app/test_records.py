"""Documents: sealed, never overwritten, checked at each read (11.10(a), (c), (e), 11.70)."""

import zipfile
from io import BytesIO

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenant_app.domain import sealing
from tenant_app.domain.media import recognise, safe_file_name
from tenant_app.errors import IntegrityViolation, InvalidInput
from tests.tenant_app.support.site import PDF, Site

MARK = b"UNMISTAKABLE-PLAINTEXT-4711-"


async def test_at26_document_bytes_and_words_are_not_found_in_a_raw_scan_of_pgdata(site: Site, server):
    alice = await site.as_("alice")
    await alice.uploaded(MARK * 4000, "secret-file-name-4712.txt", "Secret title 4713", project="Project 4714")
    with server.admin() as conn:
        conn.execute("CHECKPOINT")
    found = set()
    for path in server.data.rglob("*"):
        if path.is_file():
            raw = path.read_bytes()
            found |= {
                word
                for word in (MARK, b"file-name-4712", b"title 4713", b"Project 4714", b"Alice Author")
                if word in raw
            }
    assert found == set()


async def test_at50_the_same_version_again_is_a_conflict_and_nothing_is_overwritten(site: Site):
    alice = await site.as_("alice")
    document = await alice.uploaded(b"one\n")
    assert (await alice.add_version(document, b"two\n", expected=1)).status_code == 303
    assert (await alice.add_version(document, b"three\n", expected=1)).status_code == 409
    assert (await alice.add_version(document, b"two\n", expected=2)).status_code == 409
    assert [(await alice.content(document, number)).content for number in (1, 2)] == [b"one\n", b"two\n"]


async def test_at52_a_change_without_a_reason_is_refused(site: Site):
    alice = await site.as_("alice")
    document = await alice.uploaded()
    assert (await alice.add_version(document, b"two\n", expected=1, reason=" ")).status_code == 422


async def test_at03_one_altered_byte_is_found_at_the_next_read_and_recorded(site: Site, server, fresh, audit):
    alice = await site.as_("alice")
    document = await alice.uploaded(b"original\n")
    with server.admin(fresh.database.name) as conn:
        conn.execute("ALTER TABLE contents DISABLE TRIGGER ALL")
        conn.execute("UPDATE contents SET sealed = set_byte(sealed, 20, get_byte(sealed, 20) # 1)")
    answer = await alice.content(document)
    assert answer.status_code == 500
    assert b"original" not in answer.content
    await site.app.relay.deliver_all()
    violation = [entry for entry in audit.entries if entry["action"] == "app:integrity:violation"]
    assert violation[0]["object"]["id"] == document


async def test_at29_content_and_key_moved_to_another_document_do_not_open(site: Site, server, fresh):
    alice = await site.as_("alice")
    one, two = await alice.uploaded(b"for one\n"), await alice.uploaded(b"for two\n")
    with server.admin(fresh.database.name) as conn:
        conn.execute("ALTER TABLE contents DISABLE TRIGGER ALL")
        conn.execute(
            "UPDATE contents SET sealed = (SELECT sealed FROM contents WHERE document = %s) WHERE document = %s",
            (two, one),
        )
        conn.execute(
            "UPDATE versions SET wrapped_key = (SELECT wrapped_key FROM versions WHERE document = %s) WHERE document = %s",
            (two, one),
        )
    assert (await alice.content(one)).status_code == 500


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_outbox SET result = 'ok'", "DELETE FROM audit_outbox", "TRUNCATE audit_outbox CASCADE",
        "UPDATE audit_receipts SET log_index = 0", "DELETE FROM contents", "UPDATE contents SET sealed = ''",
        "DELETE FROM versions", "DELETE FROM documents", "UPDATE versions SET sha256 = repeat('0', 64)",
        "INSERT INTO audit_outbox SELECT 99, gen_random_uuid(), now(), '', '', '', '', '', '', ''",
        "UPDATE chain_head SET seq = 0",
    ],
)  # fmt: skip
@pytest.mark.parametrize("role", ["app", "audit_writer"])
async def test_at13_neither_role_of_the_app_can_rewrite_the_trail_or_a_version(
    site: Site, server, fresh, role, statement
):
    alice = await site.as_("alice")
    await alice.uploaded()
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


@pytest.mark.parametrize(
    "statement", ["UPDATE audit_outbox SET result = 'ok'", "DELETE FROM audit_outbox", "DELETE FROM contents"]
)
async def test_at13_even_the_owner_meets_the_trigger(site: Site, server, fresh, statement):
    await (await site.as_("alice")).uploaded()
    with psycopg.connect(
        host="127.0.0.1", port=server.port, user="app_owner", password="app_owner-pw", dbname=fresh.database.name,
        sslmode="require",
    ) as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):  # fmt: skip
        conn.execute(statement)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.pdf", b"not a pdf"), ("a.pdf", b"%PDF-1.7 broken"), ("a.png", PDF), ("a.txt", b"\x00\x01"), ("a.exe", b"MZ"),
        ("a.txt", b""), ("a", b"x"), ("a.html", b"<p>"), ("a.svg", b"<svg/>"), ("a.docx", b"PK\x03\x04nonsense"),
    ],
)  # fmt: skip
async def test_at21_a_file_that_is_not_what_its_name_says_is_refused(site: Site, name, content):
    alice = await site.as_("alice")
    assert (await alice.upload(content, name)).status_code == 422


def test_a_zip_bomb_is_refused_without_being_unpacked():
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/document.xml", b"\x00" * 50_000_000)
    with pytest.raises(InvalidInput, match="far more"):
        recognise("bomb.docx", out.getvalue())


async def test_an_oversized_upload_is_refused_before_it_is_read(site: Site):
    site.app.documents.max_bytes = 10_000
    alice = await site.as_("alice")
    assert (await alice.upload(b"x" * 200_000)).status_code == 413
    assert (await alice.upload(b"x" * 10_001)).status_code == 413


@given(st.text(max_size=300))
def test_no_file_name_leaves_its_folder_or_its_header(given_name):
    try:
        name = safe_file_name(given_name)
    except InvalidInput:
        return
    assert "/" not in name
    assert "\\" not in name
    assert not name.startswith(".")
    assert name.isprintable() or all(not char.isspace() or char == " " for char in name)
    assert len(name.encode()) <= 180


@given(st.binary(max_size=200), st.integers(min_value=0))
def test_any_single_altered_bit_of_a_sealed_value_is_found(plain, where):
    key, bound = sealing.new_key(), sealing.context("tenant", "x")
    sealed = bytearray(sealing.Sealer(key).seal(plain, bound))
    assert sealing.Sealer(key).unseal(bytes(sealed), bound) == plain
    sealed[(where // 8) % len(sealed)] ^= 1 << (where % 8)
    with pytest.raises(IntegrityViolation):
        sealing.Sealer(key).unseal(bytes(sealed), bound)


async def test_a_title_with_markup_is_shown_as_text(site: Site):
    alice = await site.as_("alice")
    document = await alice.uploaded(title="<script>alert(1)</script>", project='"><img src=x>')
    for path in ("/documents", f"/documents/{document}", f"/documents/{document}/trail"):
        page = (await alice.get(path)).text
        assert "<script>alert" not in page
        assert "<img src=x>" not in page


async def test_vault_away_stops_uploads_and_reads_with_a_clear_answer_and_stores_nothing(site: Site, keys):
    alice = await site.as_("alice")
    document = await alice.uploaded()
    keys.away = True
    assert (await alice.upload(b"more\n")).status_code == 503
    assert (await alice.content(document)).status_code == 503
    keys.away = False
    assert (await alice.content(document)).content == b"Hello\n"
    assert (await alice.get("/documents")).text.count("row-title") == 1
